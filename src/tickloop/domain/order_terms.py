"""Fee and size of orders as they change over a span: the exchange's dated rules in a strategy's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from tickloop.domain import rules
from tickloop.domain.market import QTY_UNITS
from tickloop.domain.strategy import OrderParams
from tickloop.domain.tape import Tape
from tickloop.domain.window import to_datetime
from tickloop.errors import UsageError


class Piece(NamedTuple):
    """Trades over which one set of parameters holds; `is_new`: another one than before."""

    tape: Tape
    params: OrderParams
    is_new: bool


class DatedParams:
    """A strategy's parameters over a tape that comes in chunks: fee and minimum total change when the exchange's do.

    One that is not the exchange's at the first trade was set on purpose, and stays.
    """

    def __init__(self, params: OrderParams) -> None:
        self._params = params
        self._is_fixed: dict[str, bool] = {}  # by name; empty before the first trade

    def pieces(self, tape: Tape) -> Iterator[Piece]:
        """Cut a chunk, which is not empty, where the rules change.

        Raises:
            UsageError: if the exchange would not take orders of `order_krw` at some time of it, before the first piece.
        """
        start_ms, end_ms = int(tape.ts_ms[0]), int(tape.ts_ms[-1]) + 1
        if not self._is_fixed:
            now = _costs(tape.market, start_ms)
            self._is_fixed = {name: getattr(self._params, name) != value for name, value in now.items()}
        moments = [start_ms, *rules.order_changes(tape.market, start_ms, end_ms)]
        terms = [self._at(tape.market, at_ms) for at_ms in moments]
        for params, at_ms in zip(terms, moments, strict=True):
            check_size(params, tape.market, at_ms)
        bounds = np.searchsorted(tape.ts_ms, [*moments, end_ms]).tolist()
        for params, (first, last) in zip(terms, pairwise(bounds), strict=True):
            if first == last:
                continue
            is_new, self._params = params != self._params, params
            yield Piece(Tape(tape.market, tape.ts_ms[first:last], tape.price[first:last]), params, is_new)

    def _at(self, market: str, at_ms: int) -> OrderParams:
        theirs = {name: value for name, value in _costs(market, at_ms).items() if not self._is_fixed[name]}
        return cast("OrderParams", cast("Any", self._params)._replace(**theirs))


def check_one_term(params: OrderParams, market: str, start_ms: int, end_ms: int) -> None:
    """Refuse a span in which fee or size of orders change, for a replay that knows one of each.

    Raises:
        UsageError: naming the time, or as `check_size`.
    """
    if changes := rules.order_changes(market, start_ms, end_ms):
        raise UsageError(
            f"fee or size of orders of {market} change at {to_datetime(changes[0]):%Y-%m-%dT%H:%M}, within the span; "
            "valid: a span that ends or begins there, or one back-test of ticks"
        )
    check_size(params, market, start_ms)


def check_size(params: OrderParams, market: str, at_ms: int) -> None:
    """Refuse an order size that the exchange would not take.

    Raises:
        UsageError: naming it and the sizes that are valid then.
    """
    low, high = params.min_total, float(rules.max_total(market, at_ms))
    if not low <= params.order_krw <= high:
        raise UsageError(
            f"order_krw {params.order_krw:,.0f} is no order of {market} at {to_datetime(at_ms):%Y-%m-%dT%H:%M}; "
            f"valid: {low:,.0f} to {high:,.0f} KRW"
        )


def check_totals(orders: NDArray[np.void], market: str) -> None:
    """Refuse a run in which a sell was worth more, at the price it was decided at, than the exchange takes as one.

    Args:
        orders: ORDER_DTYPE; the lots that are due leave as one order, however many they are.

    Raises:
        UsageError: naming the sell and what is valid then.
    """
    total = orders["sent_e8"] * orders["decision_price"] / QTY_UNITS
    for row in np.flatnonzero(total > min(float(one.max_total) for one in rules.ORDER_RULES)).tolist():
        at_ms, limit = int(orders["decided_ms"][row]), float(rules.max_total(market, int(orders["decided_ms"][row])))
        if total[row] > limit:
            raise UsageError(
                f"the sell of {market} decided at {to_datetime(at_ms):%Y-%m-%dT%H:%M} was worth {total[row]:,.0f} KRW, "
                f"which is no order; valid: at most {limit:,.0f}: a smaller budget or order_krw"
            )


def _costs(market: str, at_ms: int) -> dict[str, float]:
    return {"fee_rate": float(rules.fee_rate(market, at_ms)), "min_total": float(rules.min_total(market, at_ms))}
