"""The warehouse on a real PostgreSQL beyond the contract: many writers, kills, lost servers, plans, and one truth."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fakes import START_MS
from postgres_servers import admin, client_required, new_database, new_template, new_user
from servers import running
from tickloop.adapters.local.warehouse import SqliteWarehouse
from tickloop.domain.bars import trade_frame
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.tables import (
    BACKTEST,
    EQUITY,
    FEATURE,
    FORECAST,
    LEDGER,
    ORDER,
    REPAIR,
    RUN,
    TABLES,
    TRADE,
    TRADE_ORDER,
    Table,
)
from tickloop.domain.window import DAY_MS, Window, hour_of, to_ms
from tickloop.errors import DataError, OperatorError, StoreAwayError

if TYPE_CHECKING:
    from tickloop.adapters.postgres.connect import PostgresServer

pytest.importorskip("psycopg")
from tickloop.adapters.postgres import statements
from tickloop.adapters.postgres.connect import open_plain
from tickloop.adapters.postgres.warehouse import PostgresWarehouse

pytestmark = pytest.mark.server

HOUR = hour_of(START_MS)
SCRIPT_HEAD = """
import sys

from postgres_servers import server_at
from tickloop.adapters.postgres import statements
from tickloop.adapters.postgres.warehouse import PostgresWarehouse
from tickloop.domain.tables import TRADE
from tickloop.domain.window import Window, hour_of
from test_postgres_warehouse import HOUR, trades

address, database, user = sys.argv[1:4]
warehouse = PostgresWarehouse(server_at(address, database, user))
"""
STOP_BEFORE_INSERT = """
def stop(rows):
    print("deleted", flush=True)
    sys.stdin.read()

statements.stored = stop
warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(7).with_columns(price=2.0))
"""
REPLACE_AGAIN_AND_AGAIN = """
for _ in range(10):
    warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(int(sys.argv[4])))
