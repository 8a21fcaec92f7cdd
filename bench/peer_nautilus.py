"""`python peer_nautilus.py TICKS RUNS`, in nautilus_trader's environment: the same ticks through its own catalog.

TICKS is an Arrow file: ts_event (ns), ts_init (ns), price (KRW), qty_e8, is_buy, trade_id. The ticks are made before
the clock runs. Prints one JSON object: CPU seconds of each write and read, and the size in bytes.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, TradeId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.persistence.catalog import ParquetDataCatalog

INSTRUMENT = InstrumentId.from_str("KRW-BTC.UPBIT")


def ticks_of(path):
    with pa.memory_map(path) as source:
        rows = pa.ipc.open_file(source).read_all().to_pylist()
    sides = {True: AggressorSide.BUYER, False: AggressorSide.SELLER}
    return [
        TradeTick(
            INSTRUMENT,
            Price(row["price"], 0),
            Quantity.from_str(f"{row['qty_e8'] // 10**8}.{row['qty_e8'] % 10**8:08d}"),
            sides[row["is_buy"]],
            TradeId(str(row["trade_id"])),
            row["ts_event"],
            row["ts_init"],
        )
        for row in rows
    ]


def once(ticks):
    """Write and read in a folder of its own; give what was read, the CPU seconds of both, and the size."""
    with tempfile.TemporaryDirectory() as folder:
        catalog = ParquetDataCatalog(folder)
        began = time.process_time()
        catalog.write_data(ticks)
        written = time.process_time()
        found = catalog.trade_ticks(instrument_ids=[str(INSTRUMENT)])
        read = time.process_time()
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
    return found, written - began, read - written, size


def main(path, runs):
    ticks = ticks_of(path)
    values = [TradeTick.to_dict(tick) for tick in ticks]
    found, _, _, size = once(ticks)
    assert [TradeTick.to_dict(tick) for tick in found] == values, "what was read is not what was written"
    del found, values
    spent = [once(ticks)[1:3] for _ in range(runs)]
    print(json.dumps({"write_s": [write for write, _ in spent], "read_s": [read for _, read in spent], "bytes": size}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
