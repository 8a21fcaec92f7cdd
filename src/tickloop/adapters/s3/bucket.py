"""Objects in one bucket: whole, checked on the way, in one request or in parts when large."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from typing import Any, BinaryIO, cast

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from tickloop.adapters.local.files import writing
from tickloop.adapters.s3.address import S3Address
from tickloop.adapters.s3.errors import translated
from tickloop.errors import StoreError

PART_BYTES = 16 * 2**20
PARTS_ABOVE_BYTES = 64 * 2**20
"""One request carries up to this; an hour of a busy market is a tenth of it."""

_CONNECT_TIMEOUT_S = 10.0
_MEMORY_BYTES = 16 * 2**20
"""Of an object on its way that is a file here; above that it lies on the disk."""

_COPY_BYTES = 2**20

_ABSENT = {"NoSuchKey", "404"}


class Bucket:
    """One bucket of any S3 server. Threads share it; a process that was forked off opens a client of its own.

    A put is never conditional: some servers look first and write later, so two writers would both be told yes. That
    there is one writer an object is the window lock's business.

    Every method raises `StoreAwayError` when the server is away, overloaded or full after the last try, and
    `StoreError` when it refuses us: each names the setting and the remedy.
    """

    def __init__(
        self, address: S3Address, *, part_bytes: int = PART_BYTES, parts_above_bytes: int = PARTS_ABOVE_BYTES
    ) -> None:
        self.address = address
        self._parts_above = parts_above_bytes
        # Threads of the client's own would be more than one writer needs, and outlive a fork badly.
        self._transfer = TransferConfig(
            multipart_threshold=parts_above_bytes, multipart_chunksize=part_bytes, use_threads=False
        )
        self._opened: tuple[int, Any] | None = None

    def put(self, key: str, content: bytes) -> None:
        """Replace an object as a whole; readers see the old one or the new one."""
        self.put_file(key, io.BytesIO(content))

    def put_file(self, key: str, file: BinaryIO) -> int:
        """Replace an object as a whole by all that a file holds; give its size in bytes."""
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        with translated(self.address):
            if size < self._parts_above:
                self._client.put_object(Bucket=self.address.bucket, Key=key, Body=file, ChecksumAlgorithm="CRC32")
                return size
            self._drop_unfinished(key)
            self._client.upload_fileobj(
                file,
                self.address.bucket,
                key,
                ExtraArgs={"ChecksumAlgorithm": "CRC32"},
                Config=self._transfer,
            )
        return size

    def get(self, key: str) -> bytes | None:
        """Give an object, None when there is none."""
        with translated(self.address):
            body = self._body(key)
            if body is None:
                return None
            with closing(body):
                content: bytes = body.read()
            return content

    def get_file(self, key: str) -> BinaryIO | None:
        """Give an object in a temporary file that stands at its start and is gone when closed; None when there is none.

        Raises:
            DiskFullError: the folder for temporary files has no room for it.
        """
        with translated(self.address):
            body = self._body(key)
            if body is None:
                return None
            file = _temporary()
            try:
                with closing(body), writing(Path(gettempdir())):
                    # To its end, where length and checksum are looked at.
                    shutil.copyfileobj(body, file, _COPY_BYTES)
                file.seek(0)
            except BaseException:
                file.close()
                raise
            return file

    def _body(self, key: str) -> Any:
        try:
            answer = self._client.get_object(Bucket=self.address.bucket, Key=key)
        except ClientError as exc:
            if exc.response.get("Error", {}).get("Code") in _ABSENT:
                return None
            raise
        # Not for `with`: that gives the stream below, which checks neither length nor checksum.
        return answer["Body"]

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""
        with translated(self.address):
            self._client.delete_object(Bucket=self.address.bucket, Key=key)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix` and sort after `after`, in order; as many as there are."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.address.bucket, Prefix=prefix, StartAfter=after
        )
        with translated(self.address):
            for page in pages:
                yield from (str(one["Key"]) for one in page.get("Contents", ()))

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def _drop_unfinished(self, key: str) -> None:
        """Remove the parts that a writer left who was killed: nobody sees them, and they take room for ever."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.address.bucket, Prefix=key)
        for upload in [one for page in pages for one in page.get("Uploads", ()) if one["Key"] == key]:
            self._client.abort_multipart_upload(Bucket=self.address.bucket, Key=key, UploadId=upload["UploadId"])

    @property
    def _client(self) -> Any:
        # No lock: one that is held while another thread forks would be held in the child for ever. Two threads that
        # come first at once make two clients, and one of them is dropped.
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            opened = self._opened = (os.getpid(), _open(self.address))
        return opened[1]


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """Give an empty file that is gone after the block, in memory up to some megabytes.

    Raises:
        DiskFullError: the folder for temporary files has no room.
    """
    with writing(Path(gettempdir())), _temporary() as file:
        yield file


def _temporary() -> BinaryIO:
    return cast(BinaryIO, SpooledTemporaryFile(_MEMORY_BYTES))


def _open(address: S3Address) -> Any:
    if address.ca_file is not None and not address.ca_file.is_file():
        raise StoreError(f"s3.ca_file {address.ca_file} is not a file; valid: certificates in PEM form")
    with translated(address):
        return boto3.session.Session().client(
            "s3",
            endpoint_url=address.endpoint,
            region_name=address.region,
            aws_access_key_id=address.access_key,
            aws_secret_access_key=address.secret_key,
            verify=None if address.ca_file is None else str(address.ca_file),
            config=Config(
                signature_version="s3v4",
                connect_timeout=min(_CONNECT_TIMEOUT_S, address.timeout_s),
                read_timeout=address.timeout_s,
                retries={"mode": "standard", "total_max_attempts": address.tries},
                # Names of buckets as hosts need a DNS that only Amazon has.
                s3={"addressing_style": "path"},
                ignore_configured_endpoint_urls=True,  # the settings alone say where the lake is
            ),
        )