warehouse.close()
"""


def trades(count: int, first: int = 0, start_ms: int = START_MS) -> pl.DataFrame:
    """Give trades of KRW-BTC, one a millisecond."""
    made = [
        Trade("KRW-BTC", number, start_ms + number, 5, number, 57_898_000.0, 1, Side.BUY, Change.RISE)
        for number in range(first, first + count)
    ]
    return trade_frame(made)


def start(script: str, address: str, server: PostgresServer, *more: object) -> subprocess.Popen[str]:
    folders = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    whole = f"import sys; sys.path[:0] = {folders!r}\n{SCRIPT_HEAD}{script}"
    command = [sys.executable, "-c", whole, address, server.database, server.user, *map(str, more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def test_process_killed_between_delete_and_insert_leaves_the_old_rows(
    postgres_address: str, postgres: PostgresServer
) -> None:
    """Its transaction is rolled back, and the next writer does not wait for it for long."""
    with closing(PostgresWarehouse(postgres)) as warehouse:
        warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(5))
        writer = start(STOP_BEFORE_INSERT, postgres_address, postgres)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "deleted\n"

        writer.kill()
        writer.communicate(timeout=30)

        assert warehouse.read(TRADE).equals(trades(5))
        assert warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(7)) == 7
        assert warehouse.read(TRADE).equals(trades(7))


def test_rows_that_stand_already_are_left_alone(postgres: PostgresServer) -> None:
    """A window that is loaded again writes nothing, one that was repaired what it lacked, another is written anew."""
    changed = trades(9).with_columns(price=pl.when(pl.col("trade_id") == 3).then(1.0).otherwise("price"))

    with closing(PostgresWarehouse(postgres)) as warehouse, closing(open_plain(postgres)) as connection:

        def writers(rows: pl.DataFrame) -> list[int]:
            """Give for each stored trade a number of the transaction that wrote it, counted from 0."""
            assert warehouse.replace(TRADE, "KRW-BTC", HOUR, rows) == rows.height
            assert warehouse.read(TRADE).equals(rows.sort(TRADE_ORDER))
            found = connection.execute("SELECT xmin::text FROM trade ORDER BY trade_id").fetchall()
            numbers = [number for (number,) in found]
            return [sorted(set(numbers), key=int).index(number) for number in numbers]

        lacking = trades(9).filter(pl.col("trade_id") != 4)
        assert writers(lacking) == writers(lacking) == [0] * 8
        assert writers(trades(9).reverse()) == [0, 0, 0, 0, 1, 0, 0, 0, 0]
        assert writers(trades(9)) == [0, 0, 0, 0, 1, 0, 0, 0, 0]
        assert writers(changed) == [0] * 9
        assert writers(changed.clear()) == []


def test_repaired_row_whose_id_is_taken_in_another_hour_is_refused(postgres: PostgresServer) -> None:
    """The rows of the window itself take no id."""
    later = Window(HOUR.end_ms, HOUR.end_ms + HOUR.end_ms - HOUR.start_ms)
    with closing(PostgresWarehouse(postgres)) as warehouse:
        warehouse.replace(TRADE, "KRW-BTC", later, trades(1, 5, later.start_ms - 5))
        warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(5))

        with pytest.raises(DataError, match=r"key \(market='KRW-BTC', trade_id=5\) is there already outside"):
            warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(7))

        assert warehouse.read(TRADE, "KRW-BTC", HOUR).equals(trades(5))


def test_two_processes_that_replace_one_window_leave_the_rows_of_one(
    postgres_address: str, postgres: PostgresServer
) -> None:
    """Neither fails, and every read sees one of the two wholes."""
    writers = [start(REPLACE_AGAIN_AND_AGAIN, postgres_address, postgres, count) for count in (300, 400)]

    with closing(PostgresWarehouse(postgres)) as warehouse:
        while any(writer.poll() is None for writer in writers):
            assert warehouse.read(TRADE, "KRW-BTC", HOUR).height in (0, 300, 400)

        for writer in writers:
            writer.communicate(timeout=60)
        assert [writer.returncode for writer in writers] == [0, 0]
        found = warehouse.read(TRADE)
        assert found.equals(trades(300)) or found.equals(trades(400))


def test_writers_that_need_the_same_new_month_make_it_once(postgres: PostgresServer) -> None:
    """Eight threads, eight markets, one month that is not there."""
    rows = trades(3)

    def write(market: str) -> int:
        return warehouse.replace(TRADE, market, HOUR, rows.with_columns(pl.lit(market).alias("market")))

    with closing(PostgresWarehouse(postgres)) as warehouse:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(write, [f"KRW-{letter}" for letter in "ABCDEFGH"])) == [3] * 8

        assert warehouse.read(TRADE).height == 24
    with closing(open_plain(postgres)) as connection:
        names = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'trade'::regclass"
        )
        assert names.fetchall() == [("trade_2024_01",)]


def test_parts_over_the_turn_of_a_month_are_one_transaction(postgres: PostgresServer) -> None:
    """The second month is made while the transaction has the first one's rows."""
    turn = datetime(2024, 2, 1, tzinfo=UTC)
    window = Window(to_ms(turn) - DAY_MS, to_ms(turn) + DAY_MS)
    parts = [trades(3, 0, window.start_ms), trades(4, 10, to_ms(turn) - 2), trades(3, 20, to_ms(turn) + DAY_MS // 2)]

    with closing(PostgresWarehouse(postgres)) as warehouse:
        first = warehouse.replace_by_parts(TRADE, "KRW-BTC", window, parts)
        with pytest.raises(DataError, match="ends too early"):
            warehouse.replace_by_parts(TRADE, "KRW-BTC", window, failing(parts))

        assert first == 10
        assert warehouse.read(TRADE).equals(pl.concat(parts))


def failing(parts: list[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    yield from (part.with_columns(price=2.0) for part in parts)
    raise DataError("ends too early")


def test_same_trade_in_two_months_is_refused(postgres: PostgresServer) -> None:
    """No index spans the months: the write looks itself."""
    january, february = hour_of(START_MS), hour_of(START_MS + 20 * DAY_MS)

    with closing(PostgresWarehouse(postgres)) as warehouse:
        warehouse.replace(TRADE, "KRW-BTC", january, trades(3))

        with pytest.raises(
            DataError, match=r"key \(market='KRW-BTC', trade_id=2\) is there already outside 2024-02-11"
        ):
            warehouse.replace(TRADE, "KRW-BTC", february, trades(3, 2, february.start_ms))

        assert warehouse.read(TRADE).equals(trades(3))
        assert warehouse.add_new(TRADE, trades(3, 1, february.start_ms)) == 1
        assert warehouse.upsert(TRADE, trades(1, 0, february.start_ms)) == 1
        assert warehouse.read(TRADE)["trade_id"].to_list() == [1, 2, 0, 3]


def test_threads_share_one_warehouse(postgres: PostgresServer) -> None:
    """The API calls it from its worker threads."""
    with closing(PostgresWarehouse(postgres)) as warehouse, ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda number: warehouse.upsert(TRADE, trades(10, number * 10)), range(40)))
        heights = set(pool.map(lambda _: warehouse.read(TRADE).height, range(40)))

    assert (sum(counts), heights) == (400, {400})


def test_closed_warehouse_says_so(postgres: PostgresServer) -> None:
    """Closing twice is fine, using it afterwards is not."""
    warehouse = PostgresWarehouse(postgres)
    warehouse.close()
    warehouse.close()

    with pytest.raises(OperatorError, match="was closed by this process"):
        warehouse.read(TRADE)


def test_sessions_ended_by_the_server_are_replaced_unseen(postgres_address: str, postgres: PostgresServer) -> None:
    """Kept connections are looked at before they are used; what is new needs no retry."""
    with closing(PostgresWarehouse(postgres)) as warehouse:
        warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(5))
        with admin(postgres_address) as connection:
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            assert len(connection.execute(end, (postgres.database,)).fetchall()) == 2

        assert warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(6)) == 6
        assert warehouse.upsert(TRADE, trades(7)) == 7
        assert warehouse.read(TRADE).equals(trades(7))


