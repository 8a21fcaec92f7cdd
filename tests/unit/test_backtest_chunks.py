"""A replay that goes on from chunk to chunk: wherever the tape is cut, the book is the same to the byte."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jumpy import LIVELY, MODELS, forecasts_of, market, series_for
from tickloop.domain.backtest import TickReplay, run_ticks
from tickloop.domain.backtest_room import ORDERS, used
from tickloop.domain.fills import FillModel
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy import Params, Strategy
from tickloop.domain.tape import Tape

COUNT = 3_000
MARKETS = {seed: market(seed, count=COUNT) for seed in range(3)}
SERIES = {(name, seed): series_for(name, *one) for seed, one in MARKETS.items() for name in SHIPPED}


@pytest.mark.parametrize("is_whole", [True, False], ids=["all forecasts", "forecasts of the chunk"])
@pytest.mark.parametrize("name", list(SHIPPED))
@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, COUNT), max_size=12),
    seed=st.sampled_from(sorted(MARKETS)),
    model=st.sampled_from(MODELS),
    is_skipping=st.booleans(),
)
def test_any_cut_of_the_tape_gives_the_same_book(
    name: str, is_whole: bool, cuts: list[int], seed: int, model: FillModel, is_skipping: bool
) -> None:
    """Cuts within a millisecond, within an order's latency and empty chunks too."""
    tape, forecasts = MARKETS[seed][0], SERIES[name, seed]
    strategy, params = SHIPPED[name], LIVELY[name]
    replay = TickReplay(params, model, 50_000.0, strategy=strategy, is_skipping=is_skipping)

    for low, high in pairwise([0, *sorted(cuts), COUNT]):
        chunk = Tape(tape.market, tape.ts_ms[low:high], tape.price[low:high])
        is_part = low < high and not is_whole
        replay.feed(chunk, forecasts_of(forecasts, chunk.ts_ms[0], chunk.ts_ms[-1]) if is_part else forecasts)

    whole = run_ticks(tape, forecasts, params, model, 50_000.0, strategy=strategy, is_skipping=is_skipping)
    assert used(replay.book) == used(whole)


def test_cut_changes_neither_the_trades_at_which_a_strategy_is_asked() -> None:
    """A strategy whose `wake` is wrong does the same harm in chunks as in one piece."""
    tape, forecasts = MARKETS[0]
    asked: list[list[float]] = []

    def run(cuts: list[int]) -> list[float]:
        seen: list[float] = []
        asked.append(seen)

        def decide(*state: object) -> int:
            seen.append(float(state[8]))  # type: ignore[arg-type]
            return 0

        def wake(*state: object) -> tuple[float, float, int]:
            return 2_490_000.0, 2_510_000.0, int(state[8]) + 777_777  # type: ignore[call-overload]

        strategy = Strategy("odd", decide, wake, {"default": Params()})
        replay = TickReplay(Params(), MODELS[0], 50_000.0, strategy=strategy)
        for low, high in pairwise([0, *cuts, COUNT]):
            chunk = Tape(tape.market, tape.ts_ms[low:high], tape.price[low:high])
            replay.feed(chunk, forecasts_of(forecasts, chunk.ts_ms[0], chunk.ts_ms[-1]))
        return seen

    whole = run([])
    assert 10 < len(whole) < COUNT
    assert run([100, 101, 1_500, 2_999]) == whole
    assert run(list(range(50, COUNT, 50))) == whole


def test_room_grows_with_the_orders_and_not_with_the_length_of_the_tape() -> None:
    """A long tape with few orders takes the arrays of a new book; more orders than that double them."""
    tape, forecasts = MARKETS[0]
    lively = Params(order_krw=5_000.0, min_edge=-0.01, cooldown_ms=-1, take_profit_num=1000, hold_ms=1)

    few = run_ticks(tape, forecasts, Params(), MODELS[0], 50_000.0)
    many = run_ticks(tape, forecasts, lively, MODELS[1], 1e9)

    assert len(few.orders) == ORDERS
    assert ORDERS < many.purse[0]["orders"] <= len(many.orders) <= 2 * many.purse[0]["orders"]
