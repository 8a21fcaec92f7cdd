"""`python peer_etl2023.py JOB`, in its own environment: an hour the way of the 2023 system.

`helpers.scan` (scroll), a DataFrame, a Parquet object in S3, read again, `to_sql`. Its favour: pages as large as the
server gives, only the columns that are needed, no check of anything. JOB is JSON, see `bench.etl_job`.
"""

import io
import json
import sys

import boto3
import pandas as pd
from botocore.config import Config
from etl_meter import Meter
from opensearchpy import OpenSearch, helpers
from sqlalchemy import create_engine, text

COLUMNS = [
    "code",
    "sequential_id",
    "trade_timestamp",
    "ts_received",
    "arrival",
    "trade_price",
    "trade_volume",
    "ask_bid",
    "change",
]


def main(job):
    search = OpenSearch([job["opensearch"]], timeout=60)
    engine = create_engine(job["postgres"].replace("postgresql://", "postgresql+psycopg2://"))
    s3 = boto3.client(
        "s3",
        endpoint_url=job["s3"],
        region_name="us-east-1",
        aws_access_key_id=job["access_key"],
        aws_secret_access_key=job["secret_key"],
        config=Config(s3={"addressing_style": "path"}),
    )
    meter = Meter()
    rows = sum(one_market(job, market, search, s3, engine, meter) for market in job["markets"])
    meter.tell(rows)


def one_market(job, market, search, s3, engine, meter):
    key = f"2023/{market}/{job['start_ms']}.parquet"
    with meter.stage("fetch"):
        frame = fetch(job, market, search)
    with meter.stage("lake"):
        packed = io.BytesIO()
        frame.to_parquet(packed, index=False)
        s3.put_object(Bucket=job["bucket"], Key=key, Body=packed.getvalue())
        content = s3.get_object(Bucket=job["bucket"], Key=key)["Body"].read()
        frame = pd.read_parquet(io.BytesIO(content))
    with meter.stage("load"), engine.begin() as connection:
        if job["table_there"]:
            connection.execute(
                text(
                    "DELETE FROM trade_2023 WHERE code = :code AND trade_timestamp >= :first AND trade_timestamp < :end"
                ),
                {"code": market, "first": job["start_ms"], "end": job["end_ms"]},
            )
        frame.to_sql("trade_2023", connection, if_exists="append", index=False, chunksize=10_000)
    return len(frame)


def fetch(job, market, search):
    bounds = {"range": {"trade_timestamp": {"gte": job["start_ms"], "lt": job["end_ms"]}}}
    query = {"query": {"bool": {"filter": [{"term": {"type": "trade"}}, {"term": {"code": market}}, bounds]}}}
    hits = helpers.scan(search, index=f"{job['prefix']}-*", query=query, size=10_000, scroll="5m")
    return pd.DataFrame([hit["_source"] for hit in hits])[COLUMNS]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
