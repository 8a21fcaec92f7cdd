"""Tick mode: replay one market's trades through strategy and fill model, in one piece or chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book, open_book
from tickloop.domain.backtest_room import LOTS, ORDERS, with_room
from tickloop.domain.backtest_turn import has_room, open_watch, resume, turn
from tickloop.domain.depth import Depth, depth_for
from tickloop.domain.fills import FillModel
from tickloop.domain.kernel import kernel
from tickloop.domain.order_terms import DatedParams
from tickloop.domain.replay import replay_of, translated
from tickloop.domain.rules import LadderTable, ladder_table
from tickloop.domain.strategy import FOREVER, OrderParams, Params, Strategy, default
from tickloop.domain.tape import ForecastSeries, Tape


def run_ticks(
    tape: Tape,
    forecasts: ForecastSeries,
    params: OrderParams,
    model: FillModel,
    cash: float,
    *,
    strategy: Strategy = default,
    depth: Depth | None = None,
    is_skipping: bool = True,
) -> Book:
    """Replay a tape and give the book: every order with its outcome, the round trips, what is left.

    Args:
        cash: KRW at the start.
        strategy: one that numba cannot compile is run plain, slower and not differently.
        depth: recorded order books, for a model that fills by them.
        is_skipping: False asks `decide` at every trade; the orders are the same, the tests say so.

    Raises:
        StrategyError: if another strategy than the default raises, or answers what cannot be done.
        UsageError: if the exchange would not take orders of that size at some time of the tape, or the model fills by
            recorded order books and none are given.
    """
    replay = TickReplay(params, model, cash, strategy=strategy, is_skipping=is_skipping)
    replay.feed(tape, forecasts, depth)
    return replay.book


class TickReplay:
    """A replay of one market that goes on from chunk to chunk: however a tape is cut, the book is the same.

    Attributes:
        book: after the trades fed so far; its arrays are replaced by larger ones as it fills.
    """

    def __init__(
        self,
        params: OrderParams,
        model: FillModel,
        cash: float,
        *,
        strategy: Strategy = default,
        is_skipping: bool = True,
    ) -> None:
        """Take what `run_ticks` takes."""
        self.book = open_book(cash, LOTS, ORDERS)
        self._params, self._model = DatedParams(params), model
        self._watch = open_watch(1)
        self._is_skipping = is_skipping and strategy.wake is not None
        self._replay: Callable[..., bool] = _replay
        if strategy is not default:
            self._replay = translated(strategy, replay_of(strategy, _replay_body))

    def feed(self, tape: Tape, forecasts: ForecastSeries, depth: Depth | None = None) -> None:
        """Replay the next trades.

        Args:
            tape: not earlier than what was fed before; it may be empty.
            forecasts: of every minute that the chunk touches, or more of them.
            depth: the recorded order books that its fills can look at, or more of them; in every chunk or in none.

        Raises:
            StrategyError, UsageError: as `run_ticks`.
        """
        if not len(tape.ts_ms):
            return
        books = depth_for(self._model, depth)
        for part, params, is_new in self._params.pieces(tape):
            if is_new:  # what it sleeps by was told with other costs
                self._watch["low"], self._watch["high"] = np.inf, -np.inf
            self._feed(part, forecasts, books, params)

    def _feed(self, tape: Tape, forecasts: ForecastSeries, depth: Depth | None, params: OrderParams) -> None:
        arrays = (tape.ts_ms, tape.price, forecasts.minute_ms, forecasts.price, forecasts.usable_from_ms)
        ladders = ladder_table(tape.market, int(tape.ts_ms[0]), int(tape.ts_ms[-1]) + 1)
        resume(self._watch[0], *arrays)
        fixed = (params, self._model.latency_ms, self._model.ticks_against, ladders, depth, *arrays, self._watch)
        while not self._replay(*fixed, self.book, self._is_skipping):
            self.book = with_room(self.book)


def _replay_body(
    params: Params,
    latency_ms: int,
    ticks_against: int,
    ladders: LadderTable,
    depth: Depth | None,
    ts: NDArray[np.int64],
    price: NDArray[np.float64],
    minute: NDArray[np.int64],
    forecast_price: NDArray[np.float64],
    usable_from: NDArray[np.int64],
    watch: NDArray[Any],
    book: Book,
    is_skipping: bool,
) -> bool:
    """Replay to the end of the arrays; False when the book has to grow first, and then to be called again."""
    while watch[0]["at"] < len(ts):
        if not has_room(book):
            return False
        turn(
            params,
            latency_ms,
            ticks_against,
            ladders,
            depth,
            ts,
            price,
            minute,
            forecast_price,
            usable_from,
            watch[0],
            book,
            0,
            FOREVER,
            is_skipping,
        )
    return True


_replay = kernel(_replay_body)