def test_session_lost_in_the_middle_fails_the_call_and_keeps_the_old_rows(
    postgres_address: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction is never taken up again half-way; the same call works after it."""
    stored = statements.stored

    def end_sessions(rows: pl.DataFrame) -> pl.DataFrame:
        with admin(postgres_address) as connection:
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(end, (postgres.database,))
        return stored(rows)

    with closing(PostgresWarehouse(postgres)) as warehouse:
        warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(5))
        with monkeypatch.context() as patch:
            patch.setattr(statements, "stored", end_sessions)
            with pytest.raises(StoreAwayError, match=r"PostgreSQL at 127\.0\.0\.1:"):
                warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(6))

        assert warehouse.read(TRADE).equals(trades(5))
        assert warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(6)) == 6


def until_gone(pid: str) -> None:
    """Wait until the server has ended: it ends a moment after its script when that was killed."""
    deadline = time.monotonic() + 30
    while Path("/proc", pid).exists():
        assert time.monotonic() < deadline, "the server goes on without its script"


def test_server_that_stops_and_comes_back_is_found_again(tmp_path: Path) -> None:
    """Away is said at once, by name; killed or stopped, what was committed is there afterwards."""
    client_required()
    with (
        running("postgres", tmp_path / "server") as server,
        new_user(server.address) as user,
        new_template(server.address, user) as database,
        closing(PostgresWarehouse(database)) as warehouse,
    ):
        warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(5))
        for number in (15, 9):
            pid = (server.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0]
            server.stop(number)
            until_gone(pid)
            with pytest.raises(StoreAwayError, match=r"valid: a server that runs at postgres\.host and postgres\.port"):
                warehouse.read(TRADE)
            server.start()

            assert warehouse.read(TRADE).equals(trades(5))
            assert warehouse.replace(TRADE, "KRW-BTC", HOUR, trades(5)) == 5


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("outcome", "a\0b", r"table repair: outcome = 'a\\x00b' cannot be stored; valid: text without the character 0"),
        ("asked_at", 2**62, r"table repair: asked_at = 4611686018427387904 .*; valid: a time in the years 1 to 9999"),
    ],
)
@pytest.mark.parametrize("call", ["replace", "upsert", "add_new"])
def test_value_that_only_this_database_cannot_hold_is_named(
    postgres: PostgresServer, call: str, name: str, value: Any, message: str
) -> None:
    """Both would fit into the laptop's file; neither comes from the exchange."""
    row = {"market": "KRW-BTC", "minute": START_MS, "asked_at": 0, "outcome": "", "trades": 0} | {name: value}
    schema = {key: pl.Int64() if dtype.is_temporal() else dtype for key, dtype in REPAIR.columns.items()}
    rows = pl.DataFrame([row], schema=schema).cast(dict(REPAIR.columns))

    with closing(PostgresWarehouse(postgres)) as warehouse:
        arguments = ("KRW-BTC", HOUR, rows) if call == "replace" else (rows,)
        with pytest.raises(DataError, match=message):
            getattr(warehouse, call)(REPAIR, *arguments)

        assert warehouse.read(REPAIR).height == 0


def test_value_that_somebody_changed_by_hand_is_reported(postgres: PostgresServer) -> None:
    """A side that no trade can have never reaches a step."""
    with closing(PostgresWarehouse(postgres)) as warehouse:
        warehouse.upsert(TRADE, trades(1))
        with closing(open_plain(postgres)) as connection:
            connection.execute("UPDATE trade SET side = 'HOLD'")

        with pytest.raises(DataError, match="table trade: a stored value is not of its type"):
            warehouse.read(TRADE)


def run_by(time: str) -> Table:
    return Table(RUN.name, RUN.columns, time, RUN.key, RUN.required)


DAY = Window(START_MS - START_MS % DAY_MS, START_MS - START_MS % DAY_MS + DAY_MS)
READS = {
    "trades of an hour": (TRADE, "KRW-BTC", HOUR, None),
    "newest trades": (TRADE, "KRW-BTC", None, 100),
    "ledger of a day": (LEDGER, "KRW-BTC", DAY, None),
    "features of a day": (FEATURE, "KRW-BTC", DAY, None),
    "newest forecasts": (FORECAST, None, None, 100),
    "newest orders": (ORDER, None, None, 100),
    "newest orders of a market": (ORDER, "KRW-BTC", None, 100),
    "newest equity": (EQUITY, None, None, 1),
    "newest back-tests": (BACKTEST, None, None, 10),
    "runs of a window": (RUN, "KRW-BTC", HOUR, None),
    "runs that end in a window": (run_by("window_end"), None, HOUR, None),
    "a market's runs that end in a window": (run_by("window_end"), "KRW-BTC", HOUR, None),
    "newly finished runs": (run_by("finished_at"), None, HOUR, None),
}
FILLED = """
INSERT INTO "{table}" ({columns}) SELECT {values}
FROM generate_series(0, 5999) AS n, unnest(ARRAY['KRW-BTC', 'KRW-ETH', 'KRW-XRP']) AS m
"""


def filled_with(table: Table) -> str:
    """Give the statement that puts a row a quarter of an hour into a table, for three markets and two months."""

    def value(name: str, dtype: pl.DataType) -> str:
        if name == "market":
            return "m"
        if dtype == pl.Datetime("ms", "UTC"):
            return "timestamptz '2024-01-01Z' + n * interval '15 minutes'"
        if isinstance(dtype, pl.Enum):
            return f"'{dtype.categories[0]}'"
        kinds = {pl.String(): "m || n", pl.Boolean(): "true", pl.Binary(): "'\\x00'::bytea"}
        return kinds.get(dtype, "n")

    names = ", ".join(f'"{name}"' for name in table.columns)
    values = ", ".join(value(name, dtype) for name, dtype in table.columns.items())
    return FILLED.format(table=table.name, columns=names, values=values)


def test_reads_of_the_services_scan_no_table_and_one_month(postgres: PostgresServer) -> None:
    """What EXPLAIN says of tables with rows enough that a scan would cost more."""
    plans: dict[str, str] = {}
    with closing(PostgresWarehouse(postgres)) as warehouse, closing(open_plain(postgres)) as connection:
        for number in range(3):
            month_ms = START_MS + number * 31 * DAY_MS
            warehouse.upsert(TRADE, trades(1, number, month_ms))
        connection.execute("DELETE FROM trade")  # the months stay
        for table in dict.fromkeys(table.name for table, *_ in READS.values()):
            connection.execute(filled_with(next(one for one in TABLES if one.name == table)).encode())
        connection.execute("ANALYZE")
        for name, (table, market, window, last) in READS.items():
            sql = f"EXPLAIN {statements.select(table, market, window, last)}"
            plans[name] = "\n".join(line for (line,) in connection.execute(sql.encode()))

    assert [name for name, plan in plans.items() if "Seq Scan" in plan] == []
    assert set(re.findall(r"trade_\d{4}_\d\d(?=\s)", plans["trades of an hour"])) == {"trade_2024_01"}
    assert "Sort" not in plans["trades of an hour"]
    assert "Sort" not in plans["newest trades"]


def column_of(name: str, dtype: pl.DataType) -> st.SearchStrategy[Any]:
    if name == "market":
        return st.sampled_from(["KRW-BTC", "KRW-ETH", "krw-b", "KRW-Ä"])
    if isinstance(dtype, pl.Datetime):
        start, end = datetime(2023, 12, 31, 23, tzinfo=UTC), datetime(2024, 2, 1, 1, tzinfo=UTC)
        moments = st.datetimes(start.replace(tzinfo=None), end.replace(tzinfo=None))
        whole = moments.map(lambda moment: moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000))
        return whole if dtype.time_unit == "ms" else whole.map(lambda moment: moment.replace(microsecond=7_000))
    if isinstance(dtype, pl.Enum):
        return st.sampled_from(dtype.categories.to_list())
    if dtype == pl.String:
        return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
    if dtype == pl.Binary:
        return st.binary(max_size=9)
    if dtype == pl.Boolean:
        return st.booleans()
    if dtype == pl.Int64:
        return st.integers(-(2**63), 2**63 - 1)
    return st.floats(allow_nan=False, allow_infinity=False, max_value=1e300, min_value=-1e300)


