"""What a person gets for a wrong word, a busy port or a bad home: a message, the right exit code, no traceback."""

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backtest_home import MARKET, START, WINDOW, command, make_home
from tickloop.adapters.local.home import hold_home, prepare_home
from tickloop.bootstrap import open_app
from tickloop.domain.models import persistence
from tickloop.domain.window import MINUTE_MS
from tickloop.ports import Decision
from tickloop.settings import load_settings


def tickloop(*args: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKLOOP_")}
    where = ("--home", str(home)) if home is not None else ()
    return subprocess.run(
        [sys.executable, "-m", "tickloop", *args, *where], capture_output=True, text=True, timeout=60, env=environment
    )


def assert_fails(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    prepare_home(folder)
    return folder


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_help_lists_the_commands() -> None:
    """The first thing that a person types."""
    done = tickloop("--help")

    assert done.returncode == 0
    assert "demo" in done.stdout


def test_unknown_command_is_wrong_use() -> None:
    """Exit code 2, by the command line itself."""
    assert_fails(tickloop("nonsense"), 2, "nonsense")


def test_unknown_market_is_named_with_the_valid_ones(home: Path) -> None:
    """The markets of the settings are what can be asked for."""
    assert_fails(tickloop("ledger", "--market", "KRW-NONE", home=home), 2, "KRW-NONE", "KRW-BTC, KRW-ETH")


@pytest.mark.parametrize("window", ["2024-01-02T03:30", "2024-01-02", "2024-13-01T00", "2024-01-02T05..T03"])
def test_window_that_is_not_whole_hours_is_refused(home: Path, window: str) -> None:
    """The message shows the form that is valid."""
    assert_fails(tickloop("run", "load", "--window", window, home=home), 2, window)


def test_window_in_the_future_is_refused(home: Path) -> None:
    """A minute that is not over has no candle to be verified against."""
    assert_fails(tickloop("run", "load", "--window", "2199-01-01T00", home=home), 2, "2199-01-01T00", "not over")


def test_unknown_step_is_named_with_the_valid_ones(home: Path) -> None:
    """So that nobody has to look them up."""
    assert_fails(tickloop("run", "fly", "--window", "2024-01-02T03", home=home), 2, "fly", "extract, load, verify")


def test_database_of_a_newer_schema_is_left_alone(home: Path) -> None:
    """An older program must not write into what it does not understand."""
    with sqlite3.connect(home / "warehouse.sqlite") as connection:
        connection.execute("pragma user_version = 999")
    connection.close()

    assert_fails(tickloop("ledger", home=home), 1, "warehouse.sqlite", "999")


def test_unknown_setting_is_named(home: Path) -> None:
    """A misspelt key must not silently mean the default."""
    (home / "tickloop.toml").write_text("[promotion]\nmetrik = 'mae_bp'\n", encoding="utf-8")

    assert_fails(tickloop("steps", home=home), 1, "promotion.metrik")


def test_port_in_use_is_named_for_the_simulator(home: Path, busy_port: int) -> None:
    """With the port, and what would be valid."""
    assert_fails(tickloop("sim", "--port", str(busy_port), home=home), 1, str(busy_port))


def test_second_instance_on_the_same_home_is_refused(home: Path) -> None:
    """Two demos on one home would write into the same journal."""
    with hold_home(home):
        done = tickloop("demo", "--once", "--json", home=home)

    assert_fails(done, 1, str(home), "in use by process")


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """Nothing is written over."""
    path = tmp_path / "home"
    path.write_text("mine", encoding="utf-8")

    assert_fails(tickloop("demo", "--once", home=path), 1, str(path))
    assert path.read_text(encoding="utf-8") == "mine"


def test_home_with_foreign_files_is_left_alone(tmp_path: Path) -> None:
    """`--fresh` must never empty somebody's folder."""
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")

    assert_fails(tickloop("demo", "--once", "--fresh", home=tmp_path), 1, "not Tickloop's")
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_unknown_recording_is_named_with_the_valid_ones(home: Path) -> None:
    """Only what is shipped can be replayed."""
    assert_fails(tickloop("demo", "--recording", "tulips", home=home), 2, "tulips", "candles, bursts")


def test_bot_refuses_an_exchange_that_is_not_on_this_machine(home: Path) -> None:
    """Live trading comes with an opt-in of its own."""
    assert_fails(tickloop("trade", home=home), 1, "exchange.rest_url", "https://api.upbit.com")


# --- back-tests ---------------------------------------------------------------------------------------------------


STRATEGIES = """
from typing import Any, NamedTuple

from tickloop.domain.strategy import Params, Strategy


def raising(*state: Any) -> int:
    raise KeyError("no such level")


def nonsense(*state: Any) -> int:
    return 7


raises = Strategy("raises", raising, None, {"default": Params()}, uses_forecasts=False)
odd = Strategy("odd", nonsense, None, {"default": Params()}, uses_forecasts=False)
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home of two settled hours, with a champion that was trained on the first minute of them."""
    folder = make_home(tmp_path_factory.mktemp("filled") / "home")
    (folder.parent / "mine.py").write_text(STRATEGIES, encoding="utf-8")
    (folder.parent / "broken.py").write_text("def :", encoding="utf-8")
    model = persistence.fit(np.zeros((1, 1)), np.zeros(1), ("x",), "bar", seed=0)
    with open_app(load_settings(folder)) as app:
        params = {"feature_set": "bar", "train_end_ms": str(START + MINUTE_MS)}
        version = app.registry.register(
            MARKET, "persistence", model.files(), params=params, metrics={}, lineage={}, slot=None
        )
        app.registry.decide(Decision(MARKET, START, version.name, None, False, "the first", {}, START))
    return folder


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ((), 1, ("has seen what came until then in training", "valid: a window from then on")),
        (("--model", "ridge-9"), 2, ("'ridge-9'", "valid: persistence-1")),
        (("--market", "KRW-BTC"), 2, ("KRW-BTC is given twice",)),
        (("--strategy", "sma_crosses"), 2, ("'sma_crosses' is not known", "sma_cross")),
        (("--strategy", "{folder}/gone.py:mine"), 2, ("gone.py does not exist",)),
        (("--strategy", "{folder}/broken.py:mine"), 2, ("broken.py, line 1, is not Python",)),
        (("--strategy", "{folder}/mine.py:other"), 2, ("has no 'other'", "valid: raises, odd")),
        (("--strategy", "{folder}/mine.py:raises"), 2, ("'raises' raised KeyError", "no such level")),
        (("--strategy", "{folder}/mine.py:odd", "--mode", "ticks"), 2, ("NOTHING (0), SELL (1), BUY (2)",)),
        (("--strategy", "sma_cross", "--model", "persistence-1"), 2, ("uses no forecasts",)),
        (("--strategy", "sma_cross", "--set", "odder_krw=1"), 2, ("'odder_krw'", "nearest: order_krw")),
        (("--strategy", "sma_cross", "--set", "fast=0"), 2, ("fast 0 is out of range", "valid: ")),
        (("--strategy", "sma_cross", "--set", "fast=many"), 2, ("fast 'many' is not a number",)),
        (("--strategy", "sma_cross", "--set", "fast"), 2, ("'fast' cannot be read", "NAME=VALUE")),
        (("--strategy", "sma_cross", "--set", "fast=2", "--set", "fast=3"), 2, ("fast is given twice",)),
        (("--strategy", "sma_cross", "--set", "fee_rate=0"), 2, ("'fee_rate'",)),
        (("--strategy", "sma_cross", "--preset", "seed2023"), 2, ("preset 'seed2023'", "valid: default")),
        (("--strategy", "sma_cross", "--mode", "candles"), 2, ("'candles'", "valid: bars, ticks")),
        (("--strategy", "sma_cross", "--budget", "nan"), 2, ("budget nan KRW",)),
        (("--strategy", "sma_cross", "--budget", "5000"), 2, ("does not pay one order", "6,003.00 or more")),
        (("--strategy", "sma_cross", "--latency-ms", "300"), 2, ("no meaning in bar mode",)),
        (("--strategy", "sma_cross", "--mode", "ticks", "--latency-ms", "-1"), 2, ("latency -1 ms", "0 to 600000")),
        (("--strategy", "sma_cross", "--mode", "ticks", "--fill-model", "best"), 2, ("'best'", "valid: spread")),
        (("--strategy", "sma_cross", "--fill-model", "spread"), 2, ("no meaning in bar mode",)),
        (("--strategy", "sma_cross", "--orders", "{folder}/orders.txt"), 2, ("orders.txt", ".csv, .parquet")),
        (("--strategy", "sma_cross", "--orders", "{folder}/none/orders.csv"), 2, ("none/orders.csv cannot be",)),
        (("--strategy", "sma_cross", "--html", "{folder}/page.txt"), 2, ("page.txt", ".html")),
        (("--strategy", "sma_cross", "--html", "{folder}/none/page.html"), 2, ("none/page.html cannot be",)),
        (("--strategy", "sma_cross", "--market", "KRW-ETH", "--html", "{folder}/p.html"), 2, ("draws one market",)),
        (("--replay", "last"), 2, ("takes markets and time from the session",)),
    ],
)
def test_back_test_that_cannot_be_is_refused_before_any_number(
    filled: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    code: int,
    words: tuple[str, ...],
) -> None:
    """Nothing on stdout; the message names the field, its value and what would be valid."""
    told = tuple(arg.format(folder=filled.parent) for arg in args)

    done = command(capfd, monkeypatch, "backtest", "--market", MARKET, "--window", WINDOW, "--home", str(filled), *told)

    assert (done.code, done.out) == (code, ""), done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err


