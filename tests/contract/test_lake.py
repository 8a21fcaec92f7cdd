"""What every lake does, then what the folder of Parquet files does."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import START_MS
from tickloop.adapters.common.lake_format import decode_trades, read_trades, write_trades
from tickloop.adapters.local.lake import ParquetLake
from tickloop.domain.bars import trade_frame
from tickloop.domain.market import Change, Side, Source, Trade
from tickloop.domain.tables import TRADE
from tickloop.domain.window import HOUR_MS, Window, hour_of
from tickloop.errors import DataError, HomeNotWritableError, UsageError, WindowError
from tickloop.ports import Lake

HOUR = hour_of(START_MS)
DATA = Path(__file__).parent.parent / "data" / "lake"


def trades_of(hour: Window = HOUR, count: int = 3) -> pl.DataFrame:
    made = [
        Trade(
            market="KRW-BTC",
            trade_id=17_058_816_000_000_000 + number,
            ts_event_ms=hour.start_ms + number,
            ts_received_ns=hour.start_ms * 1_000_000 + 50_123_456 + number,
            arrival=hour.start_ms * 1_000_000 + 50_123_456 + number,
            price=57_898_000.0 + 1_000 * number,
            qty_e8=7_342_213,
            side=Side.BUY if number % 2 else Side.SELL,
            change=Change.RISE,
            source=Source.STREAM if number else Source.REST,
        )
        for number in range(count)
    ]
    return trade_frame(made)


def encode_trades(*parts: pl.DataFrame) -> bytes:
    sink = BytesIO()
    write_trades(parts, sink)
    return sink.getvalue()


MANY = trades_of(count=300)


def test_hour_comes_back_exactly_as_it_was_put(lake: Lake) -> None:
    """Columns, types, zones, enums and order are those of the TRADE table."""
    trades = trades_of()

    size = lake.put("KRW-BTC", HOUR, [trades])
    found = lake.get("KRW-BTC", HOUR)

    assert size > 0
    assert found is not None
    assert found.schema == pl.Schema(TRADE.columns)
    assert found.equals(trades)


def test_empty_hour_is_not_an_hour_that_was_never_written(lake: Lake) -> None:
    """An empty frame says that nothing came; None says that nobody looked."""
    lake.put("KRW-BTC", HOUR, [TRADE.empty()])

    found = lake.get("KRW-BTC", HOUR)

    assert found is not None
    assert found.equals(TRADE.empty())
    assert lake.get("KRW-ETH", HOUR) is None
    assert lake.get("KRW-BTC", hour_of(HOUR.end_ms)) is None


def test_second_put_replaces_the_first(lake: Lake) -> None:
    """A put is the whole hour, not an addition."""
    lake.put("KRW-BTC", HOUR, [trades_of(count=5)])

    lake.put("KRW-BTC", HOUR, [trades_of(count=2)])

    found = lake.get("KRW-BTC", HOUR)
    assert found is not None
    assert found.equals(trades_of(count=2))


def test_trade_of_another_hour_is_refused_and_the_old_hour_stands(lake: Lake) -> None:
    """The message names the field, the value and the window."""
    lake.put("KRW-BTC", HOUR, [trades_of()])

    with pytest.raises(DataError, match=r"ts_event = 2024-01-22T01:00:00.*; valid: a time in 2024-01-22T00"):
        lake.put("KRW-BTC", HOUR, [trades_of(hour_of(HOUR.end_ms))])

    found = lake.get("KRW-BTC", HOUR)
    assert found is not None
    assert found.equals(trades_of())


def test_hour_put_in_parts_is_read_in_parts(lake: Lake) -> None:
    """Parts follow each other and are the hour together; None says that nobody looked."""
    lake.put("KRW-BTC", HOUR, [MANY.head(7), TRADE.empty(), MANY.slice(7)])
    lake.put("KRW-ETH", HOUR, iter(()))

    parts, nothing = lake.parts("KRW-BTC", HOUR), lake.parts("KRW-ETH", HOUR)

    assert parts is not None
    assert pl.concat(parts).equals(MANY)
    assert nothing is not None
    assert pl.concat([TRADE.empty(), *nothing]).is_empty()
    assert lake.parts("KRW-BTC", hour_of(HOUR.end_ms)) is None


def test_parts_are_those_of_the_object_as_it_was(lake: Lake) -> None:
    """A put in between does not mix two hours."""
    lake.put("KRW-BTC", HOUR, [MANY])

    parts = lake.parts("KRW-BTC", HOUR)
    lake.put("KRW-BTC", HOUR, [trades_of(count=2)])

    assert parts is not None
    assert pl.concat(parts).equals(MANY)


def test_reading_that_fails_half_way_leaves_the_old_hour(lake: Lake, tmp_path: Path) -> None:
    """What the raw store says at its end counts for all that it gave before."""

    def failing() -> Iterator[pl.DataFrame]:
        yield MANY
        raise DataError("300 counted, 299 given")

    lake.put("KRW-BTC", HOUR, [trades_of()])

    with pytest.raises(DataError, match="300 counted, 299 given"):
        lake.put("KRW-BTC", HOUR, failing())

    found = lake.get("KRW-BTC", HOUR)
    assert found is not None
    assert found.equals(trades_of())
    assert [path.name for path in tmp_path.rglob("*.part")] == []


@pytest.mark.parametrize("cut", [0, 2], ids=["in one frame", "from frame to frame"])
def test_time_that_goes_back_is_refused_and_the_old_hour_stands(lake: Lake, cut: int) -> None:
    """Readers of parts rely on the order."""
    trades = trades_of(count=4)
    lake.put("KRW-BTC", HOUR, [trades_of()])
    mixed = pl.concat([trades.tail(2), trades.head(2)])

    with pytest.raises(DataError, match=r"ts_event = 2024-01-22T00:00:00\+00:00 in row \d; valid: a time not before"):
        lake.put("KRW-BTC", HOUR, [mixed.head(cut), mixed.slice(cut)])

    found = lake.get("KRW-BTC", HOUR)
    assert found is not None
    assert found.equals(trades_of())


def test_hours_that_were_put_are_listed_oldest_first(lake: Lake) -> None:
    """An empty hour was put too; those of other markets and outside of the window are not given."""
    later = [hour_of(START_MS + number * HOUR_MS) for number in (1, 24, 25)]
    for hour in (later[2], HOUR, later[1]):
        lake.put("KRW-BTC", hour, [trades_of(hour)])
    lake.put("KRW-BTC", later[0], [TRADE.empty()])
    lake.put("KRW-ETH", hour_of(START_MS + 2 * HOUR_MS), [TRADE.empty()])

    assert lake.hours("KRW-BTC", Window(START_MS, START_MS + 48 * HOUR_MS)) == [HOUR, *later]
    assert lake.hours("KRW-BTC", Window(START_MS + HOUR_MS, START_MS + 25 * HOUR_MS)) == later[:2]
    assert lake.hours("KRW-XRP", Window(START_MS, START_MS + HOUR_MS)) == []


def test_window_that_is_not_made_of_hours_is_not_listed(lake: Lake) -> None:
    """Half an hour of an object is nothing that could be there."""
    with pytest.raises(WindowError, match="is not made of whole hours"):
        lake.hours("KRW-BTC", Window(START_MS, START_MS + HOUR_MS + 60_000))


def test_file_lies_under_market_date_and_hour_of_utc(tmp_path: Path) -> None:
    """The path is a contract: other tools read the lake by it."""
    lake = ParquetLake(tmp_path)

    lake.put("KRW-BTC", hour_of(START_MS + 23 * HOUR_MS), [TRADE.empty()])

    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert files == ["market=KRW-BTC/date=2024-01-22/hour=23.parquet"]


def test_polars_reads_the_file_without_our_code(tmp_path: Path) -> None:
    """The values are plain Parquet types, not a private encoding."""
    ParquetLake(tmp_path).put("KRW-BTC", HOUR, [trades_of()])

    found = pl.read_parquet(tmp_path / "market=KRW-BTC/date=2024-01-22/hour=00.parquet", hive_partitioning=False)

    assert found["price"].to_list() == [57_898_000.0, 57_899_000.0, 57_900_000.0]
    assert found["ts_event"].dtype == pl.Datetime("ms", "UTC")
    assert found["side"].to_list() == ["SELL", "BUY", "SELL"]


@pytest.mark.parametrize("keep", [0, 10, 600])
def test_file_cut_short_is_reported_by_its_path(tmp_path: Path, keep: int) -> None:
    """A damaged file never passes for an empty or shorter hour."""
    lake = ParquetLake(tmp_path)
    lake.put("KRW-BTC", HOUR, [trades_of()])
    path = tmp_path / "market=KRW-BTC/date=2024-01-22/hour=00.parquet"
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(DataError, match=r"hour=00\.parquet cannot be read"):
        lake.get("KRW-BTC", HOUR)


def test_file_of_another_hour_in_this_place_is_reported(tmp_path: Path) -> None:
    """Somebody's copy to the wrong name is seen."""
    lake = ParquetLake(tmp_path)
    lake.put("KRW-BTC", HOUR, [trades_of()])
    path = tmp_path / "market=KRW-BTC/date=2024-01-22/hour=00.parquet"
    path.rename(path.with_name("hour=01.parquet"))

    with pytest.raises(DataError, match=r"hour=01\.parquet cannot be read"):
        lake.get("KRW-BTC", hour_of(HOUR.end_ms))


