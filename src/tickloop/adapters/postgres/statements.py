"""The warehouse's statements, made from `domain.tables` alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
from psycopg import sql

from tickloop.adapters.postgres.migrations import PERIODS
from tickloop.domain.rows import order_of
from tickloop.domain.tables import Table
from tickloop.domain.window import Window, to_datetime
from tickloop.errors import UsageError

_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # years 1 to 9999, which a stored time lies in


def select(
    table: Table, market: str | None, window: Window | None, last: int | None = None, *, first: int | None = None
) -> str:
    """Give the statement that reads rows, or the `first` so many of them; with `last` the newest row comes first.

    Values stand in the text: then months that cannot hold a row are left out when it is planned, and rows come by COPY.
    """
    if last is not None and last < 0:
        raise UsageError(f"last = {last} rows cannot be read; valid: 0 or more")
    most = first if last is None else last
    order = sql.SQL(", ").join(
        sql.SQL("{}{}").format(sql.Identifier(name), sql.SQL("" if last is None else " DESC"))
        for name in order_of(table)
    )
    return _text(
        sql.SQL("SELECT {} FROM {}{} ORDER BY {}{}").format(
            _names(list(table.columns)),
            sql.Identifier(table.name),
            _where(_conditions(table, market, window)),
            order,
            sql.SQL("" if most is None else f" LIMIT {min(most, 2**63 - 1):d}"),
        )
    )


def delete(table: Table, market: str, window: Window) -> str:
    where = _where(_conditions(table, market, window))
    return _text(sql.SQL("DELETE FROM {}{}").format(sql.Identifier(table.name), where))


def taken_keys(table: Table, market: str, window: Window, rows: pl.DataFrame) -> str | None:
    """Give the statement that reads keys, with market and time, outside the window and between those of these rows.

    None when it is pointless: a key with market and time in it can only be taken inside the window. Ids grow with time,
    so next to none lie there.
    """
    if rows.is_empty() or {"market", table.time} <= set(table.key):
        return None
    between = [
        sql.SQL("{} BETWEEN {} AND {}").format(
            sql.Identifier(name), sql.Literal(rows[name].min()), sql.Literal(rows[name].max())
        )
        for name in table.key
    ]
    inside = sql.SQL(" AND ").join(_conditions(table, market, window))
    where = _where([*between, sql.SQL("NOT ({})").format(inside)])
    names = _names(list(dict.fromkeys((*table.key, "market", table.time))))
    return _text(sql.SQL("SELECT {} FROM {}{}").format(names, sql.Identifier(table.name), where))


def upserts(table: Table) -> tuple[sql.Composed, ...]:
    """Give the statements that insert rows given as arrays, replacing those of the same key."""
    if table.name in PERIODS:
        other = sql.SQL("DELETE FROM {} USING {} WHERE {}").format(
            sql.Identifier(table.name), _given(table), _same_key(table)
        )
        return other, _insert(table)
    changes = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in table.columns)
    return (sql.SQL("{} ON CONFLICT ({}) DO UPDATE SET {}").format(_insert(table), _names(table.key), changes),)


def insert_new(table: Table) -> sql.Composed:
    """Give the statement that inserts those of the rows given as arrays whose key is not there."""
    if table.name in PERIODS:
        there = sql.SQL("SELECT FROM {} WHERE {}").format(sql.Identifier(table.name), _same_key(table))
        return sql.SQL("{} WHERE NOT EXISTS ({})").format(_insert(table), there)
    return sql.SQL("{} ON CONFLICT ({}) DO NOTHING").format(_insert(table), _names(table.key))


def arrays(rows: pl.DataFrame) -> Iterator[list[object]]:
    """Yield each column as the array that the statements over arrays take, in the table's order."""
    for column in stored(rows):
        yield column.to_list()


def stored(rows: pl.DataFrame) -> pl.DataFrame:
    """Give rows as the database's types: enums as text, nanoseconds as whole numbers.

    Zero has no sign, as in the laptop's file: SQLite keeps a whole number of a REAL column as an integer.
    """
    return rows.with_columns(
        pl.when(pl.col(name) == 0.0).then(0.0).otherwise(pl.col(name)).alias(name)
        if dtype.is_float()
        else pl.col(name).cast(pl.Int64() if isinstance(dtype, pl.Datetime) else pl.String())
        for name, dtype in rows.schema.items()
        if dtype.is_float() or isinstance(dtype, pl.Enum) or _is_ns(dtype)
    )


def loaded(table: Table, found: pl.DataFrame) -> pl.DataFrame:
    """Give what came from the database as the table's types.

    Raises:
        polars' own errors: a stored value is not of its type.
    """
    return found.select(pl.col(name).cast(dtype) for name, dtype in table.columns.items())


def first_unstorable(table: Table, rows: pl.DataFrame) -> tuple[str, object, str] | None:
    """Give column, value and what would be valid for the first value that the database cannot hold."""
    for name, dtype in table.columns.items():
        if isinstance(dtype, pl.Datetime) and not _is_ns(dtype):
            wrong = ~rows[name].to_physical().is_between(_FIRST_MS, _LAST_MS)
            if wrong.any():
                return name, rows[name].to_physical().filter(wrong)[0], "a time in the years 1 to 9999"
        elif dtype == pl.String:
            wrong = rows[name].str.contains("\0", literal=True)
            if wrong.any():
                return name, rows[name].filter(wrong)[0], "text without the character 0"
    return None


_GIVEN = sql.Identifier("given")


def _insert(table: Table) -> sql.Composed:
    columns = _names(list(table.columns))
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(
        sql.Identifier(table.name), columns, columns, _given(table)
    )


def _given(table: Table) -> sql.Composed:
    places = sql.SQL(", ").join(sql.SQL("%s::" + _array_type(dtype)) for dtype in table.columns.values())
    return sql.SQL("unnest({}) AS {}({})").format(places, _GIVEN, _names(list(table.columns)))


def _array_type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime) and not _is_ns(dtype):
        return "timestamptz[]"
    if isinstance(dtype, pl.Int64 | pl.Datetime):
        return "bigint[]"
    names = {pl.Float64(): "double precision[]", pl.Boolean(): "boolean[]", pl.Binary(): "bytea[]"}
    return names.get(dtype, "text[]")


def _same_key(table: Table) -> sql.Composed:
    owner = sql.Identifier(table.name)
    return sql.SQL(" AND ").join(
        sql.SQL("{0}.{2} = {1}.{2}").format(owner, _GIVEN, sql.Identifier(name)) for name in table.key
    )


def _conditions(table: Table, market: str | None, window: Window | None) -> list[sql.Composed]:
    found: list[sql.Composed] = []
    if market is not None:
        found.append(sql.SQL("market = {}").format(sql.Literal(market)))
    if window is not None:
        time = sql.Identifier(table.time)
        start, end = _moment(window.start_ms), _moment(window.end_ms)
        found.append(sql.SQL("{0} >= {1} AND {0} < {2}").format(time, start, end))
    return found


def _moment(ts_ms: int) -> sql.Composable:
    if ts_ms > _LAST_MS:
        return sql.SQL("timestamptz 'infinity'")
    return sql.SQL("timestamptz {}").format(sql.Literal(to_datetime(max(ts_ms, _FIRST_MS)).isoformat()))


def _where(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("")


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _is_ns(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns"


def _text(statement: sql.Composable) -> str:
    return statement.as_string(None)
