"""The Parquet form of a market-hour of trades: made to be read fast, and by other tools too.

Format 2, since 2026-11: every column required; words and price by dictionary, integers by differences, and each column
packed by the codec that measured best for it. Format 1 (no mark in the file) had the same columns and types, nullable,
all packed by zstd. Both are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tickloop.domain.rows import pick_columns
from tickloop.domain.tables import TRADE
from tickloop.errors import DataError

FORMAT = 2
"""Grows when a reader of the last number would misread the file; a new codec or encoding alone is no new number."""

GROUP_ROWS = 131_072
"""Rows of a row group: what a writer or reader holds, about 10 MB. Only the hours of the busiest markets have more."""

_MARK = b"tickloop.format"

_INTEGERS = ("trade_id", "ts_event", "ts_received", "arrival", "qty_e8")
_WORDS = ("market", "side", "change", "source")

# zstd takes 0.6 bytes a tick off each time of receipt and 0.3 off the rest, for about 4 ms per column and million ticks
# read; lz4 takes off most of what there is for nearly nothing. One column of zstd is what reading 20 M ticks/s leaves.
_CODEC = {**dict.fromkeys(TRADE.columns, "lz4"), "ts_received": "zstd"}

_OPTIONS: dict[str, Any] = {
    "compression": _CODEC,
    "use_dictionary": [*_WORDS, "price"],
    "column_encoding": dict.fromkeys(_INTEGERS, "DELTA_BINARY_PACKED"),
    "write_statistics": [TRADE.time],  # those of the other columns help no reader, and cost a fifth of writing
    "write_page_checksum": True,  # a flipped bit in a number is seen by nothing else
}


def write_trades(parts: Iterable[pl.DataFrame], sink: BinaryIO, group_rows: int = GROUP_ROWS) -> None:
    """Write the Parquet form of TRADE frames, one after the other, holding one row group in memory.

    Equal trades give equal bytes with equal library versions, however they are cut into frames.
    """
    # Without: the arrow schema is stored a second time, 1 kB an hour.
    with pq.ParquetWriter(sink, _SCHEMA, store_schema=False, **_OPTIONS) as writer:
        is_empty = True
        for group in _groups(parts, group_rows):
            writer.write_table(group.to_arrow().cast(_SCHEMA))
            is_empty = False
        if is_empty:
            writer.write_table(_SCHEMA.empty_table())


def _groups(parts: Iterable[pl.DataFrame], group_rows: int) -> Iterator[pl.DataFrame]:
    """Cut frames anew into ones of so many rows, the last one shorter; each in one piece, as its pages follow it."""
    held: list[pl.DataFrame] = []
    missing = group_rows
    for part in parts:
        start = 0
        while part.height - start >= missing:
            yield pl.concat([*held, part.slice(start, missing)], rechunk=True)
            start += missing
            held, missing = [], group_rows
        if start < part.height:
            held.append(part.slice(start))
            missing -= part.height - start
    if held:
        yield pl.concat(held, rechunk=True)


def decode_trades(content: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read `write_trades`, or only some columns of it, in the order of TRADE.

    Raises:
        DataError: the bytes are no Parquet or damaged, lack a column, hold a word that the table does not know, or are
            of a format newer than ours.
    """
    names = pick_columns(TRADE, columns)
    with _translated(), _opened(pa.BufferReader(content)) as file:
        # One thread: an hour is small, and others need the cores.
        return _frame(file.read(columns=names, use_threads=False), names)


def open_trades(path: Path) -> Any:
    """Open a file for `read_trades`; `FileNotFoundError` when there is none."""
    return pa.OSFile(str(path))


def read_trades(source: Any) -> Iterator[pl.DataFrame]:
    """Yield what `write_trades` wrote, row group by row group, all columns.

    Args:
        source: of `open_trades`, or an open binary file; closed at the end.

    Raises:
        DataError: as `decode_trades`.
    """
    names = list(TRADE.columns)
    with closing(source), _translated(), _opened(source) as file:
        for number in range(file.num_row_groups):
            yield _frame(file.read_row_group(number, columns=names, use_threads=False), names)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, KeyError, OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as exc:
        raise DataError(f"not a Parquet file of trades: {exc}") from exc


@contextmanager
def _opened(source: Any) -> Iterator[Any]:
    # Words stay codes of a dictionary until they are an enum: a string per row costs more than all numbers.
    with pq.ParquetFile(source, read_dictionary=list(_WORDS), page_checksum_verification=True) as file:
        _check_format(file.schema_arrow)
        yield file


def _check_format(schema: Any) -> None:
    number = (schema.metadata or {}).get(_MARK, b"1")
    if not number.isdigit() or not 1 <= int(number) <= FORMAT:
        shown = number.decode(errors="replace")
        raise DataError(f"{_MARK.decode()} = {shown!r}; valid here: 1 to {FORMAT}; a newer tickloop wrote it")


def _frame(table: Any, names: list[str]) -> pl.DataFrame:
    missing = sorted(set(names).difference(table.column_names))
    if missing:
        raise DataError(f"not a Parquet file of trades: it has no column {missing[0]}; valid: {list(TRADE.columns)}")
    return pl.DataFrame(
        [_column(name, column) for name, column in zip(names, table.select(names).columns, strict=True)]
    )


def _column(name: str, column: Any) -> pl.Series:
    if name in _WORDS:
        return _words(name, column)
    # Column by column: taking over a whole table at once wakes all threads, which costs an hour's file twice the time.
    numbers = pl.Series(name, pl.from_arrow(column))
    return numbers if numbers.dtype == TRADE.columns[name] else numbers.cast(TRADE.columns[name])


def _words(name: str, column: Any) -> pl.Series:
    if not (pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type)):
        raise DataError(f"not a Parquet file of trades: column {name} is {column.type}; valid: words")
    if column.null_count:
        raise DataError(f"{name} = None in {column.null_count} rows; valid: a value")
    chunks = [_words_of_chunk(name, chunk) for chunk in column.chunks]
    return chunks[0] if len(chunks) == 1 else pl.concat([pl.Series(name, dtype=TRADE.columns[name]), *chunks])


def _words_of_chunk(name: str, chunk: Any) -> pl.Series:
    """Turn one dictionary array into the column's type, looking at each word once instead of at each row."""
    words = _series_of(name, tuple(chunk.dictionary.to_pylist()))
    if len(words) == 1:
        return words.new_from_index(0, len(chunk))
    found: pl.Series = words[chunk.indices.to_numpy()]
    return found


@lru_cache(maxsize=1024)  # the same few words stand in every file
def _series_of(name: str, words: tuple[str, ...]) -> pl.Series:
    return pl.Series(name, words, dtype=TRADE.columns[name])


def _arrow_type(dtype: pl.DataType) -> Any:
    if isinstance(dtype, pl.Datetime):
        return pa.timestamp(dtype.time_unit, tz="UTC")
    if dtype == pl.Int64:
        return pa.int64()
    return pa.float64() if dtype == pl.Float64 else pa.string()


# A required column needs no levels that tell which values are there, and reads a third faster.
_SCHEMA = pa.schema(
    [pa.field(name, _arrow_type(dtype), nullable=False) for name, dtype in TRADE.columns.items()],
    metadata={_MARK: str(FORMAT)},
)
