"""What one run of the hourly path is asked to do, and the servers it does it on."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlsplit

from tickloop.adapters.postgres.connect import PostgresServer
from tickloop.adapters.s3.address import S3Address

SERVERS = ("opensearch", "postgres", "s3")
DATABASE = "tickloop_bench"

# As scripts/servers/s3.sh has them.
_ACCESS_KEY = "tickloop-test"
_SECRET_KEY = "tickloop-test-secret"


@dataclass(frozen=True)
class Job:
    """Addresses, and the markets and window to take from OpenSearch to the warehouse.

    Attributes:
        table_there: whether the peer's table was made by an earlier run, so that it deletes the window first.
    """

    opensearch: str
    postgres: str
    s3: str
    prefix: str = "bench"
    bucket: str = "tickloop-bench"
    access_key: str = _ACCESS_KEY
    secret_key: str = _SECRET_KEY
    markets: tuple[str, ...] = ()
    start_ms: int = 0
    end_ms: int = 0
    table_there: bool = True

    def with_window(self, markets: tuple[str, ...], start_ms: int, end_ms: int) -> Job:
        return replace(self, markets=markets, start_ms=start_ms, end_ms=end_ms)

    def as_text(self) -> str:
        return json.dumps(asdict(self))


def job_of_environment() -> Job | None:
    """Give the servers that `scripts/servers/with.sh` has started, None when one is missing."""
    found = [os.environ.get(f"TICKLOOP_TEST_{name.upper()}") for name in SERVERS]
    if not all(found):
        return None
    search, postgres, s3 = map(str, found)
    return Job(search, f"{postgres}/{DATABASE}", s3)


def bucket_of(job: Job) -> S3Address:
    return S3Address(job.s3, "us-east-1", job.bucket, job.access_key, job.secret_key)


def database_of(job: Job, database: str = DATABASE) -> PostgresServer:
    url = urlsplit(job.postgres)
    return PostgresServer(
        url.hostname or "", url.port or 5432, database, url.username or "", url.password, sslmode="disable"
    )
