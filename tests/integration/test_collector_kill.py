"""The real collector, killed and disturbed: what it missed it fetches by itself, and broken sinks do not matter."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collecting import Collecting


@pytest.mark.parametrize("kills", [1, 3])
def test_collector_that_is_killed_has_every_trade_after_its_start(tmp_path: Path, kills: int) -> None:
    """Nothing but the collector runs: no pipeline, no verify."""
    with Collecting(tmp_path, tmp_path / "home") as world:
        for number in range(kills):
            world.run_to(5 + 10 * number)
            world.kill_collector()
            world.run_to(8 + 10 * number)
            world.start_collector()
        world.run_to(10 * kills + 10)
        settle(world)

        assert world.kept() == world.made()
        assert world.figure("repairs")["trades"] > 0


@contextmanager
def broken_sinks(home: Path) -> Iterator[None]:
    """Put a file where the lake's folder should be, and lock the warehouse."""
    home.mkdir()
    (home / ".tickloop-home").touch()
    (home / "lake").write_text("no folder")
    connection = sqlite3.connect(home / "warehouse.sqlite", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.close()


def test_sinks_that_are_down_never_stop_collection(tmp_path: Path) -> None:
    """Lake and warehouse cannot be used, REST fails for a while, the stream breaks: a thousand frames, none lost."""
    home = tmp_path / "home"
    with broken_sinks(home), Collecting(tmp_path, home) as world:
        world.run_to(10)
        world.control("POST", "/control/faults", kind="server_error", path="/v1/trades/ticks", count=10)
        world.control("POST", "/control/faults", kind="drop")
        world.run_to(40)
        settle(world)

        assert world.kept() == world.made()
        assert world.figure("trade") + world.figure("ticker") >= 1_000
        status = world.status()
        assert status is not None
        assert status.state == "ready"


def test_collector_stops_cleanly_while_the_exchange_keeps_it_waiting(tmp_path: Path) -> None:
    """Its list of markets and its repair have no answer yet, and get none for minutes."""
    with Collecting(tmp_path, tmp_path / "home", "[collect]\nmarket_check_s = 1\n") as world:
        for path in ("/v1/market", "/v1/trades"):
            world.control("POST", "/control/faults", kind="slow_answer", path=path, count=0, delay_ms=300_000)
        world.run_to(5)
        world.control("POST", "/control/faults", kind="drop")
        world.until(lambda: struck(world) == {"/v1/market", "/v1/trades"}, "both questions")

        world.stop_collector()

        status = world.status()
        assert status is not None
        assert (status.state, world.figure("repairs")) == ("stopped", None)


def struck(world: Collecting) -> set[str]:
    faults = world.control("GET", "/control/faults")["faults"]
    return {fault["path"] for fault in faults if fault["kind"] == "slow_answer" and fault["struck"]}


def settle(world: Collecting) -> None:
    """Wait, while the market runs, for the repairs, then for the last frames."""
    world.until(lambda: world.figure("repairs")["pending"] == 0, "the end of the repairs")
    world.hold()
    world.until(lambda: world.kept() >= world.made(), "the last trade")
