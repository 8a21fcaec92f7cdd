"""Make the recordings that the package ships from the source files named in `SOURCES.md`.

python scripts/build_recordings.py candles --out src/tickloop/recordings BTC.parquet ETH.parquet
python scripts/build_recordings.py bursts --out src/tickloop/recordings TRADES.parquet
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import polars as pl

from tickloop.simulator.prices.recording import CHECKSUMS, load_recording

SOURCE = "Lazydok/quantbt"  # the only one of the candle files' sources that is shipped; MIT
START, END = "2023-12-31T15:00:00+00:00", "2024-03-31T15:01:00+00:00"  # first quarter of 2024 in Korea


def candles(paths: list[Path]) -> pl.DataFrame:
    """Keep one source and one quarter, one row per market and minute, in order of market and time."""
    minute = pl.col("candle_date_time_utc")
    rows = pl.concat([pl.read_parquet(path) for path in paths])
    rows = rows.filter(pl.col("source") == SOURCE, minute.is_between(_time(START), _time(END), closed="left"))
    rows = rows.select(
        "market",
        ts_open=minute.dt.epoch("ms"),
        open="opening_price",
        high="high_price",
        low="low_price",
        close="trade_price",
        volume="candle_acc_trade_volume",
    )
    return rows.unique(subset=["market", "ts_open"], keep="first").sort("market", "ts_open")


def bursts(paths: list[Path]) -> pl.DataFrame:
    """Keep every trade in its original order, also those that equal another."""
    return pl.concat([pl.read_parquet(path) for path in paths]).select(
        market="code", ts_event="trade_timestamp", price="trade_price", qty="trade_volume"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["candles", "bursts"])
    parser.add_argument("--out", type=Path, required=True, help="folder of the shipped recordings")
    parser.add_argument("paths", type=Path, nargs="+", help="source files")
    options = parser.parse_args()
    rows = candles(options.paths) if options.name == "candles" else bursts(options.paths)
    target: Path = options.out / f"{options.name}.parquet"
    rows.write_parquet(target, compression="zstd", compression_level=19)
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in options.out.glob("*.parquet")]
    (options.out / CHECKSUMS).write_text("".join(sorted(sums, key=lambda line: line[64:])))
    markets = load_recording(options.name, options.out).markets
    sys.stdout.write(f"{target}: {rows.height} rows, {len(markets)} markets, {target.stat().st_size} bytes\n")


def _time(text: str) -> pl.Expr:
    return pl.lit(text).str.to_datetime("%+", time_unit="ms", time_zone="UTC")


if __name__ == "__main__":
    main()
