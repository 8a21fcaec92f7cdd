"""What the S3 client raises, in our words: which server, which setting, and the remedy. Never a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boto3.exceptions import Boto3Error
from botocore import exceptions as failed

from tickloop.adapters.s3.address import S3Address
from tickloop.errors import StoreAwayError, StoreError

_AWAY = {
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServerBusy",
    "ServiceUnavailable",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "Throttling",
    "TooManyRequests",
}
_FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
_OTHER_REGION = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_FORBIDDEN = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "Forbidden"}

# Connection refused, reset, timed out; a body cut short.
_NO_ANSWER = (
    failed.ConnectionError,
    failed.HTTPClientError,
    failed.IncompleteReadError,
    failed.ResponseStreamingError,
)

_FULL_STATUS = 507
_SERVERS_FAULT = 500
_TOO_MANY = 429


@contextmanager
def translated(address: S3Address) -> Iterator[None]:
    """Turn what the client raises in the block into `StoreError` or `StoreAwayError`."""
    try:
        yield
    except (failed.BotoCoreError, failed.ClientError, Boto3Error) as exc:
        raise store_error(exc, address) from exc


def store_error(exc: Exception, address: S3Address) -> StoreError:
    """Give our error for one of the client's: away (worth the same call later), or what the operator must set right."""
    server = address.server
    if isinstance(exc, failed.ClientError):
        return _refusal(exc.response, address)
    if isinstance(exc, failed.SSLError):
        return StoreError(
            f"{server} shows a certificate that is not trusted: {exc}; valid: s3.ca_file with the certificate of its "
            "authority, and s3.endpoint by the name in the server's certificate"
        )
    if isinstance(exc, (failed.NoCredentialsError, failed.PartialCredentialsError, failed.CredentialRetrievalError)):
        return StoreError(f"{server} needs keys: {exc}; valid: both s3.access_key and s3.secret_key")
    if isinstance(exc, (failed.ParamValidationError, failed.InvalidRegionError)):
        return StoreError(
            f"{server} cannot be asked: {exc}; valid: s3.bucket of 3 to 63 small letters, digits and hyphens, "
            "s3.region as us-east-1"
        )
    if isinstance(exc, (failed.ChecksumError, failed.FlexibleChecksumError)):
        return StoreAwayError(f"{server} sent an object that arrived damaged: {exc}; ask again")
    if isinstance(exc, _NO_ANSWER):
        return StoreAwayError(f"{server} (s3.endpoint) does not answer: {exc}; start it, or set the address right")
    return StoreError(f"{server}: {type(exc).__name__}: {exc}")


def _refusal(response: Any, address: S3Address) -> StoreError:
    error = response.get("Error", {})
    code, text = str(error.get("Code", "")), str(error.get("Message", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{address.server} refused: {code} ({status}): {text}"
    if code in _FULL or status == _FULL_STATUS:
        return StoreAwayError(f"{said}; free space on the server or raise the quota of s3.bucket {address.bucket!r}")
    if code in _DAMAGED:
        return StoreAwayError(f"{said}; what was sent arrived damaged and was not stored: send it again")
    if code in _AWAY or status >= _SERVERS_FAULT or status == _TOO_MANY:
        return StoreAwayError(f"{said}; it is overloaded or broken: try later, or look at its log")
    return StoreError(f"{said}; {_remedy(code, address)}")


def _remedy(code: str, address: S3Address) -> str:
    bucket = address.bucket
    if code == "NoSuchBucket":
        where = "" if address.endpoint is None else f" --endpoint-url {address.endpoint}"
        return f"valid: an s3.bucket that is there; make it with: aws s3api create-bucket --bucket {bucket}{where}"
    if code == "InvalidBucketName":
        return "valid: s3.bucket of 3 to 63 small letters, digits and hyphens"
    if code == "InvalidAccessKeyId":
        return "valid: an s3.access_key that this server knows"
    if code == "SignatureDoesNotMatch":
        return "valid: the s3.secret_key that belongs to s3.access_key (and s3.region as the server has it)"
    if code in _FORBIDDEN:
        return f"let s3.access_key list, read, write and delete in s3.bucket {bucket!r}"
    if code in _OTHER_REGION:
        return f"s3.bucket {bucket!r} lies elsewhere; valid: its own s3.region and s3.endpoint"
    if code == "RequestTimeTooSkewed":
        return "set the clock of this machine right"
    return f"look at s3.endpoint and s3.bucket {bucket!r}"
