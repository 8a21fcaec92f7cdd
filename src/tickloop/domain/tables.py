"""The data contracts between the parts: every table's columns, types, key and time column.

Times are `Datetime("ms", "UTC")` unless they say otherwise. Frames are polars frames with exactly these columns
in this order. A warehouse adapter derives its statements from these values; nothing else lists columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tickloop.domain.market import Change, MinuteState, Side, Source

TIME = pl.Datetime("ms", "UTC")
SIDE = pl.Enum([side.value for side in Side])
CHANGE = pl.Enum([change.value for change in Change])
SOURCE = pl.Enum([source.value for source in Source])
STATE = pl.Enum([state.value for state in MinuteState])


@dataclass(frozen=True)
class Table:
    """One table of the warehouse.

    Attributes:
        columns: name -> polars type, in order.
        time: the column that windows cut by.
        key: columns whose values identify a row.
        required: columns that may not be null; the others may.
    """

    name: str
    columns: dict[str, pl.DataType]
    time: str
    key: tuple[str, ...]
    required: tuple[str, ...]

    def empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.columns)


TRADE = Table(
    name="trade",
    columns={
        "market": pl.String(),
        "trade_id": pl.Int64(),
        "ts_event": TIME,
        "ts_received": pl.Datetime("ns", "UTC"),
        "arrival": pl.Int64(),
        "price": pl.Float64(),
        "qty_e8": pl.Int64(),
        "side": SIDE,
        "change": CHANGE,
        "source": SOURCE,  # `repaired` must follow from the data alone, so a trade keeps where it came from
    },
    time="ts_event",
    key=("market", "trade_id"),
    required=(
        "market",
        "trade_id",
        "ts_event",
        "ts_received",
        "arrival",
        "price",
        "qty_e8",
        "side",
        "change",
        "source",
    ),
)
"""One row per trade. Order everywhere: (ts_event, arrival, trade_id)."""

TRADE_ORDER = ("ts_event", "arrival", "trade_id")

CANDLE = Table(
    name="candle",
    columns={
        "market": pl.String(),
        "ts_open": TIME,
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),
        "notional": pl.Float64(),
    },
    time="ts_open",
    key=("market", "ts_open"),
    required=("market", "ts_open", "open", "high", "low", "close", "volume"),
)
"""The exchange's own minutes as fetched. `volume` in base units, `notional` in KRW, null where a source lost it."""

BAR_1M = Table(
    name="bar_1m",
    columns={
        "market": pl.String(),
        "ts_open": TIME,
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "vwap": pl.Float64(),
        "mean_price": pl.Float64(),
        "volume": pl.Float64(),
        "notional": pl.Float64(),
        "trades": pl.Int64(),
        "buy_volume": pl.Float64(),
        "sell_volume": pl.Float64(),
        "change_mode": CHANGE,
        "state": STATE,
    },
    time="ts_open",
    key=("market", "ts_open"),
    required=("market", "ts_open", "open", "high", "low", "close", "volume", "state"),
)
"""One-minute bars, no row without a trade. Columns that a candle cannot tell are null in bars made from one."""

LEDGER = Table(
    name="ledger",
    columns={
        "market": pl.String(),
        "minute": TIME,
        "state": STATE,
        "reason": pl.String(),  # backfill | gone | short (candle), excess | pending (unknown), else null
        "our_volume": pl.Float64(),
        "candle_volume": pl.Float64(),
        "trades": pl.Int64(),  # trades of ours kept in this minute, whatever its state
        "is_rounded": pl.Boolean(),  # equal only within the candle's own rounding (values of 1e7 and more)
    },
    time="minute",
    key=("market", "minute"),
    required=("market", "minute", "state", "trades", "is_rounded"),
)
"""Completeness, one row per market-minute of every settled hour."""

REPAIR = Table(
    name="repair",
    columns={
        "market": pl.String(),
        "minute": TIME,
        "asked_at": TIME,
        "outcome": pl.String(),  # fetched | gone: REST gave what it has of this minute, or no longer has it
        "trades": pl.Int64(),  # how many trades REST gave for the minute
    },
    time="minute",
    key=("market", "minute"),
    required=("market", "minute", "asked_at", "outcome", "trades"),
)
"""Minutes for which REST was asked for trades; without it a shortage could be asked for without end."""

FEATURE = Table(
    name="feature",
    columns={
        "market": pl.String(),
        "ts_open": TIME,  # of the last bar that the vector has seen
        "feature_set": pl.String(),
        "vector": pl.Binary(),  # float64 little-endian, in the order of the feature set's names
    },
    time="ts_open",
    key=("market", "feature_set", "ts_open"),
    required=("market", "ts_open", "feature_set", "vector"),
)