@pytest.mark.parametrize("args", [(), ("--market", MARKET), ("--window", WINDOW)])
def test_back_test_without_market_or_window_says_what_is_missing(args: tuple[str, ...], home: Path) -> None:
    """A session of the bot knows both."""
    assert_fails(tickloop("backtest", *args, home=home), 2, "valid: both, or --replay SESSION")


def test_session_that_is_not_there_is_refused(home: Path) -> None:
    """With those that are."""
    assert_fails(tickloop("backtest", "--replay", "yesterday", home=home), 2, "'yesterday'", "none yet")


@pytest.mark.parametrize(
    ("market", "window", "code", "words"),
    [
        ("KRW-NONE", WINDOW, 2, ("KRW-NONE", "KRW-BTC")),
        (MARKET, "2024-01-22T02..T02", 2, ("ends before it starts",)),
        (MARKET, "2024-01-22T05", 1, ("60 minutes", "unknown or not settled", "--allow-unknown")),
    ],
)
def test_back_test_of_nothing_is_refused(
    filled: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    market: str,
    window: str,
    code: int,
    words: tuple[str, ...],
) -> None:
    """A market that is not collected, a window without length, and one without data."""
    run = ("backtest", "--market", market, "--window", window, "--strategy", "do_nothing", "--home", str(filled))

    done = command(capfd, monkeypatch, *run)

    assert (done.code, done.out) == (code, ""), done.err
    for word in words:
        assert word in done.err
    if code == 1:
        let_through = command(capfd, monkeypatch, *run, "--allow-unknown")
        assert (let_through.code, let_through.out) == (1, "")
        assert f"{market} has no bar in {window}" in let_through.err
