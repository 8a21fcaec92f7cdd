"""Tick mode over several markets with one purse, in one piece or chunk by chunk.

Trades go by time, then by the market's place in the list. Each market has its own parameters, forecasts and lots; the
cash is one, and what a buy in flight has set aside, in whatever market, is not free: as the bot's purse has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_merge import (
    PLACE_BITS,
    Chunk,
    merge,
    merge_body,
    resume_all,
    take_turn_body,
    wake_others_body,
)
from tickloop.domain.backtest_shelf import Shelf, open_shelf, with_room
from tickloop.domain.backtest_turn import open_watch, set_aside_e8
from tickloop.domain.depth import Depth, depth_for
from tickloop.domain.fills import FillModel
from tickloop.domain.kernel import plain
from tickloop.domain.order_terms import DatedParams
from tickloop.domain.replay import replay_of, translated
from tickloop.domain.rules import LadderTable, ladder_table, order_changes
from tickloop.domain.strategy import FOREVER, OrderParams, Strategy, default
from tickloop.domain.tape import ForecastSeries, Tape
from tickloop.errors import UsageError


@dataclass(frozen=True)
class Leg:
    """One market of several, with what the strategy is set to there."""

    market: str
    params: OrderParams


class PurseReplay:
    """A replay of several markets that goes on from chunk to chunk: however time is cut, the books are the same.

    Attributes:
        legs: the markets, in the order in which trades of one millisecond are taken.
        shelf: their books after what was fed so far; it is replaced by a larger one as it fills.
    """

    def __init__(
        self,
        legs: Sequence[Leg],
        model: FillModel,
        cash: float,
        *,
        strategy: Strategy = default,
        is_skipping: bool = True,
    ) -> None:
        """Open an empty book for each market.

        Args:
            cash: KRW at the start, for all of them.
            strategy, is_skipping: as `run_ticks` takes them.

        Raises:
            UsageError: if a market comes twice, or there are none or too many.
        """
        check_legs(legs)
        self.legs = tuple(legs)
        self._model = model
        self._params = [leg.params for leg in legs]
        self._dated = [DatedParams(leg.params) for leg in legs]
        self.shelf = open_shelf(cash, len(legs))
        self._watch = open_watch(len(legs))
        self._is_skipping = is_skipping and strategy.wake is not None
        if strategy is default:
            self._replay: Callable[..., bool] = _merge_records
        else:
            parts = (take_turn_body, wake_others_body)
            self._replay = translated(strategy, replay_of(strategy, merge_body, parts, records_of))

    def feed(
        self,
        tapes: Sequence[Tape],
        forecasts: Sequence[ForecastSeries],
        depths: Sequence[Depth] | None = None,
    ) -> None:
        """Replay the next trades of all markets.

        Args:
            tapes: one for each market, all of one span that begins where the one before ended; any may be empty.
            forecasts: one for each market: of every minute that the chunk touches, or more of them.
            depths: the recorded order books that fills of each market can look at.

        Raises:
            StrategyError, UsageError: as `run_ticks`.
        """
        given: Sequence[Depth | None] = depths or [None] * len(tapes)
        books = [depth_for(self._model, one) for one in given]
        for parts in _spans_of(tapes):
            self._take_terms(parts)
            self._feed(_chunk_of(parts, forecasts, books))

    def _take_terms(self, tapes: Sequence[Tape]) -> None:
        """Take the exchange's fees and sizes of orders of a span over which they hold."""
        pool, purse = self.shelf.pool[0], self.shelf.books.purse
        for market, tape in enumerate(tapes):
            for piece in self._dated[market].pieces(tape) if len(tape.ts_ms) else ():
                self._params[market] = piece.params
                if piece.is_new:  # what it sleeps by was told with other costs
                    self._watch[market]["low"], self._watch[market]["high"] = np.inf, -np.inf
        kept = zip(self._params, purse["buy_at"].tolist(), strict=True)
        pool["held_e8"] = sum(plain(set_aside_e8)(params, buy_at) for params, buy_at in kept)

    def _feed(self, chunk: Chunk) -> None:
        resume_all(chunk, self._watch)
        fixed = (tuple(self._params), self._model.latency_ms, self._model.ticks_against, chunk, self._watch)
        keys = np.empty(len(self.legs), np.int64)
        while not self._replay(*fixed, self.shelf, keys, self._is_skipping):
            self.shelf = with_room(self.shelf)


def check_legs(legs: Sequence[Leg]) -> None:
    """Refuse markets that cannot share a purse.

    Raises:
        UsageError: if one comes twice, or there are none or too many.
    """
    markets = [leg.market for leg in legs]
    if len(set(markets)) != len(markets) or not 0 < len(markets) <= 1 << PLACE_BITS:
        raise UsageError(f"markets {markets} cannot share a purse; valid: 1 to {1 << PLACE_BITS}, each once")


