"""The bench's own bucket and database, and what the two ways have stored in it."""

from __future__ import annotations

from contextlib import closing

import boto3
import polars as pl
from psycopg import sql

from bench.etl_job import DATABASE, Job, database_of
from tickloop.adapters.postgres.connect import open_plain
from tickloop.adapters.postgres.warehouse import PostgresWarehouse
from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window


def make_stores(job: Job) -> None:
    """Make bucket and database anew, empty."""
    with closing(open_plain(database_of(job, "postgres"))) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=job.s3,
        region_name="us-east-1",
        aws_access_key_id=job.access_key,
        aws_secret_access_key=job.secret_key,
    )
    with closing(client):
        if job.bucket not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=job.bucket)


def clear(job: Job) -> None:
    """Take the trades of both ways out of the database, so that the next run loads a new hour."""
    with closing(open_plain(database_of(job))) as connection:
        for name in ("trade", "trade_2023"):
            if connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() != (None,):
                connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(name)))


def stored_trades(job: Job) -> pl.DataFrame:
    with closing(PostgresWarehouse(database_of(job))) as warehouse:
        return warehouse.read(TRADE, job.markets[0], Window(job.start_ms, job.end_ms))


def peer_rows(job: Job) -> pl.DataFrame:
    """Give trade_id, price, qty_e8, ts_event (ms) and is_buy of the peer's table, by trade_id."""
    columns = "sequential_id, trade_price, trade_volume, trade_timestamp, ask_bid"
    with closing(open_plain(database_of(job))) as connection:
        found = connection.execute(f"SELECT {columns} FROM trade_2023 ORDER BY sequential_id").fetchall()
    frame = pl.DataFrame(found, schema=["trade_id", "price", "volume", "ts_event", "ask_bid"], orient="row")
    return frame.select(
        "trade_id",
        "price",
        (pl.col("volume") * 1e8).round().cast(pl.Int64).alias("qty_e8"),
        "ts_event",
        is_buy=pl.col("ask_bid") == "BID",
    )