FORECAST = Table(
    name="forecast",
    columns={
        "market": pl.String(),
        "target_minute": TIME,
        "model_version": pl.String(),
        "made_at": TIME,
        "last_bar": TIME,
        "last_price": pl.Float64(),
        "log_return": pl.Float64(),
        "price": pl.Float64(),
    },
    time="target_minute",
    key=("market", "target_minute", "model_version"),
    required=(
        "market",
        "target_minute",
        "model_version",
        "made_at",
        "last_bar",
        "last_price",
        "log_return",
        "price",
    ),
)
"""First write wins."""

ORDER = Table(
    name="order",
    columns={
        "market": pl.String(),
        "client_order_id": pl.String(),
        "venue_order_id": pl.String(),
        "bot": pl.String(),
        "side": SIDE,
        "created_at": TIME,
        "state": pl.String(),
        "requested": pl.String(),  # decimal text: KRW for a market buy, base units for a market sell
        "executed_qty": pl.String(),
        "executed_funds": pl.String(),
        "paid_fee": pl.String(),
        "filled_at": TIME,
        "forecast_minute": TIME,
        "model_version": pl.String(),
        "forecast_price": pl.Float64(),
    },
    time="created_at",
    key=("client_order_id",),
    required=("market", "client_order_id", "bot", "side", "created_at", "state", "requested"),
)
"""Projection of the bots' order logs. Money is decimal text."""

EQUITY = Table(
    name="equity",
    columns={
        "market": pl.String(),  # "*": the whole purse
        "bot": pl.String(),
        "ts": TIME,
        "cash": pl.String(),
        "lots_value": pl.String(),
        "equity": pl.String(),
    },
    time="ts",
    key=("bot", "market", "ts"),
    required=("market", "bot", "ts", "cash", "lots_value", "equity"),
)

BACKTEST = Table(
    name="backtest",
    columns={
        "market": pl.String(),
        "slot": TIME,  # start of the slot that made it
        "model_version": pl.String(),
        "strategy": pl.String(),
        "window_start": TIME,
        "window_end": TIME,
        "result": pl.String(),  # JSON of BacktestResult.summary()
    },
    time="slot",
    key=("market", "slot", "model_version", "strategy"),
    required=("market", "slot", "model_version", "strategy", "window_start", "window_end", "result"),
)

RUN = Table(
    name="run",
    columns={
        "market": pl.String(),
        "step": pl.String(),
        "window_start": TIME,
        "window_end": TIME,
        "state": pl.String(),  # done | failed | due (asked for again)
        "sequence": pl.Int64(),  # grows by one with each finished run: a step is due again when an input is newer
        "finished_at": TIME,
        "attempts": pl.Int64(),
        "detail": pl.String(),  # JSON: counts of a run that is done, the message of one that failed
    },
    time="window_start",
    key=("step", "market", "window_start", "window_end"),
    required=(
        "market",
        "step",
        "window_start",
        "window_end",
        "state",
        "sequence",
        "finished_at",
        "attempts",
        "detail",
    ),
)
"""The run ledger."""

TRIAL = Table(
    name="trial",
    columns={
        "market": pl.String(),
        "window_start": TIME,
        "window_end": TIME,
        "sweep": pl.String(),
        "number": pl.Int64(),  # from 0, in the order in which the search came upon the settings
        "strategy": pl.String(),
        "setting": pl.String(),  # digest of all that decides the figures but the data: equal ones are one trial
        "config": pl.String(),  # digest of what the sweep searches, how, and over which data
        "params": pl.String(),  # JSON: the values that the search has set
        "figures": pl.String(),  # JSON of `domain.trials.Figures`
        "profits": pl.Binary(),  # float64 little-endian, KRW: what each of the equal parts of the window made
    },
    time="window_start",
    key=("market", "window_start", "sweep", "number"),
    required=(
        "market",
        "window_start",
        "window_end",
        "sweep",
        "number",
        "strategy",
        "setting",
        "config",
        "params",
        "figures",
        "profits",
    ),
)
"""Every setting that was ever tried, for good: what a result is worth depends on how many others there were."""

TABLES = (TRADE, BAR_1M, LEDGER, REPAIR, FEATURE, FORECAST, ORDER, EQUITY, BACKTEST, RUN, TRIAL)
"""What a warehouse holds; CANDLE only travels."""
