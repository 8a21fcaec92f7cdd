"""What a person gets for a wrong word, a busy port or a bad home: a message, the right exit code, no traceback."""

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tickloop.adapters.local.home import hold_home, prepare_home


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
