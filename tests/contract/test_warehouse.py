"""What every warehouse does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fakes import START_MS
from tickloop.domain.bars import trade_frame
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.tables import BAR_1M, FORECAST, ORDER, TABLES, TRADE, Table
from tickloop.domain.window import MINUTE_MS, Window, hour_of, to_datetime
from tickloop.errors import DataError, UsageError
from tickloop.ports import Warehouse

HOUR = hour_of(START_MS)


def sample(table: Table, *, is_bare: bool = False) -> pl.DataFrame:
    """Give one row of any table at the start of the hour; bare: nulls wherever the table allows them."""
    row = {name: _value(name, dtype) for name, dtype in table.columns.items()}
    if is_bare:
        row |= {name: None for name in table.columns if name not in table.required}
    return pl.DataFrame([row], schema=table.columns)


def _value(name: str, dtype: pl.DataType) -> Any:
    if name == "market":
        return "KRW-BTC"
    if isinstance(dtype, pl.Datetime):
        return HOUR.start
    if isinstance(dtype, pl.Enum):
        return dtype.categories[0]
    return {pl.String(): f"a {name}", pl.Int64(): 2**62 + 1, pl.Float64(): 0.1, pl.Boolean(): True}.get(
        dtype, b"\x00\xff"
    )


def bars(*minutes: int, market: str = "KRW-BTC", close: float = 57_898_000.0) -> pl.DataFrame:
    """Give bars that open so many minutes after the start of the hour."""
    rows = sample(BAR_1M)
    opens = [to_datetime(START_MS + minute * MINUTE_MS) for minute in minutes]
    many = pl.concat([rows] * len(minutes)) if minutes else rows.clear()
    return many.with_columns(
        pl.lit(market).alias("market"),
        pl.Series("ts_open", opens, dtype=BAR_1M.columns["ts_open"]),
        pl.lit(close).alias("close"),
    )


def trade(trade_id: int, ms: int, arrival: int, market: str = "KRW-BTC") -> Trade:
    return Trade(
        market, trade_id, START_MS + ms, START_MS * 1_000_000 + 7, arrival, 57_898_000.0, 1, Side.BUY, Change.RISE
    )


def minutes_of(rows: pl.DataFrame) -> list[int]:
    moments: list[datetime] = rows["ts_open"].to_list()
    return [int((moment - HOUR.start).total_seconds()) // 60 for moment in moments]


@pytest.mark.parametrize("is_bare", [False, True], ids=["full", "bare"])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_row_of_each_table_comes_back_exactly(warehouse: Warehouse, table: Table, is_bare: bool) -> None:
    """Types, zones, enums, nulls, large whole numbers and bytes survive."""
    rows = sample(table, is_bare=is_bare)

    written = warehouse.replace(table, "KRW-BTC", HOUR, rows)
    found = warehouse.read(table, "KRW-BTC", HOUR)

    assert written == 1
    assert found.schema == pl.Schema(table.columns)
    assert found.equals(rows)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_without_rows_reads_as_its_empty_frame(warehouse: Warehouse, table: Table) -> None:
    """Absent rows still have their columns and types."""
    found = warehouse.read(table)

    assert found.height == 0
    assert found.schema == pl.Schema(table.columns)


def test_replace_touches_its_market_and_window_only(warehouse: Warehouse) -> None:
    """The start belongs to the window, the end does not."""
    warehouse.upsert(BAR_1M, bars(-1, 0, 30, 59, 60))
    warehouse.upsert(BAR_1M, bars(30, market="KRW-ETH"))

    warehouse.replace(BAR_1M, "KRW-BTC", HOUR, bars(1, 2))

    assert minutes_of(warehouse.read(BAR_1M, "KRW-BTC")) == [-1, 1, 2, 60]
    assert minutes_of(warehouse.read(BAR_1M, "KRW-ETH")) == [30]


def test_replace_by_the_same_rows_changes_nothing(warehouse: Warehouse) -> None:
    """A step may run twice."""
    warehouse.replace(BAR_1M, "KRW-BTC", HOUR, bars(0, 1, 2))

    written = warehouse.replace(BAR_1M, "KRW-BTC", HOUR, bars(0, 1, 2))

    assert written == 3
    assert warehouse.read(BAR_1M).equals(bars(0, 1, 2))


def test_replace_by_nothing_empties_the_window(warehouse: Warehouse) -> None:
    """An empty frame is a result like any other."""
    warehouse.upsert(BAR_1M, bars(0, 60))

    assert warehouse.replace(BAR_1M, "KRW-BTC", HOUR, BAR_1M.empty()) == 0

    assert minutes_of(warehouse.read(BAR_1M)) == [60]


def test_trades_come_in_trade_order(warehouse: Warehouse) -> None:
    """Time first, then arrival: the id does not order trades of one millisecond."""
    made = [trade(3, 5, 10), trade(9, 5, 9), trade(1, 6, 11), trade(2, 0, 99)]

    warehouse.replace(TRADE, "KRW-BTC", HOUR, trade_frame(made).reverse())

    assert warehouse.read(TRADE, "KRW-BTC", HOUR)["trade_id"].to_list() == [2, 9, 3, 1]


def test_last_rows_come_oldest_first(warehouse: Warehouse) -> None:
    """`last` counts from the newest row of market and window."""
    warehouse.upsert(BAR_1M, bars(3, 1, 2, 0, 60))
    warehouse.upsert(BAR_1M, bars(59, market="KRW-ETH"))

    assert minutes_of(warehouse.read(BAR_1M, "KRW-BTC", HOUR, last=2)) == [2, 3]
    assert minutes_of(warehouse.read(BAR_1M, "KRW-BTC", last=9)) == [0, 1, 2, 3, 60]
    assert minutes_of(warehouse.read(BAR_1M, last=2)) == [59, 60]
    assert minutes_of(warehouse.read(BAR_1M, "KRW-BTC", last=0)) == []
    with pytest.raises(UsageError, match="last = -1"):
        warehouse.read(BAR_1M, last=-1)


def test_rows_of_all_markets_come_by_time_then_key(warehouse: Warehouse) -> None:
    """No market given: one order over all."""
    warehouse.upsert(BAR_1M, bars(1, 0, market="KRW-ETH"))
    warehouse.upsert(BAR_1M, bars(1, 0))

    found = warehouse.read(BAR_1M, window=HOUR)

    assert found["market"].to_list() == ["KRW-BTC", "KRW-ETH", "KRW-BTC", "KRW-ETH"]
    assert minutes_of(found) == [0, 0, 1, 1]


def test_upsert_replaces_rows_of_the_same_key(warehouse: Warehouse) -> None:
    """The later value stands, also of two in one call."""
    warehouse.upsert(BAR_1M, bars(0, 1, close=1.0))

    warehouse.upsert(BAR_1M, pl.concat([bars(1, close=2.0), bars(1, 2, close=3.0)]))

    assert warehouse.read(BAR_1M)["close"].to_list() == [1.0, 3.0, 3.0]


def test_upsert_of_an_order_follows_its_id_alone(warehouse: Warehouse) -> None:
    """The key need not hold market or time."""
    first = sample(ORDER)
    later = first.with_columns(pl.lit("done").alias("state"), pl.lit("0.0001").alias("executed_qty"))
    warehouse.upsert(ORDER, first)

    warehouse.upsert(ORDER, later)

    assert warehouse.read(ORDER).equals(later)


def test_first_write_wins_when_only_new_rows_are_added(warehouse: Warehouse) -> None:
    """A forecast that was made is never changed."""
    first = sample(FORECAST)
    second = first.with_columns(pl.lit(2.0).alias("price"))
    third = second.with_columns(pl.lit("ridge-2").alias("model_version"))

    counts = [
        warehouse.add_new(FORECAST, first),
        warehouse.add_new(FORECAST, pl.concat([second, third, third])),
        warehouse.add_new(FORECAST, FORECAST.empty()),
    ]

    assert counts == [1, 1, 0]
    assert sorted(warehouse.read(FORECAST)["price"].to_list()) == [0.1, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": float("nan")}, r"table bar_1m: close = nan in row 1; valid: a finite number"),
        ({"vwap": float("inf")}, r"table bar_1m: vwap = inf in row 1; valid: a finite number"),
        ({"close": None}, r"table bar_1m: close = None in row 1; valid: a value"),
        ({"market": "KRW-ETH"}, r"table bar_1m: market = 'KRW-ETH' in row 1; valid: 'KRW-BTC'"),
        (
            {"ts_open": datetime(2024, 1, 22, 1, tzinfo=UTC)},
            r"table bar_1m: ts_open = 2024-01-22T01:00:00\+00:00 in row 1; valid: a time in 2024-01-22T00",
        ),
        (
            {"ts_open": datetime(2024, 1, 22, 0, tzinfo=UTC)},
            r"table bar_1m: key \(market='KRW-BTC', ts_open=2024-01-22T00:00:00\+00:00\) comes twice",
        ),
    ],
    ids=["nan", "infinite", "missing", "other market", "outside", "same key"],
)
def test_bad_row_is_named_and_nothing_is_written(warehouse: Warehouse, change: dict[str, Any], message: str) -> None:
    """One bad row keeps the good ones out: the window is whole or as it was."""
    warehouse.upsert(BAR_1M, bars(7))
    good = bars(0, 1)
    bad = pl.DataFrame([good.row(0, named=True), good.row(1, named=True) | change], schema=BAR_1M.columns)

    with pytest.raises(DataError, match=message):
        warehouse.replace(BAR_1M, "KRW-BTC", HOUR, bad)

    assert minutes_of(warehouse.read(BAR_1M)) == [7]


def test_key_that_another_window_holds_is_refused_and_the_old_rows_stand(warehouse: Warehouse) -> None:
    """The same trade at two times is a contradiction in the data."""
    warehouse.upsert(TRADE, trade_frame([trade(1, -5, 1), trade(2, 0, 2)]))

    with pytest.raises(DataError, match=r"key \(market='KRW-BTC', trade_id=1\) is there already outside 2024-01-22T00"):
        warehouse.replace(TRADE, "KRW-BTC", HOUR, trade_frame([trade(2, 0, 2), trade(1, 4, 3)]))

    assert warehouse.read(TRADE)["trade_id"].to_list() == [1, 2]


MINUTE = 60_000


def some(*trades: Trade) -> pl.DataFrame:
    return trade_frame(list(trades))


def test_window_replaced_by_parts_holds_all_of_them(warehouse: Warehouse) -> None:
    """Minutes may be spread over parts; rows that stood anywhere in the window are gone."""
    warehouse.upsert(TRADE, some(trade(1, -1, 1), trade(90, 30 * MINUTE, 9), trade(91, 59 * MINUTE, 9)))
    parts = [
        some(trade(2, 0, 2), trade(3, 5, 3)),
        TRADE.empty(),
        some(trade(4, 5, 4), trade(5, 5 * MINUTE, 5)),
        some(trade(6, 31 * MINUTE, 6)),
    ]

    first = warehouse.replace_by_parts(TRADE, "KRW-BTC", HOUR, parts)
    again = warehouse.replace_by_parts(TRADE, "KRW-BTC", HOUR, iter(parts))

    assert (first, again) == (5, 5)
    assert warehouse.read(TRADE, window=HOUR).equals(pl.concat(parts))
    assert warehouse.read(TRADE)["trade_id"].to_list() == [1, 2, 3, 4, 5, 6]


def test_no_parts_empty_the_window(warehouse: Warehouse) -> None:
    """Nothing came is a result like any other."""
    warehouse.upsert(TRADE, some(trade(1, -1, 1), trade(2, 0, 2), trade(3, 59 * MINUTE, 3)))

    assert warehouse.replace_by_parts(TRADE, "KRW-BTC", HOUR, ()) == 0

    assert warehouse.read(TRADE)["trade_id"].to_list() == [1]


def failing() -> Iterator[pl.DataFrame]:
    yield some(trade(2, 0, 2))
    yield some(trade(3, 5 * MINUTE, 3))
    raise DataError("the object ends too early")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([some(trade(2, 0, 2)), some(trade(3, 2 * MINUTE, 3)), some(trade(2, 9 * MINUTE, 4))], r"trade_id=2\) comes"),
        ([some(trade(2, 0, 2)), some(trade(2, 0, 3))], r"trade_id=2\) comes twice in the rows"),
        ([some(trade(2, 0, 2)), some(trade(1, 5 * MINUTE, 3))], r"trade_id=1\) is there already outside 2024-01-22T00"),
        ([some(trade(2, 5 * MINUTE, 2)), some(trade(3, 0, 3))], r"ts_event = .* a time not before 2024-01-22T00:05"),
        ([some(trade(3, 5, 2), trade(2, 0, 3)).reverse()], r"ts_event = .* in row 1; .* before the row above"),
        ([some(trade(2, 0, 2)), some(trade(3, 60 * MINUTE, 3))], r"ts_event = .*; valid: a time in 2024-01-22T00"),
        (failing, "the object ends too early"),
    ],
    ids=["same key later", "same key at once", "taken", "back in time", "not in order", "outside", "failing"],
)  # fmt: skip
def test_parts_of_which_one_is_bad_change_nothing(
    warehouse: Warehouse, parts: Sequence[pl.DataFrame] | Callable[[], Iterator[pl.DataFrame]], message: str
) -> None:
    """All of them are one transaction."""
    before = some(trade(1, -1, 1), trade(7, MINUTE, 7), trade(8, 40 * MINUTE, 8))
    warehouse.upsert(TRADE, before)

    with pytest.raises(DataError, match=message):
        warehouse.replace_by_parts(TRADE, "KRW-BTC", HOUR, parts() if callable(parts) else parts)

    assert warehouse.read(TRADE).equals(before)


def test_trade_that_stood_later_in_the_window_is_replaced_by_parts_too(warehouse: Warehouse) -> None:
    """It goes with the rest of the old window, wherever its new row lies."""
    warehouse.upsert(TRADE, some(trade(1, 30 * MINUTE, 1), trade(2, 31 * MINUTE, 2), trade(9, 50 * MINUTE, 9)))
    parts = [some(trade(2, 5 * MINUTE, 2)), some(trade(3, 6 * MINUTE, 3)), some(trade(1, 30 * MINUTE, 4))]

    warehouse.replace_by_parts(TRADE, "KRW-BTC", HOUR, parts)

    assert warehouse.read(TRADE).equals(pl.concat(parts))


def rows_of(places: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """Give trades by id and seconds after the start of the hour, in order."""
    made = [trade(trade_id, 1_000 * second, number) for number, (trade_id, second) in enumerate(places)]
    return trade_frame(sorted(made, key=lambda one: one.ts_event_ms))


PLACES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 299)), max_size=12)


def test_parts_do_the_same_as_one_frame(warehouse: Warehouse) -> None:
    """Whatever stood there, however the rows are cut; a refusal is the same refusal."""

    @settings(max_examples=40, phases=[Phase.generate])
    @given(old=PLACES, new=PLACES, cuts=st.lists(st.integers(0, 12), max_size=4))
    def compare(old: list[tuple[int, int]], new: list[tuple[int, int]], cuts: list[int]) -> None:
        rows = rows_of(new)
        edges = [0, *sorted(cuts), rows.height]
        parts = [rows[start:stop] for start, stop in pairwise(edges) if start < stop]
        found = []
        for write in (
            lambda: warehouse.replace(TRADE, "KRW-BTC", HOUR, rows),
            lambda: warehouse.replace_by_parts(TRADE, "KRW-BTC", HOUR, parts),
        ):
            warehouse.replace(TRADE, "KRW-BTC", HOUR, rows_of(list({one: one for one in dict(old).items()})))
            try:
                write()
            except DataError:
                found.append(None)
            else:
                found.append(warehouse.read(TRADE))
        assert (found[0] is None) == (found[1] is None)
        assert found[0] is None or found[0].equals(found[1])

    compare()


@pytest.mark.parametrize("call", ["upsert", "add_new"])
def test_frame_of_other_columns_or_types_is_refused(warehouse: Warehouse, call: str) -> None:
    """A caller's mistake is named before it reaches the store."""
    write = getattr(warehouse, call)

    with pytest.raises(DataError, match=r"columns are .*; valid: \['market', 'ts_open', 'open'"):
        write(BAR_1M, bars(0).drop("open"))
    with pytest.raises(DataError, match=r"column open is Int64; valid: Float64"):
        write(BAR_1M, bars(0).with_columns(pl.lit(1, dtype=pl.Int64).alias("open")))


def test_windows_shorter_than_an_hour_cut_by_the_minute(warehouse: Warehouse) -> None:
    """Live windows are single minutes."""
    warehouse.upsert(BAR_1M, bars(0, 1, 2))

    found = warehouse.read(BAR_1M, "KRW-BTC", Window(START_MS + MINUTE_MS, START_MS + 2 * MINUTE_MS))

    assert minutes_of(found) == [1]
