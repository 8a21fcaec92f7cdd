"""Strategies of users: how they are found, what is refused, and that one which does not compile gives the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tickloop.domain.backtest import run_ticks
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategies.plain import PlainParams
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategies.target import target_strategy
from tickloop.domain.strategy import BUY, NOTHING, SELL, Params, Strategy
from tickloop.domain.strategy_bars import run_strategy_bars, signal_of
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.errors import StrategyError
from tickloop.services.strategies import strategy_named

NOW = 1_705_881_600_000
MINUTE = 60_000
NONE = ForecastSeries(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
TAPE = Tape("KRW-BTC", NOW + 1_000 * np.arange(200), 50e6 + 50_000.0 * (np.arange(200) % 7))

FILE = """
from typing import NamedTuple

from tickloop.domain.space import Range
from tickloop.domain.strategy import BUY, NOTHING, SELL, Strategy, is_affordable, is_sendable


class DipParams(NamedTuple):
    order_krw: float = 6_000.0
    fee_rate: float = 0.0005
    min_total: float = 5_000.0
    below: float = 50_000_001.0


def decide(params, entry, filled_at, qty_e8, lots, cash, last_buy_ms, in_flight, ts_ms, price, forecast):
    if in_flight == 0 and lots > 0 and price > 50_200_000.0 and is_sendable(params, qty_e8[:lots].sum(), price):
        return SELL
    if in_flight == 0 and lots == 0 and price < params.below and is_affordable(params, cash):
        return BUY
    return NOTHING


def leaves(params, entry, filled_at_ms, ts_ms, price, forecast):
    return price > 50_200_000.0


