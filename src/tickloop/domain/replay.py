"""Put another strategy's functions in the place of the default's in a compiled replay.

What a strategy answers is checked here before it becomes an order: an order that the exchange would refuse, or that
the purse cannot pay, is an error of the strategy and never a figure.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.backtest_book import Book
from tickloop.domain.backtest_turn import rewake_body, send, turn_body
from tickloop.domain.kernel import compiled_or, kernel, plain, rebound, uncached
from tickloop.domain.strategy import (
    BUY,
    BUY_IN_FLIGHT,
    NOTHING,
    SELL,
    SELL_IN_FLIGHT,
    OrderParams,
    Strategy,
    Wake,
    default,
    is_affordable,
    is_due,
    is_sendable,
)
from tickloop.errors import StrategyError

T = TypeVar("T")

_ACTION, _BUSY, _POOR, _SMALL = 1, 2, 3, 4
_FAULTS = {
    _ACTION: "its decide answered none of NOTHING (0), SELL (1), BUY (2)",
    _BUSY: "it sent an order while one of the same side was in flight; valid: look at in_flight first",
    _POOR: "it bought with less cash than order_krw and its fee; valid: ask is_affordable first",
    _SMALL: "it sold lots worth less than the exchange's minimum total, or none; valid: ask is_sendable first",
}

PLUG_IN_RAISES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a function over plain values raises when it is wrong."""


class _FaultError(ValueError):
    """Raised in compiled code with one of _FAULTS and the time of the trade in ms."""


def replay_of(
    strategy: Strategy,
    body: Callable[..., T],
    parts: tuple[Callable[..., Any], ...] = (),
    pack: Callable[[Any], Any] | None = None,
) -> Callable[..., T]:
    """Give a replay that asks another strategy: compiled, or plain where numba cannot compile it.

    Args:
        body: a plain replay; it calls `turn` and `rewake`, or some of the parts.
        parts: plain functions that call `turn` or `rewake`: NAME_body, which the body calls as NAME.
        pack: makes of its first argument, the parameters, what compiled code takes.
    """
    decide, wake, leaves = strategy.decide, strategy.wake or _never_asked, strategy.leaves or _is_due
    return _replay_of(strategy.name, decide, wake, leaves, (body, *parts), pack)


def translated(strategy: Strategy, function: Callable[..., T]) -> Callable[..., T]:
    """Give a function that turns what a strategy raises in it into a StrategyError with the cause kept."""

    def call(*args: Any) -> T:
        try:
            return function(*args)
        except _FaultError as exc:
            raise StrategyError(f"strategy {strategy.name!r} at the trade of {exc.args[1]} ms: {_why(exc)}") from exc
        except PLUG_IN_RAISES as exc:
            raise StrategyError(f"strategy {strategy.name!r} raised {type(exc).__name__}: {exc}") from exc

    return call


def _why(fault: _FaultError) -> str:
    return _FAULTS[int(fault.args[0])]


def is_ours(function: Callable[..., Any]) -> bool:
    """Tell whether a function stands among the rules: its file is stamped, and our tests hold it to the rules."""
    return function.__module__.startswith("tickloop.domain.")


@lru_cache(maxsize=64)
def _replay_of(
    name: str,
    decide: Callable[..., int],
    wake: Callable[..., Any],
    leaves: Callable[..., bool],
    bodies: tuple[Callable[..., Any], ...],
    pack: Callable[[Any], Any] | None,
) -> Callable[..., Any]:
    # The stamp of cached code covers the files of this folder; another file may change without it.
    compile_ = kernel if all(is_ours(function) for function in (decide, wake, leaves)) else uncached
    compiled = _bound(name, compile_, _dispatcher(decide), _dispatcher(wake), _dispatcher(leaves), *bodies)
    fallback = _bound(name, lambda function: function, plain(decide), plain(wake), plain(leaves), *bodies)
    if pack is None:
        return compiled_or(compiled, fallback)
    return compiled_or(lambda params, *others: compiled(pack(params), *others), fallback)