def test_folder_that_cannot_be_written_asks_the_operator(tmp_path: Path) -> None:
    """A file stands where the lake's folder should be."""
    (tmp_path / "lake").write_text("")

    with pytest.raises(HomeNotWritableError, match="cannot be written"):
        ParquetLake(tmp_path / "lake").put("KRW-BTC", HOUR, [trades_of()])


def test_market_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    """A market is part of the path, so its form is checked here too."""
    with pytest.raises(UsageError, match=r"'\.\./x' has not the form of a market"):
        ParquetLake(tmp_path).get("../x", HOUR)


def test_some_columns_come_in_the_order_of_the_table(lake: Lake) -> None:
    """A reader that needs two columns does not pay for ten."""
    lake.put("KRW-BTC", HOUR, [trades_of()])

    found = lake.get("KRW-BTC", HOUR, columns=["qty_e8", "side", "ts_event"])

    assert found is not None
    assert found.equals(trades_of().select("ts_event", "qty_e8", "side"))


def test_column_that_no_trade_has_is_refused_by_name(lake: Lake) -> None:
    """A misspelt column is an error, not a column that is missing from the answer."""
    with pytest.raises(UsageError, match=r"columns \['volume'\] are not in table trade; valid: \['market', 'trade_id'"):
        lake.get("KRW-BTC", HOUR, columns=["price", "volume"])


