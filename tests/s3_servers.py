"""Buckets of their own for tests, on the S3 server of `scripts/servers/s3.sh`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tickloop.adapters.s3.address import S3Address

# As the script has them; they open nothing but a server that lives as long as the tests.
ACCESS_KEY = "tickloop-test"
SECRET_KEY = "tickloop-test-secret"

_numbers = itertools.count(1)


def client_required() -> None:
    """Skip, or fail where servers are required, unless the S3 client is installed."""
    try:
        import boto3  # noqa: F401
    except ModuleNotFoundError:
        reason = "boto3 is not installed: pip install 'tickloop[cluster]'"
        if os.environ.get("TICKLOOP_TEST_REQUIRE_SERVERS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def new_address(endpoint: str, **changes: Any) -> S3Address:
    """Give the address of a bucket that is not there yet; its name is used by no other test, nor by another worker."""
    from tickloop.adapters.s3.address import S3Address

    name = f"test-{os.getpid()}-{next(_numbers)}"
    address = S3Address(endpoint, "us-east-1", name, ACCESS_KEY, SECRET_KEY, timeout_s=10.0, tries=3)
    return replace(address, **changes)


@contextmanager
def plain_client(endpoint: str) -> Iterator[Any]:
    """Give a client that owes nothing to our adapter: it makes buckets, and looks from outside."""
    import boto3
    from botocore.config import Config

    client = boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )
    try:
        yield client
    finally:
        client.close()


def made_address(endpoint: str, **changes: Any) -> S3Address:
    """Give the address of a new, empty bucket."""
    address = new_address(endpoint, **changes)
    with plain_client(endpoint) as client:
        client.create_bucket(Bucket=address.bucket)
    return address