def run_purse_ticks(
    legs: Sequence[Leg],
    tapes: Sequence[Tape],
    forecasts: Sequence[ForecastSeries],
    model: FillModel,
    cash: float,
    *,
    strategy: Strategy = default,
    depths: Sequence[Depth] | None = None,
    is_skipping: bool = True,
) -> Shelf:
    """Replay the tapes of several markets in one piece; arguments as for PurseReplay and its `feed`."""
    replay = PurseReplay(legs, model, cash, strategy=strategy, is_skipping=is_skipping)
    replay.feed(tapes, forecasts, depths)
    return replay.shelf


def part_of(tape: Tape, start_ms: int, end_ms: int) -> Tape:
    """Give the trades in [start, end), as views."""
    part = slice(*np.searchsorted(tape.ts_ms, (start_ms, end_ms)))
    return Tape(tape.market, tape.ts_ms[part], tape.price[part])


def records_of(params: Sequence[OrderParams]) -> NDArray[np.void]:
    """Give parameters as records, whose fields compiled code reads by name like those of a NamedTuple.

    Raises:
        UsageError: if a field is no number.
    """
    rows = [one._asdict() for one in params]
    kinds = [(name, _kind(name, [row[name] for row in rows])) for name in rows[0]]
    # A record that begins with the fields of another would pass for it, and numba warns of that: the first tells them
    # apart, and nobody reads it.
    kinds.insert(0, (f"of_{type(params[0]).__name__}", "?"))
    return np.array([(True, *row.values()) for row in rows], np.dtype(kinds, align=True))


def _kind(name: str, values: Sequence[Any]) -> str:
    if all(isinstance(value, bool | np.bool_) for value in values):
        return "?"
    if all(isinstance(value, Integral) for value in values):
        return "i8"
    if all(isinstance(value, Real) for value in values):
        return "f8"
    raise UsageError(f"parameter {name} is {values[0]!r}; valid for several markets with one purse: numbers")


def _merge_records(params: Sequence[OrderParams], *others: Any) -> bool:
    return merge(cast("Any", records_of(params)), *others)


def _spans_of(tapes: Sequence[Tape]) -> Iterator[list[Tape]]:
    """Cut tapes where fees or sizes of orders change; give nothing when there is no trade."""
    times = [tape.ts_ms for tape in tapes if len(tape.ts_ms)]
    if not times:
        return
    start, end = min(int(ts[0]) for ts in times), max(int(ts[-1]) for ts in times) + 1
    changes = {at_ms for tape in tapes for at_ms in order_changes(tape.market, start, end)}
    for low, high in pairwise([start, *sorted(changes), end]):
        yield [part_of(tape, low, high) for tape in tapes]


def _chunk_of(tapes: Sequence[Tape], forecasts: Sequence[ForecastSeries], depths: Sequence[Depth | None]) -> Chunk:
    start = min(int(tape.ts_ms[0]) for tape in tapes if len(tape.ts_ms))
    end = max(int(tape.ts_ms[-1]) for tape in tapes if len(tape.ts_ms)) + 1
    needed = [depth for depth in depths if depth is not None]
    return Chunk(
        ts=joined([tape.ts_ms for tape in tapes]),
        price=joined([tape.price for tape in tapes]),
        trade_from=offsets([tape.ts_ms for tape in tapes]),
        minute=joined([one.minute_ms for one in forecasts]),
        forecast_price=joined([one.price for one in forecasts]),
        usable_from=joined([one.usable_from_ms for one in forecasts]),
        forecast_from=offsets([one.minute_ms for one in forecasts]),
        ladders=stacked([ladder_table(tape.market, start, end) for tape in tapes]),
        depth=Depth(*(joined(column) for column in zip(*needed, strict=True))) if needed else None,
        depth_from=offsets([one.ts_ms for one in needed] if needed else [np.empty(0)] * len(tapes)),
    )


def joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Put arrays one after the other; a single one is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def offsets(arrays: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Give where each of them begins in `joined`, and where the last one ends."""
    return np.array(list(accumulate((len(array) for array in arrays), initial=0)), np.int64)


def stacked(tables: Sequence[LadderTable]) -> LadderTable:
    """Put tables one behind the other, filled up with rows that never begin and rungs that are never reached."""
    rows = max(table.thresholds.shape[0] for table in tables)
    rungs = max(table.thresholds.shape[1] for table in tables)
    stack = LadderTable(
        np.full((len(tables), rows), FOREVER, np.int64),
        np.full((len(tables), rows, rungs), np.inf),
        np.full((len(tables), rows, rungs), np.nan),
    )
    for market, table in enumerate(tables):
        height, width = table.thresholds.shape
        stack.valid_from[market, :height] = table.valid_from
        stack.thresholds[market, :height, :width] = table.thresholds
        stack.ticks[market, :height, :width] = table.ticks
    return stack
