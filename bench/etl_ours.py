"""`python -m bench.etl_ours JOB`: the steps extract and load of this program on the adapters of the cluster profile."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.etl_job import Job, bucket_of, database_of
from bench.etl_meter import Meter
from tickloop.adapters.local.clock import SystemClock
from tickloop.adapters.opensearch.connect import open_server
from tickloop.adapters.opensearch.store import OpensearchStore
from tickloop.adapters.postgres.warehouse import PostgresWarehouse
from tickloop.adapters.s3.bucket import Bucket
from tickloop.adapters.s3.lake import S3Lake
from tickloop.domain.window import Window
from tickloop.services.extract import extract
from tickloop.services.load import load
from tickloop.services.steps import StepPorts


@dataclass(frozen=True)
class Stores:
    """What extract and load use of a step's ports."""

    raw: OpensearchStore
    lake: S3Lake
    warehouse: PostgresWarehouse


def main(job: Job) -> None:
    search = open_server(job.opensearch, timeout_s=60)
    window = Window(job.start_ms, job.end_ms)
    with (
        tempfile.TemporaryDirectory() as dead,
        closing(OpensearchStore(search, job.prefix, SystemClock(), Path(dead))) as raw,
        closing(S3Lake(Bucket(bucket_of(job)), "lake")) as lake,
        closing(PostgresWarehouse(database_of(job))) as warehouse,
    ):
        stores = cast(StepPorts, Stores(raw, lake, warehouse))
        meter = Meter()
        meter.tell(sum(_one_market(stores, market, window, meter) for market in job.markets))


def _one_market(stores: StepPorts, market: str, window: Window, meter: Meter) -> int:
    with meter.stage("extract"):
        extract(stores, market, window)
    with meter.stage("load"):
        counts: dict[str, Any] = load(stores, market, window)
    return int(counts["rows"])


if __name__ == "__main__":
    main(Job(**json.loads(sys.argv[1])))