def frames(table: Table) -> st.SearchStrategy[pl.DataFrame]:
    """Give frames of up to 6 rows that the table may hold, no two of one key."""
    values = {
        name: column_of(name, dtype) if name in table.required else st.none() | column_of(name, dtype)
        for name, dtype in table.columns.items()
    }
    rows = st.lists(st.fixed_dictionaries(values), max_size=6, unique_by=lambda row: tuple(map(row.get, table.key)))
    return rows.map(lambda some: pl.DataFrame(some, schema=table.columns))


def is_same(ours: pl.DataFrame, theirs: pl.DataFrame) -> bool:
    """Tell whether frames are alike bit by bit: zeros of either sign differ."""
    floats = [name for name, dtype in ours.schema.items() if dtype == pl.Float64]
    return ours.equals(theirs) and all(
        ours[name].to_numpy().tobytes() == theirs[name].to_numpy().tobytes() for name in floats
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_any_rows_come_back_alike_from_postgresql_and_sqlite(
    emptied_postgres: PostgresServer, tmp_path: Path, table: Table
) -> None:
    """Every bit of every type, in one order: parity of the two profiles begins here."""
    with (
        closing(open_plain(emptied_postgres)) as connection,
        closing(PostgresWarehouse(emptied_postgres)) as server,
        closing(SqliteWarehouse(tmp_path / "warehouse.sqlite")) as file,
    ):

        @settings(max_examples=10, phases=[Phase.generate])  # to make a failure smaller takes minutes
        @given(first=frames(table), second=frames(table))
        def compare(first: pl.DataFrame, second: pl.DataFrame) -> None:
            connection.execute(f'DELETE FROM "{table.name}"'.encode())
            with file._transaction() as own:
                own.execute(f'DELETE FROM "{table.name}"')
            for market in second["market"].unique():
                for store in (server, file):
                    store.upsert(table, first)
                    rows = second.filter(pl.col("market") == market, pl.col(table.time).is_between(*edges, "left"))
                    try:
                        store.replace(table, market, window, rows)
                    except DataError as exc:
                        refusals.setdefault(type(store), []).append(str(exc))
            assert server.add_new(table, second) == file.add_new(table, second)
            for market in (None, "KRW-BTC"):
                for part, last in ((None, None), (window, None), (None, 3)):
                    ours, theirs = (store.read(table, market, part, last=last) for store in (server, file))
                    assert is_same(ours, theirs)

        window = Window(START_MS - START_MS % DAY_MS, START_MS - START_MS % DAY_MS + 10 * DAY_MS)
        edges = (window.start, window.end)
        refusals: dict[type, list[str]] = {}
        compare()

        assert refusals.get(PostgresWarehouse, []) == refusals.get(SqliteWarehouse, [])


def test_many_rows_of_one_millisecond_keep_their_order(postgres: PostgresServer, tmp_path: Path) -> None:
    """Ties, more than a chunk of them, given in another order."""
    rows = trades(25_000).with_columns(pl.lit(HOUR.start).alias("ts_event").cast(TRADE.columns["ts_event"]))

    with (
        closing(PostgresWarehouse(postgres)) as server,
        closing(SqliteWarehouse(tmp_path / "warehouse.sqlite")) as file,
    ):
        for store in (server, file):
            store.replace(TRADE, "KRW-BTC", HOUR, rows.sample(fraction=1, shuffle=True, seed=7))

        assert server.read(TRADE).equals(rows)
        assert is_same(server.read(TRADE), file.read(TRADE))


def test_two_databases_of_one_server_do_not_meet(postgres_address: str, postgres: PostgresServer) -> None:
    """Tests, and homes, share a server."""
    with (
        new_database(postgres_address, postgres.user, postgres.database) as other,
        closing(PostgresWarehouse(other)) as one,
    ):
        one.upsert(TRADE, trades(1))
        with closing(PostgresWarehouse(postgres)) as two:
            assert two.read(TRADE).height == 0
