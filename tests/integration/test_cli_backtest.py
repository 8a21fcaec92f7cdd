"""`tickloop backtest` on a home of files: what it prints, writes and says of strategies of one's own."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tickloop
from backtest_home import MARKET, MINUTES, OTHER, WINDOW, Done, command, make_home
from tickloop.bootstrap import open_app
from tickloop.domain.backtest_result import WITHHELD
from tickloop.domain.tables import BAR_1M, TRIAL
from tickloop.domain.trials import Figures, Trial
from tickloop.domain.window import parse_window
from tickloop.services.trials import rows_of
from tickloop.settings import load_settings

CROSS = ("--strategy", "sma_cross", "--set", "fast=2", "--set", "slow=5")

Tickloop = Callable[..., Done]

OWN = """
from decimal import Decimal
from typing import NamedTuple

from tickloop.domain.space import Range
from tickloop.domain.strategy import BUY, NOTHING, SELL, Strategy, is_affordable, is_sendable


class DipParams(NamedTuple):
    order_krw: float = 6_000.0
    fee_rate: float = 0.0005
    min_total: float = 5_000.0
    below: float = 50_100_000.0


def decide(params, entry, filled_at, qty_e8, lots, cash, last_buy_ms, in_flight, ts_ms, price, forecast):
    if in_flight == 0 and lots > 0 and price > 50_500_000.0 and is_sendable(params, qty_e8[:lots].sum(), price):
        return SELL
    if in_flight == 0 and lots == 0 and price < params.below and is_affordable(params, cash):
        return BUY
    return NOTHING


def slow(params, entry, filled_at, qty_e8, lots, cash, last_buy_ms, in_flight, ts_ms, price, forecast):
    price = float(Decimal(price))  # numba knows no Decimal
    return decide(params, entry, filled_at, qty_e8, lots, cash, last_buy_ms, in_flight, ts_ms, price, forecast)


def leaves(params, entry, filled_at_ms, ts_ms, price, forecast):
    return price > 50_500_000.0


def make(name, function):
    space = {"below": Range(1.0, 1e9, is_log=True)}
    return Strategy(name, function, None, {"default": DipParams()}, leaves, space=space, uses_forecasts=False)


dip = make("dip", decide)
plain = make("dip", slow)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home") / "main")