def test_file_of_the_last_release_reads_as_its_rows() -> None:
    """Format 1 knew no mark, no checksums and had nullable columns."""
    content = (DATA / "format-1.parquet").read_bytes()

    assert decode_trades(content).equals(trades_of(count=5))


def test_file_of_a_newer_format_is_refused() -> None:
    """What it would mean is not known here."""
    table = pq.read_table(pa.BufferReader(encode_trades(trades_of())))
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"tickloop.format": "3"}), sink)

    with pytest.raises(DataError, match=r"tickloop\.format = '3'; valid here: 1 to 2"):
        decode_trades(sink.getvalue().to_pybytes())


@given(cuts=st.lists(st.integers(0, 300), max_size=6), group_rows=st.integers(1, 400))
def test_equal_trades_make_equal_bytes_however_they_come(cuts: list[int], group_rows: int) -> None:
    """The two profiles read in other parts, and their lakes are compared by bytes."""
    edges = [0, *sorted(cuts), 300]
    sink = BytesIO()

    write_trades((MANY[start:stop] for start, stop in pairwise(edges)), sink, group_rows)

    whole = BytesIO()
    write_trades([MANY], whole, group_rows)
    assert sink.getvalue() == whole.getvalue()
    assert [part.height for part in read_trades(BytesIO(sink.getvalue()))] == [
        min(group_rows, 300 - start) for start in range(0, 300, group_rows)
    ]
    assert decode_trades(sink.getvalue()).equals(MANY)


def test_hour_of_several_row_groups_with_other_words_in_each_comes_back() -> None:
    """Each group has a dictionary of its own; their codes do not mean the same."""
    trades = trades_of(count=7)
    sink = pa.BufferOutputStream()
    pq.write_table(pq.read_table(pa.BufferReader(encode_trades(trades))), sink, row_group_size=1)

    assert decode_trades(sink.getvalue().to_pybytes()).equals(trades)


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("side", pa.array(["BUY", "HOLD", "SELL"]), "HOLD"),
        ("side", pa.array(["BUY", None, "SELL"]), r"side = None in 1 rows"),
        ("change", pa.array([1, 2, 3]), "column change is int64; valid: words"),
    ],
)
def test_word_that_the_table_does_not_know_is_refused(column: str, values: pa.Array, says: str) -> None:
    """A file that another program wrote is looked at like one of ours."""
    table = pq.read_table(pa.BufferReader(encode_trades(trades_of())))
    sink = pa.BufferOutputStream()
    pq.write_table(table.set_column(table.column_names.index(column), column, values), sink)

    with pytest.raises(DataError, match=says):
        decode_trades(sink.getvalue().to_pybytes())


def test_file_without_a_column_is_refused_by_its_name() -> None:
    """A missing column never passes for an empty one."""
    table = pq.read_table(pa.BufferReader(encode_trades(trades_of())))
    sink = pa.BufferOutputStream()
    pq.write_table(table.drop_columns(["price"]), sink)

    with pytest.raises(DataError, match="it has no column price"):
        decode_trades(sink.getvalue().to_pybytes())


def test_columns_are_found_by_name_and_not_by_place() -> None:
    """Another program may have written them in another order."""
    table = pq.read_table(pa.BufferReader(encode_trades(trades_of())))
    sink = pa.BufferOutputStream()
    pq.write_table(table.select(sorted(table.column_names, reverse=True)), sink)

    assert decode_trades(sink.getvalue().to_pybytes()).equals(trades_of())


@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_changed_byte_is_an_error_or_changes_no_value(place: float, value: int) -> None:
    """Page checksums see what the types let through: a flipped bit in a price is a price."""
    damaged = bytearray(encode_trades(MANY))
    damaged[int(place * len(damaged))] = value

    try:
        found = decode_trades(bytes(damaged))
    except DataError:
        return

    assert found.equals(MANY)