space = {"below": Range(1.0, 1e9, is_log=True)}
dip = Strategy("dip", decide, None, {"default": DipParams()}, leaves, space=space)
"""


def _file(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _orders(strategy: Strategy) -> bytes:
    book = run_ticks(TAPE, NONE, strategy.presets["default"], FILL_MODELS["spread"], 50_000.0, strategy=strategy)
    assert book.purse[0]["orders"] > 0
    return bytes(book.orders[: book.purse[0]["orders"]].tobytes())


@pytest.mark.parametrize("name", list(SHIPPED))
def test_shipped_strategy_is_found_by_its_name(name: str) -> None:
    """No file and no entry point is needed."""
    assert strategy_named(name) is SHIPPED[name]


def test_strategy_of_a_file_is_run_compiled_and_plain_with_the_same_orders(tmp_path: Path) -> None:
    """The plain run asks a function that numba cannot compile, since it makes a Decimal of the price."""
    dip = strategy_named(f"{_file(tmp_path, FILE)}:dip")

    def with_decimal(*state: Any) -> int:
        return int(dip.decide(*state[:9], float(Decimal(state[9])), state[10]))

    assert _orders(dip) == _orders(replace(dip, name="plain", decide=with_decimal))


def test_function_that_numba_cannot_compile_is_run_all_the_same() -> None:
    """The compiled replay is not what ran: it raises for that function, at every call."""
    calls: list[float] = []

    def decide(*state: Any) -> int:
        calls.append(state[9])
        return NOTHING

    strategy = Strategy("counting", decide, None, {"default": Params()})
    run_ticks(TAPE, NONE, Params(), FILL_MODELS["spread"], 50_000.0, strategy=strategy)

    assert calls == TAPE.price.tolist()


def test_two_files_of_one_name_are_two_strategies(tmp_path: Path) -> None:
    """Each is loaded as a module of its own."""
    (tmp_path / "other").mkdir()
    other = FILE.replace('Strategy("dip"', 'Strategy("other"')

    first = strategy_named(f"{_file(tmp_path, FILE)}:dip")
    second = strategy_named(f"{_file(tmp_path / 'other', other)}:dip")

    assert (first.name, second.name) == ("dip", "other")
    assert type(first.presets["default"]) is not type(second.presets["default"])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("dip", "strategy 'dip' is not known; valid: buy_and_hold, default, do_nothing, grid"),
        ("{folder}/gone.py:dip", "gone.py does not exist"),
        ("{folder}/mine.py:", "no name; valid: PATH.py:NAME"),
        ("{folder}/mine.txt:dip", "no Python file"),
        ("{folder}/mine.py:dips", "has no 'dips'; valid: dip"),
        ("{folder}/mine.py:decide", "is a function; valid: a tickloop.domain.strategy.Strategy"),
        ("{folder}/broken.py:dip", "broken.py, line 1, is not Python"),
        ("{folder}/raising.py:dip", "raising.py cannot be run: ZeroDivisionError"),
        ("{folder}/importing.py:dip", "importing.py cannot be run: ModuleNotFoundError"),
        ("{folder}/empty.py:dip", "it defines no Strategy"),
        ("{folder}/nameless.py:dip", "no preset 'default'"),
        ("{folder}/bare.py:dip", "preset 'default' has no field min_total, below"),
        ("{folder}/uncalled.py:dip", "leaves cannot be called"),
    ],
)
def test_strategy_that_cannot_be_loaded_is_refused_with_the_reason(tmp_path: Path, text: str, names: str) -> None:
    """The message names the file and what would be valid."""
    files = {
        "mine.py": FILE,
        "mine.txt": FILE,
        "broken.py": "def :",
        "raising.py": "1 / 0",
        "importing.py": "import no_such_module_anywhere",
        "empty.py": "x = 1",
        "nameless.py": FILE.replace('{"default":', '{"usual":'),
        "bare.py": FILE.replace("    min_total: float = 5_000.0\n    below: float = 50_000_001.0\n", ""),
        "uncalled.py": FILE.replace("DipParams()}, leaves", "DipParams()}, 7"),
    }
    for name, content in files.items():
        _file(tmp_path, content, name)

    with pytest.raises(StrategyError, match=names):
        strategy_named(text.format(folder=tmp_path))


def _always(action: int) -> Callable[..., int]:
    def decide(*state: Any) -> int:
        return action

    return decide


def _poor(*state: Any) -> int:
    return BUY if state[7] == 0 else NOTHING


def _raising(*state: Any) -> int:
    raise KeyError("no such level")


@pytest.mark.parametrize(
    ("decide", "names"),
    [
        (_always(7), "1705881600000 ms: its decide answered none of NOTHING"),
        (_always(SELL), "sold lots worth less than the exchange's minimum total, or none"),
        (_always(BUY), "sent an order while one of the same side was in flight"),
        (_poor, "bought with less cash than order_krw and its fee"),
        (_raising, "strategy 'wrong' raised KeyError: 'no such level'"),
        (lambda *state: None, "its decide answered none of"),
    ],
)
def test_answer_that_cannot_be_done_is_an_error_before_any_figure(decide: Callable[..., int], names: str) -> None:
    """Refused by the engine as the exchange or the purse would."""
    strategy = Strategy("wrong", decide, None, {"default": Params()}, leaves=lambda *lot: True)

    dense = Tape(TAPE.market, NOW + (TAPE.ts_ms - NOW) // 10, TAPE.price)  # several trades while an order is under way
    with pytest.raises(StrategyError, match=names):
        run_ticks(dense, NONE, Params(), FILL_MODELS["spread"], 50_000.0, strategy=strategy)


def _seven(
    params: Any,
    entry: Any,
    filled_at: Any,
    qty_e8: Any,
    lots: int,
    cash: float,
    last_buy_ms: int,
    in_flight: int,
    ts_ms: int,
    price: float,
    forecast: float,
) -> int:
    return 7


def test_compiled_answer_that_cannot_be_done_is_the_same_error() -> None:
    """Raised in machine code, told in the same words."""
    strategy = Strategy("seven", _seven, None, {"default": Params()})

    with pytest.raises(StrategyError, match="strategy 'seven' at the trade of 1705881600000 ms: its decide answered"):
        run_ticks(TAPE, NONE, Params(), FILL_MODELS["spread"], 50_000.0, strategy=strategy)


def _bars(count: int = 40) -> BarTape:
    close = 50e6 + 1_000.0 * (np.arange(count) * 37 % 101)
    return BarTape("KRW-BTC", NOW + MINUTE * np.arange(count), close, close, close)


def _rising(params: Any, close: np.ndarray) -> np.ndarray:
    return (np.diff(close, prepend=close[0]) > 0).astype(float)


def _above_mean_of_all(params: Any, close: np.ndarray) -> np.ndarray:
    return (close > close.mean()).astype(float)


def test_signal_of_a_user_is_all_that_a_target_strategy_needs() -> None:
    """Held after a rise, from the next open on."""
    rising = target_strategy("rising", _rising, {"default": PlainParams()}, {})

    book = run_strategy_bars(rising, _bars(), NONE, PlainParams(), 50_000.0)

    assert int(book.orders[0]["decided_ms"]) == NOW + 2 * MINUTE
    assert book.purse[0]["orders"] > 10


@pytest.mark.parametrize(
    ("signal", "names"),
    [
        (_above_mean_of_all, "looks ahead: without the bars from 4 on"),
        (lambda params, close: np.ones(3), r"has shape \(3,\) for 40 bars"),
        (lambda params, close: close[99], "raised IndexError"),
    ],
)
def test_signal_that_looks_ahead_or_is_no_signal_is_refused(signal: Callable[..., Any], names: str) -> None:
    """Later bars are hidden from it, and what it said of the earlier ones must stay."""
    strategy = target_strategy("odd", signal, {"default": PlainParams()}, {})

    with pytest.raises(StrategyError, match=names):
        signal_of(strategy, PlainParams(), _bars())
