"""The command `sweep`: killed and resumed, a worker that dies, what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from sweep_homes import MARKET, WINDOW_TEXT, home_with_bars
from tickloop.adapters.local.warehouse import SqliteWarehouse
from tickloop.domain.tables import TRIAL

DEADLINE_S = 120.0

SMA = ("--strategy", "sma_cross", "--grid", "fast=5,10", "--grid", "slow=20:60:20")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKLOOP_")}
    return {**kept, **more}


def command(home: Path, *args: str) -> list[str]:
    where = ("--home", str(home), "--market", MARKET, "--window", WINDOW_TEXT)
    return [sys.executable, "-m", "tickloop", "sweep", *where, *args]


def run(home: Path, *args: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(home, *args), capture_output=True, text=True, timeout=DEADLINE_S, env=environment(**more)
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def rows(home: Path) -> pl.DataFrame:
    warehouse = SqliteWarehouse(home / "warehouse.sqlite")
    found = warehouse.read(TRIAL)
    warehouse.close()
    return found


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return home_with_bars(tmp_path / "home")


@pytest.mark.parametrize(
    "search",
    [("--grid", "length=1:31:1"), ("--grid", "length=1:31", "--method", "tpe", "--trials", "40", "--seed", "5")],
    ids=["grid", "tpe"],
)
def test_search_that_is_killed_goes_on_to_the_rows_of_one_that_was_not(
    home: Path, tmp_path: Path, search: Sequence[str]
) -> None:
    """SIGKILL while two processes are at a unit: they end with it, and what was through is kept."""
    gate = tmp_path / "gate"
    args = ("--strategy", str(tmp_path / "waiting.py:waiting"), *search, "--workers", "2", "--json")
    whole = home_with_bars(tmp_path / "whole")
    (tmp_path / "open").touch()
    run(whole, *args, GATE=str(tmp_path / "open"))

    with subprocess.Popen(
        command(home, *args), env=environment(GATE=str(gate)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as torn:
        wait_until(lambda: rows(home).height > 0, "no trial came through")
        workers = children_of(torn.pid)
        torn.kill()
    there = rows(home)
    wait_until(lambda: not any(map(is_there, workers)), f"workers {workers} outlive their parent")

    assert torn.returncode == -signal.SIGKILL
    assert len(workers) >= 2
    assert 0 < there.height < rows(whole).height
    gate.touch()
    found = json.loads(run(home, *args, GATE=str(gate)).stdout)
    assert rows(home).equals(rows(whole))
    assert found["trials"] == rows(whole).height == 31


def test_worker_that_dies_is_named_and_what_was_through_is_kept(home: Path, tmp_path: Path) -> None:
    """As one does for want of memory; the same command goes on."""
    file = tmp_path / "dying.py"
    text = (tmp_path / "waiting.py").read_text().replace("time.sleep(0.01)", "os.kill(os.getpid(), 9)")
    file.write_text(text.replace(">= 30", "== 30"))
    args = ("--strategy", f"{file}:waiting", "--grid", "length=1:31:1", "--workers", "2")

    done = run(home, *args, code=1, GATE=str(tmp_path / "gate"))

    assert "tickloop: worker process" in done.stderr
    assert "was ended by SIGKILL; valid: memory enough for every worker, or fewer (--workers)" in done.stderr
    assert 0 < rows(home).height < 31
    (tmp_path / "gate").touch()
    run(home, *args, GATE=str(tmp_path / "gate"))
    assert rows(home)["number"].to_list() == list(range(31))


def test_text_begins_with_the_verdict_and_json_is_quiet(home: Path) -> None:
    """The same search twice: the second runs nothing and says the same."""
    text = run(home, *SMA, "--workers", "1").stdout.splitlines()
    told = run(home, *SMA, "--json", "--workers", "2")

    found = json.loads(told.stdout)
    assert told.stderr == ""
    assert text[0] == found["verdict"]
    assert text[0].startswith("This result")
    assert found["trials"] == found["trials_so_far"] == 6
    assert [one["number"] for one in found["best"]] == [int(line.split()[0]) for line in text[8:14]]
    assert found["judgement"]["choice"]["trials"] == 6
    assert found["judgement"]["choice"]["overfitting"]["trials"] == 6
    (one,) = found["heat_maps"]
    assert (one["x"], one["y"]) == ("fast", "slow")
    assert one["trials"] == [[1, 1]] * 3


def test_folder_and_page_hold_every_trial(home: Path, tmp_path: Path) -> None:
    """CSV, Parquet, JSON, and a page that begins with the verdict."""
    out, page = tmp_path / "new" / "out", tmp_path / "page.html"

    run(home, *SMA, "--out", str(out), "--html", str(page))

    trials = pl.read_parquet(out / "trials.parquet")
    assert pl.read_csv(out / "trials.csv").equals(trials)
    assert trials.columns[:4] == ["number", "fast", "slow", "profit_krw"]
    assert trials.height == 6
    found = json.loads((out / "sweep.json").read_text())
    assert found["best"][0]["profit_krw"] == trials["profit_krw"].max()
    words = Words()
    words.feed(page.read_text(encoding="utf-8"))
    shown = " ".join(words.found)
    assert found["verdict"] in shown
    assert "6 trials by grid, for profit_krw" in shown


class Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ("--strategy", "sma_cross", "--grid", "speed=1"),
            "no parameter 'speed' to search; valid: order_krw",
        ),
        (("--strategy", "sma_cross", "--grid", "fast=0:9:1"), "holds 0, which is out of range; valid: 1 to 999"),
        ((*SMA, "--trials", "0"), "0 trials; valid: from 1 to 100,000"),
        ((*SMA, "--workers", "0"), "0 workers; valid: 1 or more"),
        ((*SMA, "--objective", "luck"), "objective 'luck' is not known; valid: profit_krw, sharpe"),
        ((*SMA, "--method", "annealing"), "method 'annealing' is not known; valid: grid, random, tpe"),
        ((*SMA, "--name", "../x"), "name '../x' is not valid"),
        ((*SMA, "--html", "page.txt"), "valid: a name that ends in .html"),
        (("--strategy", "default"), "KRW-BTC has no champion"),
    ],
)
def test_search_that_cannot_be_is_refused_once_and_before_anything_is_run(
    home: Path, args: Sequence[str], words: str
) -> None:
    """Exit code 2 and one line."""
    done = run(home, *args, code=2)

    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert rows(home).is_empty()


def test_window_with_unsettled_minutes_is_refused_once(home: Path) -> None:
    """Not once for each trial or process."""
    where = ("--home", str(home), "--market", MARKET, "--window", "2024-01-22T20..2024-01-23T02", *SMA)
    done = subprocess.run(
        [sys.executable, "-m", "tickloop", "sweep", *where],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment(),
    )

    assert done.returncode == 1
    assert done.stderr.count("unknown or not settled") == done.stderr.count("\n") == 1
