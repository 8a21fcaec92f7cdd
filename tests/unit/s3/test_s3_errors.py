"""Every error of the S3 client becomes one of ours, and says which setting and what to do."""

from __future__ import annotations

from typing import Any

import boto3.exceptions
import pytest
from botocore import exceptions as failed

from tickloop.adapters.s3.address import S3Address
from tickloop.adapters.s3.errors import store_error, translated
from tickloop.errors import StoreAwayError, StoreError

ADDRESS = S3Address("http://127.0.0.1:9000", "us-east-1", "tickloop", "some-access", "some-secret")


def refusal(code: str, status: int) -> failed.ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return failed.ClientError(answer, "PutObject")


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("InvalidAccessKeyId", 403, StoreError, r"valid: an s3\.access_key that this server knows"),
        ("SignatureDoesNotMatch", 403, StoreError, r"the s3\.secret_key that belongs to s3\.access_key"),
        ("AccessDenied", 403, StoreError, r"let s3\.access_key list, read, write and delete in s3\.bucket 'tickloop'"),
        ("NoSuchBucket", 404, StoreError, "create-bucket --bucket tickloop --endpoint-url http://127.0.0.1:9000"),
        ("PermanentRedirect", 301, StoreError, r"valid: its own s3\.region"),
        ("RequestTimeTooSkewed", 403, StoreError, "set the clock of this machine right"),
        ("QuotaExceeded", 403, StoreAwayError, "free space on the server or raise the quota of s3.bucket 'tickloop'"),
        ("XMinioStorageFull", 507, StoreAwayError, "free space on the server"),
        ("Whatever", 507, StoreAwayError, "free space on the server"),
        ("BadDigest", 400, StoreAwayError, "arrived damaged and was not stored: send it again"),
        ("XAmzContentChecksumMismatch", 400, StoreAwayError, "arrived damaged"),
        ("SlowDown", 503, StoreAwayError, "it is overloaded or broken"),
        ("Whatever", 502, StoreAwayError, "it is overloaded or broken"),
        ("Whatever", 429, StoreAwayError, "it is overloaded or broken"),
        ("Whatever", 400, StoreError, r"look at s3\.endpoint and s3\.bucket"),
    ],
)
def test_refusal_names_server_setting_and_remedy(code: str, status: int, kind: type[StoreError], says: str) -> None:
    """What may succeed later is `StoreAwayError`; what will not is no such thing."""
    ours = store_error(refusal(code, status), ADDRESS)

    assert type(ours) is kind
    assert says.replace("\\", "") in str(ours)
    assert str(ours).startswith(f"S3 at http://127.0.0.1:9000 refused: {code} ({status}): said so; ")


@pytest.mark.parametrize(
    ("theirs", "kind", "says"),
    [
        (failed.EndpointConnectionError(endpoint_url="x"), StoreAwayError, "(s3.endpoint) does not answer"),
        (failed.ConnectTimeoutError(endpoint_url="x"), StoreAwayError, "does not answer"),
        (failed.ReadTimeoutError(endpoint_url="x"), StoreAwayError, "does not answer"),
        (failed.ConnectionClosedError(endpoint_url="x"), StoreAwayError, "does not answer"),
        (failed.IncompleteReadError(actual_bytes=1, expected_bytes=2), StoreAwayError, "does not answer"),
        (failed.ResponseStreamingError(error="x"), StoreAwayError, "does not answer"),
        (failed.FlexibleChecksumError(error_msg="x"), StoreAwayError, "arrived damaged"),
        (failed.SSLError(endpoint_url="x", error="self-signed"), StoreError, "valid: s3.ca_file"),
        (failed.NoCredentialsError(), StoreError, "valid: both s3.access_key and s3.secret_key"),
        (failed.PartialCredentialsError(provider="x", cred_var="y"), StoreError, "valid: both s3.access_key"),
        (failed.ParamValidationError(report="Invalid bucket name"), StoreError, "valid: s3.bucket of 3 to 63"),
        (boto3.exceptions.Boto3Error("x"), StoreError, "S3 at http://127.0.0.1:9000: Boto3Error: x"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_error_of_the_client_is_translated_with_its_cause(theirs: Exception, kind: type[StoreError], says: str) -> None:
    """The foreign exception stays as the cause."""
    with pytest.raises(kind) as caught, translated(ADDRESS):
        raise theirs

    assert type(caught.value) is kind
    assert says in str(caught.value)
    assert caught.value.__cause__ is theirs


def test_every_exception_of_the_client_is_one_that_is_translated() -> None:
    """One that a later version brings outside of these families is seen here."""
    families = (failed.BotoCoreError, failed.ClientError, Warning)
    others = [
        name
        for name, thing in vars(failed).items()
        if isinstance(thing, type) and issubclass(thing, Exception) and thing.__module__ == failed.__name__
        if not issubclass(thing, families)
    ]

    # Of a client library whose own files are broken: nothing that an operator could set right here.
    assert others == ["UndefinedModelAttributeError", "MissingServiceIdError"]


def test_address_hides_its_keys() -> None:
    """An address that reaches a log or a traceback tells no key."""
    assert "some-" not in repr(ADDRESS)
