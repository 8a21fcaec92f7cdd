"""The warehouse's schema, version by version, in words that each database adapter turns into its own.

A released version is never edited: add one. `domain.tables` says what the newest must come to, and each adapter's test
that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Migration(NamedTuple):
    version: int
    statements: tuple[str, ...]


class Column(NamedTuple):
    name: str
    kind: str
    is_required: bool


@dataclass(frozen=True)
class CreateTable:
    """A new table.

    Attributes:
        columns: `name kind` by comma; `kind?` may be null. Kinds: text, whole (int64), real (float64), flag, bytes,
            time (milliseconds of UTC), time_ns (epoch nanoseconds).
        key: the primary key, ordered so that a market's window lies together; trades lie in trade order.
        period: the column by whose time a server keeps the rows apart; a file keeps them together.
    """

    name: str
    columns: str
    key: str
    period: str | None = None

    def each_column(self) -> Iterator[Column]:
        for part in self.columns.split(","):
            name, kind = part.split()
            yield Column(name, kind.removesuffix("?"), not kind.endswith("?"))


@dataclass(frozen=True)
class CreateIndex:
    """A new index over columns by comma; a unique one of a table with a period is unique within each period."""

    name: str
    table: str
    columns: str
    is_unique: bool = False


Change = CreateTable | CreateIndex

VERSIONS: Mapping[int, tuple[Change, ...]] = {
    1: (
        CreateTable(
            "trade",
            "market text, trade_id whole, ts_event time, ts_received time_ns, arrival whole, price real, qty_e8 whole,"
            "side text, change text, source text",
            key="market, ts_event, arrival, trade_id",
            period="ts_event",
        ),
        CreateIndex("trade_by_id", "trade", "market, trade_id", is_unique=True),
        CreateTable(
            "bar_1m",
            "market text, ts_open time, open real, high real, low real, close real, vwap real?, mean_price real?,"
            "volume real, notional real?, trades whole?, buy_volume real?, sell_volume real?, change_mode text?,"
            "state text",
            key="market, ts_open",
        ),
        CreateTable(
            "ledger",
            "market text, minute time, state text, reason text?, our_volume real?, candle_volume real?, trades whole,"
            "is_rounded flag",
            key="market, minute",
        ),
        CreateTable(
            "repair",
            "market text, minute time, asked_at time, outcome text, trades whole",
            key="market, minute",
        ),
        CreateTable(
            "feature",
            "market text, ts_open time, feature_set text, vector bytes",
            key="market, ts_open, feature_set",
        ),
        CreateTable(
            "forecast",
            "market text, target_minute time, model_version text, made_at time, last_bar time, last_price real,"
            "log_return real, price real",
            key="market, target_minute, model_version",
        ),
        CreateTable(
            "order",
            "market text, client_order_id text, venue_order_id text?, bot text, side text, created_at time, state text,"
            "requested text, executed_qty text?, executed_funds text?, paid_fee text?, filled_at time?,"
            "forecast_minute time?, model_version text?, forecast_price real?",
            key="client_order_id",
        ),
        CreateIndex("order_by_market", "order", "market, created_at, client_order_id"),
        CreateIndex("order_by_time", "order", "created_at, client_order_id"),
        CreateTable(
            "equity",
            "market text, bot text, ts time, cash text, lots_value text, equity text",
            key="market, ts, bot",
        ),
        CreateTable(
            "backtest",
            "market text, slot time, model_version text, strategy text, window_start time, window_end time,result text",
            key="market, slot, model_version, strategy",
        ),
        CreateTable(
            "run",
            "market text, step text, window_start time, window_end time, state text, sequence whole, finished_at time,"
            "attempts whole, detail text",
            key="market, window_start, step, window_end",
        ),
        CreateIndex("run_in_order", "run", "window_start, step, market, window_end"),
    ),
    2: (
        CreateTable(
            "trial",
            "market text, window_start time, window_end time, sweep text, number whole, strategy text, setting text,"
            "config text, params text, figures text, profits bytes",
            key="market, window_start, sweep, number",
        ),
    ),
}
"""Version -> what it adds to the one before. Enums and decimals are text."""


def migrations(render: Callable[[Change], Iterator[str]]) -> tuple[Migration, ...]:
    """Give every version as statements of one database, oldest first."""
    return tuple(
        Migration(version, tuple(statement for change in changes for statement in render(change)))
        for version, changes in VERSIONS.items()
    )


def quoted(names: str) -> str:
    """Give names by comma as SQL identifiers by comma."""
    return ", ".join(f'"{name.strip()}"' for name in names.split(","))
