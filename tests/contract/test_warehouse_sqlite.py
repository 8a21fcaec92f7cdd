"""What the SQLite file does beyond the contract: many processes, many threads, damage and a full disk."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import START_MS, MemoryWarehouse
from tickloop.adapters.local.warehouse import SqliteWarehouse
from tickloop.domain.bars import trade_frame
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.tables import REPAIR, TRADE
from tickloop.domain.window import MINUTE_MS, Window, hour_of
from tickloop.errors import DataError, HomeNotWritableError, OperatorError, SchemaTooNewError

HOUR = hour_of(START_MS)
WRITER = """
import sys
from pathlib import Path

import polars as pl

from tickloop.adapters.local.warehouse import SqliteWarehouse
from tickloop.domain.tables import REPAIR
from tickloop.domain.window import hour_of

market, hour = sys.argv[2], hour_of(int(sys.argv[3]))
minutes = [hour.start_ms + 60_000 * number for number in range(60)]
warehouse = SqliteWarehouse(Path(sys.argv[1]))
for count in range(1, 31):
    rows = pl.DataFrame(
        {"market": [market] * 60, "minute": minutes, "asked_at": minutes, "outcome": "gone", "trades": [count] * 60}
    ).cast(dict(REPAIR.columns))
    warehouse.replace(REPAIR, market, hour, rows)
    warehouse.upsert(REPAIR, rows.head(1).with_columns(market=pl.lit("KRW-ALL")))
warehouse.close()
"""
BEGIN = """
import sqlite3, sys

connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
    print("free")
except sqlite3.OperationalError as exc:
    print(exc)
connection.close()
"""


def trades(count: int, first: int = 0) -> pl.DataFrame:
    made = [
        Trade("KRW-BTC", number, START_MS + number, 5, number, 57_898_000.0, 1, Side.BUY, Change.RISE)
        for number in range(first, first + count)
    ]
    return trade_frame(made)


def test_three_writing_processes_and_a_reader_never_fail(
    tmp_path: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    """They open a file that is not there yet, write at once, and each read sees whole windows."""
    path = tmp_path / "warehouse.sqlite"
    writers = [start_python(WRITER, path, market, START_MS) for market in ("KRW-A", "KRW-B", "KRW-C")]
    warehouse = SqliteWarehouse(path)

    while any(writer.poll() is None for writer in writers):
        seen = warehouse.read(REPAIR, "KRW-B", HOUR)
        assert (seen.height, seen["trades"].n_unique()) in ((0, 0), (60, 1))

    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert warehouse.read(REPAIR)["trades"].to_list() == [30] * 181
    warehouse.close()


def test_second_connection_opened_and_closed_during_a_write_loses_nothing(
    tmp_path: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    """The write keeps its lock on the file, and its commit is there afterwards (with two SQLite libraries neither)."""
    path = tmp_path / "warehouse.sqlite"
    warehouse = SqliteWarehouse(path)
    with warehouse._transaction() as connection:
        connection.execute("INSERT INTO repair VALUES ('KRW-BTC', 0, 0, 'gone', 1)")

        other = SqliteWarehouse(path)
        assert other.read(REPAIR).height == 0
        other.close()
        answer, _ = start_python(BEGIN, path).communicate(timeout=30)

    assert answer == "database is locked\n"
    warehouse.close()
    again = SqliteWarehouse(path)
    assert again.read(REPAIR).height == 1
    again.close()


def test_threads_share_one_warehouse(tmp_path: Path) -> None:
    """The API calls it from its worker threads."""
    warehouse = SqliteWarehouse(tmp_path / "warehouse.sqlite")

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda number: warehouse.upsert(TRADE, trades(10, number * 10)), range(40)))
        heights = set(pool.map(lambda _: warehouse.read(TRADE).height, range(40)))

    assert (sum(counts), heights) == (400, {400})
    warehouse.close()


def test_closed_warehouse_says_so(tmp_path: Path) -> None:
    """Closing twice is fine, using it afterwards is not."""
    warehouse = SqliteWarehouse(tmp_path / "warehouse.sqlite")
    warehouse.close()
    warehouse.close()

    with pytest.raises(OperatorError, match="was closed by this process"):
        warehouse.read(TRADE)


def test_write_that_fills_the_disk_loses_nothing(tmp_path: Path) -> None:
    """The old window stands and the operator is told; with space again, the same write works."""
    warehouse = SqliteWarehouse(tmp_path / "warehouse.sqlite")
    warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(5))
    with warehouse._connection() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(HomeNotWritableError, match=r"warehouse\.sqlite cannot be written: database or disk is full"):
        warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(5_000))

    assert warehouse.read(TRADE).equals(trades(5))
    with warehouse._connection() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    assert warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(5_000)) == 5_000
    warehouse.close()


def test_place_that_takes_no_file_asks_the_operator(tmp_path: Path) -> None:
    """A file where the folder should be, or a folder where the file should be."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()

    with pytest.raises(HomeNotWritableError, match="cannot be written"):
        SqliteWarehouse(tmp_path / "file" / "warehouse.sqlite")
    with pytest.raises(HomeNotWritableError, match="unable to open database file"):
        SqliteWarehouse(tmp_path / "folder")


