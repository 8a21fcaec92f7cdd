"""Data as a user holds them: every form gives the same arrays, and what must not go on is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tickloop.domain.given_data import given_data, given_forecasts
from tickloop.domain.tape import BarTape, Tape
from tickloop.errors import DataError, NotEnoughDataError, UnsortedTradesError

START = 1_705_881_600_000  # 2024-01-22T00:00Z
MINUTE = 60_000
TS = START + MINUTE * np.arange(3)
PRICE = np.array([50e6, 51e6, 50e6])
NAN = float("nan")


def _bars(**changes: Any) -> dict[str, Any]:
    return {"ts_open": TS, "open": PRICE, "high": PRICE + 1e6, "close": PRICE} | changes


def _trades(**changes: Any) -> dict[str, Any]:
    return {"ts_event": TS, "price": PRICE} | changes


def _records() -> np.ndarray:
    rows = list(zip(TS.tolist(), PRICE.tolist(), strict=True))
    return np.array(rows, dtype=[("ts", "i8"), ("price", "f8")])


TRADE_FORMS = {
    "polars": pl.DataFrame(_trades()),
    "naive datetimes": pl.DataFrame({"ts": pl.Series(TS).cast(pl.Datetime("ms")), "price": PRICE}),
    "arrays by name": {"ts": TS, "price": PRICE},
    "whole prices": {"ts": TS, "price": PRICE.astype(np.int64)},
    "numpy times in seconds": {"ts": TS.astype("datetime64[ms]").astype("datetime64[s]"), "price": PRICE},
    "tuple": (TS, PRICE),
    "lists": (TS.tolist(), PRICE.tolist()),
    "records": _records(),
    "with more": _trades(market=["KRW-BTC"] * 3, trade_id=[3, 1, 2], side=["BUY"] * 3),
}


@pytest.mark.parametrize("form", list(TRADE_FORMS))
def test_trades_of_every_form_are_the_same_tape(form: str) -> None:
    """Times in milliseconds, prices as float64."""
    tape, unknown = given_data(TRADE_FORMS[form], "KRW-BTC")

    assert isinstance(tape, Tape)
    assert (tape.ts_ms.dtype, tape.price.dtype) == (np.int64, np.float64)
    assert (tape.ts_ms.tolist(), tape.price.tolist(), unknown) == (TS.tolist(), PRICE.tolist(), 0)


@pytest.mark.parametrize(
    "data",
    [
        pl.DataFrame(_bars(low=PRICE)),
        _bars(),
        (TS, PRICE, PRICE + 1e6, PRICE),
        (TS, PRICE, PRICE + 1e6, PRICE - 1e6, PRICE),
    ],
    ids=["polars", "mapping", "four arrays", "five arrays"],
)
def test_bars_of_every_form_are_the_same_tape(data: Any) -> None:
    """The low is checked and not kept."""
    tape, _ = given_data(data, "KRW-BTC")

    assert isinstance(tape, BarTape)
    assert tape.ts_ms.tolist() == TS.tolist()
    assert (tape.open.tolist(), tape.high.tolist()) == (PRICE.tolist(), (PRICE + 1e6).tolist())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_trades(ts_event=TS[::-1]), "trade 1 of KRW-BTC at 2024-01-22T00:01:00.000Z is earlier than the one before"),
        (_trades(trade_id=[7, 8, 7]), "trades 0 and 2 of KRW-BTC are both trade 7; valid: each trade once"),
        (_trades(price=[50e6, NAN, 50e6]), "trade 1 .* has price nan; valid: a finite number above 0"),
        (_trades(price=[50e6, 50e6, float("inf")]), "trade 2 .* has price inf"),
        (_trades(price=[0.0, 50e6, 50e6]), "trade 0 .* has price 0.0"),
        (_trades(price=[50e6, 50e6, -1.0]), "trade 2 .* has price -1.0"),
        (_trades(price=pl.Series([50e6, None, 50e6])), "trade 1 .* has price nan"),
        (_trades(price=["a", "b", "c"]), "column price is String; valid: numbers"),
        (_trades(ts_event=TS // 1000), "column ts_event has 1705881600 in row 0; valid: datetimes, or epoch millisec"),
        (_trades(ts_event=TS * 1e-3), "column ts_event is Float64; valid: whole numbers"),
        (_trades(ts_event=pl.Series([None, *TS[1:].tolist()])), "ts_event has 1 empty places"),
        (_trades(market=["KRW-BTC", "KRW-BTC", "KRW-ETH"]), "holds the market 'KRW-ETH'; valid: 'KRW-BTC' alone"),
        (_trades(price=PRICE[:2]), "lengths {'ts_event': 3, 'price': 2}; valid: one length"),
        (_bars(ts_open=[TS[0], TS[1], TS[1]]), "bar 2 of KRW-BTC at 2024-01-22T00:01:00.000Z comes twice; valid"),
        (_bars(ts_open=TS[::-1]), "bar 1 of KRW-BTC at .* is earlier than the one before it"),
        (_bars(ts_open=TS + 1), "bar 0 of KRW-BTC is at 2024-01-22T00:00:00.001Z; valid: the start of a minute"),
        (_bars(open=[50e6, NAN, 50e6]), "bar 1 .* has open nan; valid"),
        (_bars(close=[50e6, 50e6, 0.0]), "bar 2 .* has close 0.0"),
        (_bars(high=[-1.0, 52e6, 52e6]), "bar 0 .* has high -1.0"),
        (_bars(high=[52e6, 50e6, 52e6]), "bar 1 .* has high 50000000.0 below its open or close"),
        (_bars(low=[50e6, 50e6, 51e6]), "bar 2 .* has low 51000000.0 above its open or close"),
        (_bars(low=[50e6, NAN, 50e6]), "bar 1 .* has low nan"),
        (_bars(state=["verified", "unknown", "candle"]), "1 of 3 bars are of minutes whose state is unknown"),
        ({"ts": TS, "open": PRICE}, r"no price, and of bars no \['high', 'close'\]; valid"),
        ({"price": PRICE}, "no ts_event or ts; valid"),
        ({"ts": TS[:, None], "price": PRICE}, r"shape \(3, 1\); valid: one dimension"),
        ((TS, PRICE, PRICE), "data is a tuple; valid"),
        ("trades.csv", "data is a str; valid"),
    ],
)
def test_data_that_must_not_go_on_are_refused_with_row_value_and_what_is_valid(data: Any, message: str) -> None:
    """One case per way to be wrong."""
    with pytest.raises(DataError, match=message):
        given_data(data, "KRW-BTC")


def test_kind_of_the_error_tells_order_and_emptiness_apart() -> None:
    """Both are data errors."""
    with pytest.raises(UnsortedTradesError):
        given_data(_trades(ts_event=TS[::-1]), "KRW-BTC")
    for empty in ((TS[:0], PRICE[:0]), (TS[:0], *[PRICE[:0]] * 3)):
        with pytest.raises(NotEnoughDataError):
            given_data(empty, "KRW-BTC")


def test_unknown_bars_are_left_out_and_counted_when_asked_for() -> None:
    """The result says how many."""
    tape, unknown = given_data(_bars(state=["verified", "unknown", "candle"]), "KRW-BTC", allow_unknown=True)

    assert tape.ts_ms.tolist() == [TS[0], TS[2]]
    assert unknown == 1


def test_bars_of_another_length_than_a_minute_are_refused() -> None:
    """Profit per minute, exposure and the minimum distance of buys would be wrong."""
    ts = START + 60 * MINUTE * np.arange(30)
    price = np.full(30, 50e6)

    with pytest.raises(DataError, match="at least 60 minutes apart; valid: one-minute bars"):
        given_data((ts, price, price, price), "KRW-BTC")


def test_forecasts_are_usable_after_the_delay_or_when_they_say() -> None:
    """A column of their own goes first."""
    assert given_forecasts((TS, PRICE), 1_000).usable_from_ms.tolist() == (TS + 1_000).tolist()
    said = {"target_minute": TS, "price": PRICE, "usable_from": TS + 7}
    assert given_forecasts(said, 1_000).usable_from_ms.tolist() == (TS + 7).tolist()
    assert len(given_forecasts(None, 0).price) == 0


@pytest.mark.parametrize(
    ("forecasts", "message"),
    [
        ((TS, [50e6, NAN, 50e6]), "forecast 1 at 2024-01-22T00:01:00.000Z has price nan; valid: a finite number"),
        ((TS, [50e6, 50e6, -5.0]), "forecast 2 .* has price -5.0"),
        (([TS[0], TS[0], TS[1]], PRICE), "forecast 1 .* comes twice"),
        ((TS + 5, PRICE), "forecast 0 is at 2024-01-22T00:00:00.005Z; valid: the start of a minute"),
        ({"ts": TS, "price": PRICE, "model_version": ["a", "b", "a"]}, r"of \['a', 'b'\]; valid: one model version"),
        ({"ts": TS, "value": PRICE}, "has no price"),
    ],
)
def test_forecasts_that_cannot_be_are_refused(forecasts: Any, message: str) -> None:
    """As trades and bars are."""
    with pytest.raises(DataError, match=message):
        given_forecasts(forecasts, 0)
