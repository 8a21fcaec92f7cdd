"""What the front of a back-test promises: parts of a run kept, jobs refused, made tapes withheld, strategies listed."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import FixedClock, MemoryRegistry, MemoryWarehouse
from tickloop.domain.backtest_inputs import Inputs, result_for
from tickloop.domain.backtest_job import Job, job_from
from tickloop.domain.backtest_result import WHY_WITHHELD, WITHHELD, BacktestResult
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy_params import params_for
from tickloop.domain.tape import BarTape, ForecastSeries, Tape, forecasts_from, tape_from
from tickloop.domain.verdict import Path as TapePath
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.errors import DataError, UnknownMarketError, UsageError
from tickloop.services.backtest_run import check_budget, run_whole
from tickloop.settings import ExchangeSettings, StrategySettings

START = 1_705_881_600_000  # 2024-01-22T00:00Z
WINDOW = Window(START, START + HOUR_MS)
CROSS = SHIPPED["sma_cross"]
TS = START + MINUTE_MS * np.arange(60)
PRICE = 50e6 + 100_000.0 * (np.arange(60) % 8)
NONE = ForecastSeries(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


@dataclass
class Ports:
    """What a job reads; nothing is stored in them."""

    clock: FixedClock = field(default_factory=FixedClock)
    warehouse: MemoryWarehouse = field(default_factory=MemoryWarehouse)
    strategy: StrategySettings = field(default_factory=StrategySettings)
    is_path_invented: bool = False
    markets: tuple[str, ...] = ("KRW-BTC",)

    def __post_init__(self) -> None:
        self.registry = MemoryRegistry(self.clock)


def _run(path: TapePath) -> BacktestResult:
    bars = BarTape("KRW-BTC", TS, PRICE, PRICE, PRICE)
    tape = None if path == "bars" else Tape("KRW-BTC", TS + 1_000, PRICE)
    params = params_for(CROSS, "KRW-BTC", START, values={"fast": 2, "slow": 4})
    return result_for(Inputs("KRW-BTC", bars, tape, NONE, None, path), CROSS, params, FILL_MODELS["spread"], 50_000.0)


def test_only_ticks_of_a_made_tape_are_withheld() -> None:
    """The same trades with a path that was recorded, and bars, say what they earned."""
    made, recorded, bars = _run("invented"), _run("recorded"), _run("bars")

    assert made.trips.height > 2
    assert (made.is_withheld, recorded.is_withheld, bars.is_withheld) == (True, False, False)
    assert {name: made.summary()[name] for name in WITHHELD} == dict.fromkeys(WITHHELD)
    assert made.summary()["caveat"] == WHY_WITHHELD
    assert recorded.summary()["caveat"] == ""
    for told in (recorded.summary(), bars.summary()):
        assert [name for name in WITHHELD if told[name] is None] == []


def test_made_tape_keeps_what_is_no_profit_and_no_other_name() -> None:
    """Counts, fees, and what holding the bars would have brought; a new figure of money must be looked at here."""
    made, recorded = _run("invented").summary(), _run("recorded").summary()

    assert made.keys() == recorded.keys()
    shown = {name for name, value in made.items() if value is not None and name.endswith("_krw")}
    assert shown == {"budget_krw", "fees_krw", "turnover_krw", "buy_and_hold_krw", "do_nothing_krw"}
    assert all(made[name] == recorded[name] for name in ("orders", "buys", "sells", "trades", "fees_krw"))


def test_caveat_of_the_fill_model_stays_beside_the_reason() -> None:
    """`last` has one of its own."""
    made = _run("invented")

    told = replace(made, setup=replace(made.setup, caveat="as in 2023"))

    assert told.summary()["caveat"] == f"{WHY_WITHHELD}; as in 2023"


@pytest.mark.parametrize(
    ("url", "said", "is_made"),
    [
        ("https://api.upbit.com", None, False),
        ("http://127.0.0.1:9000", None, True),
        ("http://localhost:9000", None, True),
        ("http://127.0.0.1:9000", False, False),
        ("https://api.upbit.com", True, True),
    ],
)
def test_exchange_on_this_machine_makes_its_path_unless_the_settings_vouch_for_it(
    url: str, said: bool | None, is_made: bool
) -> None:
    """A replayed recording is vouched for; a forgotten setting must not make profits of nothing."""
    assert ExchangeSettings(rest_url=url, is_path_invented=said).makes_its_path is is_made


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "candles"}, "mode 'candles' is not known; valid: bars, ticks"),
        ({"mode": "ticks", "latency_ms": -1}, "latency -1 ms is not valid; valid: 0 to 600000"),
        ({"mode": "ticks", "latency_ms": 600_001}, "latency 600001 ms is not valid"),
        ({"latency_ms": 0}, "latency 0 ms has no meaning in bar mode"),
        ({"budget": 0.0}, "budget 0.0 KRW is not valid; valid: a finite amount above 0"),
        ({"budget": float("inf")}, "budget inf KRW is not valid"),
        ({"budget": float("nan")}, "budget nan KRW is not valid"),
    ],
)
def test_job_that_no_run_can_have_is_not_made(values: dict[str, Any], message: str) -> None:
    """Neither by a caller nor from the JSON of another process."""
    with pytest.raises(UsageError, match=message):
        Job("KRW-BTC", WINDOW, **values)
    plain = Job("KRW-BTC", WINDOW).as_dict() | values
    with pytest.raises(UsageError, match=message):
        job_from(plain)


def test_job_comes_back_from_json_as_it_was() -> None:
    """A work unit of a cluster."""
    job = Job("KRW-BTC", WINDOW, "sma_cross", values={"fast": 3}, mode="ticks", latency_ms=5, budget=1e5)

    assert job_from(json.loads(json.dumps(job.as_dict()))) == job
    with pytest.raises(UsageError, match=r"cannot be read: .*'speed'"):
        job_from(job.as_dict() | {"speed": 1})


def test_budget_of_less_than_an_order_with_its_fee_is_refused() -> None:
    """A profit of 0 would only say that nothing could be bought."""
    params = params_for(CROSS, "KRW-BTC", START)

    check_budget(params, 6_003.0)
    with pytest.raises(UsageError, match=r"budget 6,003 KRW .* valid: 6,003.00 or more, or a smaller order_krw"):
        check_budget(params, 6_002.99)


def test_wrong_names_are_found_before_anything_is_read() -> None:
    """Over ports without a row: the first thing that is wrong is the name, then the market, then the data."""
    with pytest.raises(UsageError, match="no parameter 'fats' to set; nearest: fast"):
        run_whole(Ports(), Job("KRW-ETH", WINDOW, "sma_cross", values={"fats": 1}))
    with pytest.raises(UsageError, match="does not pay one order"):
        run_whole(Ports(), Job("KRW-ETH", WINDOW, "sma_cross", budget=1.0))
    with pytest.raises(UnknownMarketError, match="'KRW-ETH' is not known here; valid: KRW-BTC"):
        run_whole(Ports(), Job("KRW-ETH", WINDOW, "sma_cross"))
    with pytest.raises(UsageError, match="strategy sma_cross uses no forecasts, and not those of ridge-1"):
        run_whole(Ports(), Job("KRW-BTC", WINDOW, "sma_cross", version="ridge-1"))
    with pytest.raises(DataError, match=r"60 minutes \(2024-01-22T00:00, .* and 55 more\) .* unknown or not settled"):
        run_whole(Ports(), Job("KRW-BTC", WINDOW, "sma_cross"))


def test_two_trades_of_one_number_are_found_wherever_they_stand() -> None:
    """Numbers need not ascend: the exchange says that they give no order."""
    ids = np.array([5, 3, 9, 4, 3])

    assert len(tape_from("KRW-BTC", TS[:4], PRICE[:4], ids[:4]).price) == 4
    with pytest.raises(DataError, match="trades 1 and 4 of KRW-BTC are both trade 3"):
        tape_from("KRW-BTC", TS[:5], PRICE[:5], ids)


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 0.0, -1.0])
def test_forecast_that_is_no_price_is_refused(price: float) -> None:
    """A minute without forecast has no row, and no row has no forecast."""
    with pytest.raises(DataError, match=r"forecast 1 at 2024-01-22T00:01:00.000Z has price .*; valid: a finite number"):
        forecasts_from(TS[:2], np.array([50e6, price]), TS[:2])


def test_installed_package_names_every_shipped_strategy() -> None:
    """So that who lists the group's entry points finds them all."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    listed = tomllib.loads(text)["project"]["entry-points"]["tickloop.strategies"]

    found = {name: getattr(import_module(where.split(":")[0]), where.split(":")[1]) for name, where in listed.items()}

    assert found == SHIPPED