@pytest.fixture
def backtest(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tickloop:
    """Give the command over the whole window of the home."""

    def run(*args: str) -> Done:
        every = ("backtest", "--market", MARKET, "--window", WINDOW, "--home", str(home))
        return command(capfd, monkeypatch, *every, *args)

    return run


def answer(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_json_holds_every_figure_and_the_verdict_first(backtest: Tickloop) -> None:
    """And the same verdict with what stands behind it."""
    found = answer(backtest(*CROSS, "--json"))

    assert list(found)[:2] == ["verdict", "window"]
    assert found["window"] == WINDOW
    assert found["verdict"] == found["judgement"]["verdict"]["text"]
    assert (found["strategy"], found["mode"], found["minutes"]) == ("sma_cross", "bars", MINUTES)
    assert found["params"]["fast"] == 2
    assert found["trades"] > 5
    assert set(WITHHELD) <= set(found)
    assert found["against_buy_and_hold_krw"] == pytest.approx(found["profit_krw"] - found["buy_and_hold_krw"], abs=1e-3)
    assert found["profit_krw"] == pytest.approx(found["realized_krw"] + found["unrealized_krw"], abs=1e-3)


def test_text_begins_with_the_verdict_and_agrees_with_the_json(backtest: Tickloop) -> None:
    """Figures grouped by thousands, the win rate beside the mean profit of a round trip."""
    found = answer(backtest(*CROSS, "--json"))
    lines = backtest(*CROSS).out.splitlines()

    rows = {line[2:26].strip(): line[26:] for line in lines if line.startswith("  ")}
    assert lines[0] == found["verdict"]
    assert rows["after fees"].startswith(f"{found['profit_krw']:+,.2f}  (")
    assert rows["turnover"] == f"{found['turnover_krw']:,.2f}"
    mean = f"{found['mean_profit_per_trade_krw']:+,.2f}"
    assert rows["win rate"] == f"{100 * found['win_rate']:.1f} %  (mean profit of a round trip {mean})"


def test_notebook_gives_the_figures_of_the_command(home: Path, backtest: Tickloop) -> None:
    """Over the bars of the same home."""
    with open_app(load_settings(home)) as app:
        bars = app.warehouse.read(BAR_1M, MARKET, parse_window(WINDOW))

    found = answer(backtest(*CROSS, "--json"))
    metrics = tickloop.backtest(bars, "sma_cross", params={"fast": 2, "slow": 5}).metrics

    assert {name: found[name] for name in metrics} == metrics


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_orders_are_written_to_the_file_asked_for(backtest: Tickloop, tmp_path: Path, ending: str) -> None:
    """One row per order."""
    path = tmp_path / f"orders.{ending}"

    found = answer(backtest(*CROSS, "--mode", "ticks", "--latency-ms", "1000", "--orders", str(path), "--json"))

    if ending == "csv":
        with path.open(encoding="utf-8") as file:
            sides = [row["side"] for row in csv.DictReader(file)]
    else:
        sides = pl.read_parquet(path)["side"].to_list()
    assert len(sides) == found["orders"]
    assert sides.count("BUY") == found["buys"]
    assert found["latency_ms"] == 1_000


def test_page_is_written_with_the_verdict_and_the_figures(backtest: Tickloop, tmp_path: Path) -> None:
    """The one that the command `report` writes."""
    path = tmp_path / "page.html"

    found = answer(backtest(*CROSS, "--html", str(path), "--json"))

    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert escape(found["verdict"], quote=False) in page


@pytest.mark.parametrize("mode", ["bars", "ticks"])
def test_two_markets_share_one_purse(backtest: Tickloop, tmp_path: Path, mode: str) -> None:
    """With cash for one order and a half, what one market spends the other has not; alone each trades more."""
    told = (*CROSS, "--mode", mode, "--budget", "9000", "--json")
    path = tmp_path / "orders.csv"

    alone = answer(backtest(*told))
    found = answer(backtest(*told, "--market", OTHER, "--orders", str(path)))
    text = backtest(*told[:-1], "--market", OTHER).out

    with path.open(encoding="utf-8") as file:
        markets = [row["market"] for row in csv.DictReader(file)]
    assert [row["market"] for row in found["markets"]] == [MARKET, OTHER]
    assert len(markets) == found["orders"] == sum(row["orders"] for row in found["markets"])
    assert found["profit_krw"] == pytest.approx(sum(row["profit_krw"] for row in found["markets"]), abs=1e-3)
    assert found["orders"] < 2 * alone["orders"]
    assert found["verdict"] == text.splitlines()[0]
    shown = [line.split() for line in text.splitlines() if line.startswith("  KRW-")]
    assert [(row[0], row[1]) for row in shown] == [
        (row["market"], f"{row['profit_krw']:+,.2f}") for row in found["markets"]
    ]


def test_settings_that_searches_tried_before_count_against_a_result(home: Path, backtest: Tickloop) -> None:
    """A choice among them is not free: the judgement is that of the best of as many."""
    before = answer(backtest(*CROSS, "--json"))["judgement"]["choice"]["trials"]
    one = Trial(0, {"fast": 2.0}, Figures(1.0, 0.1, 0.0, 0.5, 1, 2, 0, 1.0, 1.0), np.ones(96))
    other = replace(one, number=1)
    window = parse_window(WINDOW)
    told = {"sweep": "s", "strategy": "sma_cross", "config": "c", "setting": ["a", "b"]}
    with open_app(load_settings(home)) as app:
        app.warehouse.upsert(TRIAL, rows_of([one, other], MARKET, window, **told))

    after = answer(backtest(*CROSS, "--json"))["judgement"]["choice"]["trials"]

    assert (before, after) == (1, 3)


@pytest.mark.parametrize("mode", ["bars", "ticks"])
def test_own_strategy_that_does_not_compile_gives_the_orders_of_the_one_that_does(
    backtest: Tickloop, tmp_path: Path, mode: str
) -> None:
    """From a file, with a parameter of its own set by the command."""
    path = tmp_path / "mine.py"
    path.write_text(OWN, encoding="utf-8")
    told = ("--mode", mode, "--set", "below=50050000", "--json")

    compiled = answer(backtest("--strategy", f"{path}:dip", *told, "--orders", str(tmp_path / "dip.csv")))
    plain = answer(backtest("--strategy", f"{path}:plain", *told, "--orders", str(tmp_path / "plain.csv")))

    assert compiled["trades"] > 5
    assert compiled["params"]["below"] == 50_050_000.0
    assert (tmp_path / "dip.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    same = compiled.keys() - {"strategy"}
    assert {name: compiled[name] for name in same} == {name: plain[name] for name in same}


def test_strategy_of_an_installed_package_is_found_by_its_name(
    backtest: Tickloop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution with an entry point of the group, as an installer leaves it."""
    (tmp_path / "dip_package.py").write_text(OWN, encoding="utf-8")
    about = tmp_path / "dip_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dip-package\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[tickloop.strategies]\ndip = dip_package:dip\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    found = answer(backtest("--strategy", "dip", "--json"))

    assert found["strategy"] == "dip"
    assert found["trades"] > 5


def test_minutes_let_through_are_marked_in_text_and_json(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before, with the minutes named."""
    home = make_home(tmp_path / "home", {7: "unknown", 9: "absent"})
    run = ("backtest", "--market", MARKET, "--window", WINDOW, "--home", str(home), *CROSS)

    refused = command(capfd, monkeypatch, *run)
    text = command(capfd, monkeypatch, *run, "--allow-unknown")
    found = answer(command(capfd, monkeypatch, *run, "--allow-unknown", "--json"))

    assert (refused.code, refused.out) == (1, "")
    assert "2 minutes (2024-01-22T00:07, 2024-01-22T00:09)" in refused.err
    assert "--allow-unknown" in refused.err
    assert "  - 2 minutes of the window are unknown or not settled, and let through" in text.out.splitlines()
    assert (found["unknown_minutes"], found["minutes"]) == (2, MINUTES - 2)


@pytest.mark.parametrize("said", ["", "is_path_invented = true\n"], ids=["a simulator", "said so"])
def test_made_trades_give_no_profit_tick_by_tick_and_bars_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """An exchange on this machine is a simulator: its path is made up unless the settings vouch for it."""
    settings = f'[exchange]\nrest_url = "http://127.0.0.1:9"\nwebsocket_url = "ws://127.0.0.1:9"\n{said}'
    home = make_home(tmp_path / "home", settings=settings)
    run = ("backtest", "--market", MARKET, "--window", WINDOW, "--home", str(home), *CROSS)

    ticks = answer(command(capfd, monkeypatch, *run, "--mode", "ticks", "--json"))
    text = command(capfd, monkeypatch, *run, "--mode", "ticks").out
    bars = answer(command(capfd, monkeypatch, *run, "--json"))

    assert ticks["trades"] > 5
    assert {name: ticks[name] for name in WITHHELD} == dict.fromkeys(WITHHELD)
    assert ticks["verdict"].startswith("This result says nothing of profit")
    assert "the trades were made from candles" in ticks["caveat"]
    assert "after fees              not shown" in text
    assert f"{bars['profit_krw']:+,.2f}" not in text
    assert bars["profit_krw"] is not None