def _dispatcher(function: Callable[..., Any]) -> Callable[..., Any]:
    return function if plain(function) is not function else uncached(function)


def _bound(
    name: str,
    compile_: Callable[[Callable[..., Any]], Callable[..., Any]],
    decide: Callable[..., int],
    wake: Callable[..., Any],
    leaves: Callable[..., bool],
    body: Callable[..., Any],
    *parts: Callable[..., Any],
) -> Callable[..., Any]:
    def bind(function: Callable[..., Any], **others: Any) -> Callable[..., Any]:
        return compile_(rebound(plain(function), f"{plain(function).__name__}_{name}", **others))

    mark = bind(_mark, leaves=leaves)
    turn = bind(
        turn_body,
        decide=bind(_checked, decide=decide),
        wake=wake,
        count_late=bind(_count_late, leaves=leaves),
        send=bind(send, mark_leaving=mark),
    )
    turns = {"turn": turn, "rewake": bind(rewake_body, wake=wake)}
    return bind(body, **turns, **{part.__name__.removesuffix("_body"): bind(part, **turns) for part in parts})


@kernel
def _is_due(params: Any, entry: float, filled_at_ms: int, ts_ms: int, price: float, _forecast: float) -> bool:
    return is_due(params, entry, filled_at_ms, ts_ms, price)


@kernel
def _never_asked(
    _params: OrderParams,
    _entry: NDArray[np.float64],
    _filled_at: NDArray[np.int64],
    _qty_e8: NDArray[np.int64],
    _lots: int,
    _cash: float,
    _last_buy_ms: int,
    _in_flight: int,
    ts_ms: int,
    _forecast: float,
) -> Wake:
    return Wake(-np.inf, np.inf, ts_ms)


# The names that `rebound` replaces; the functions below are templates and are not called as they stand.
decide = default.decide
leaves = _is_due


def _checked(
    params: OrderParams,
    entry: NDArray[np.float64],
    filled_at: NDArray[np.int64],
    qty_e8: NDArray[np.int64],
    lots: int,
    cash: float,
    last_buy_ms: int,
    in_flight: int,
    ts_ms: int,
    price: float,
    forecast: float,
) -> int:
    action = decide(params, entry, filled_at, qty_e8, lots, cash, last_buy_ms, in_flight, ts_ms, price, forecast)
    if action not in (NOTHING, SELL, BUY):
        raise _FaultError(_ACTION, ts_ms)
    if (action == SELL and in_flight & SELL_IN_FLIGHT) or (action == BUY and in_flight & BUY_IN_FLIGHT):
        raise _FaultError(_BUSY, ts_ms)
    if action == BUY and not is_affordable(params, cash):
        raise _FaultError(_POOR, ts_ms)
    return action


def _mark(book: Book, params: OrderParams, ts_ms: int, price: float, forecast: float) -> int:
    marked = qty_e8 = 0
    for lot in range(book.purse[0]["lots"]):
        is_leaving = leaves(params, book.entry[lot], book.filled_at[lot], ts_ms, price, forecast)
        book.is_leaving[lot] = is_leaving
        if is_leaving:
            marked += 1
            qty_e8 += book.qty_e8[lot]
    if not is_sendable(params, qty_e8, price):
        raise _FaultError(_SMALL, ts_ms)
    return marked


def _count_late(book: Book, params: OrderParams, ts_ms: int, forecast: float) -> None:
    """Count, once each, the lots that leave whatever the price, and are not sold because they are too small."""
    for lot in range(book.purse[0]["lots"]):
        if not book.is_waiting[lot] and leaves(params, book.entry[lot], book.filled_at[lot], ts_ms, np.nan, forecast):
            book.is_waiting[lot] = True
            book.purse[0]["unsellable"] += 1
