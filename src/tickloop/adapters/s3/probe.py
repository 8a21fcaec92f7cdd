"""What `tickloop doctor` tries of a bucket."""

from __future__ import annotations

import os
import uuid

from tickloop.adapters.s3.bucket import Bucket
from tickloop.errors import StoreError


def check_s3(bucket: Bucket, prefix: str) -> str:
    """Write, read back, list and delete one object beside the lake's; say what was done.

    Raises:
        StoreError: naming the setting at fault and the remedy; `StoreAwayError` when the server is away.
    """
    key = f"{prefix.strip('/')}/doctor-{uuid.uuid4()}".lstrip("/")
    content = os.urandom(64)
    bucket.put(key, content)
    try:
        if bucket.get(key) != content or list(bucket.keys(key)) != [key]:
            raise StoreError(
                f"{bucket.address.server} gives back another object than was put into s3.bucket "
                f"{bucket.address.bucket!r}; look at the server's log"
            )
    finally:
        bucket.delete(key)
    return f"{bucket.address.server}, bucket {bucket.address.bucket}: wrote, read, listed and deleted an object"