def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """It is left as it is."""
    path = tmp_path / "warehouse.sqlite"
    path.write_text("not a database, but long enough to look at " * 20)

    with pytest.raises(DataError, match=r"warehouse\.sqlite is not a database of ours or is damaged"):
        SqliteWarehouse(path)

    assert path.read_text().startswith("not a database")


def test_file_of_a_newer_tickloop_is_refused_untouched(tmp_path: Path) -> None:
    """The message names the file, its version and ours, and what to do."""
    path = tmp_path / "warehouse.sqlite"
    SqliteWarehouse(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA user_version = 99")

    with pytest.raises(
        SchemaTooNewError, match=r"warehouse\.sqlite has schema version 99, .* up to 2; upgrade Tickloop"
    ):
        SqliteWarehouse(path)

    assert connection.execute("PRAGMA user_version").fetchone() == (99,)
    connection.close()


def test_value_that_somebody_changed_by_hand_is_reported(tmp_path: Path) -> None:
    """A side that no trade can have never reaches a step."""
    warehouse = SqliteWarehouse(tmp_path / "warehouse.sqlite")
    warehouse.upsert(TRADE, trades(1))
    with warehouse._transaction() as connection:
        connection.execute("UPDATE trade SET side = 'HOLD'")

    with pytest.raises(DataError, match="table trade: a stored value is not of its type"):
        warehouse.read(TRADE)
    warehouse.close()


WRITES = st.lists(
    st.tuples(
        st.sampled_from(["replace", "upsert", "add_new"]),
        st.sampled_from(["KRW-BTC", "KRW-ETH"]),
        st.lists(st.integers(0, 5), max_size=4, unique=True),
        st.integers(0, 9),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(writes=WRITES)
def test_any_writes_leave_the_same_rows_as_in_memory(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[str, str, list[int], int]]
) -> None:
    """The file against the simplest warehouse there is."""
    stores = (SqliteWarehouse(tmp_path_factory.mktemp("any") / "warehouse.sqlite"), MemoryWarehouse())

    for call, market, minutes, value in writes:
        times = [START_MS + minute * MINUTE_MS for minute in minutes]
        count = len(times)
        rows = pl.DataFrame(
            {
                "market": [market] * count,
                "minute": times,
                "asked_at": times,
                "outcome": ["x"] * count,
                "trades": [value] * count,
            },
            schema={name: pl.Int64() if dtype.is_temporal() else dtype for name, dtype in REPAIR.columns.items()},
        ).cast(dict(REPAIR.columns))
        for store in stores:
            if call == "replace":
                store.replace(REPAIR, market, Window(START_MS, START_MS + 6 * MINUTE_MS), rows)
            else:
                getattr(store, call)(REPAIR, rows)

    assert stores[0].read(REPAIR).equals(stores[1].read(REPAIR))
    stores[0].close()
