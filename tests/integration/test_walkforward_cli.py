"""`tickloop walkforward`: what a person and a program get of it, and each wrong use refused with a message."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtest_home import command
from fakes import START_MS
from sweep_homes import home_with_bars
from tickloop.bootstrap import open_app
from tickloop.domain.models import persistence
from tickloop.domain.tables import TRIAL
from tickloop.domain.window import DAY_MS, HOUR_MS, Window
from tickloop.ports import Decision
from tickloop.settings import load_settings

DAYS = Window(START_MS, START_MS + 3 * DAY_MS)
WALK = (
    "walkforward", "--market", "KRW-BTC", "--window", str(DAYS), "--strategy", "sma_cross", "--train", "1d", "--test",
    "12h", "--grid", "fast=5,20", "--grid", "slow=60,90", "--permutations", "39",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return home_with_bars(tmp_path_factory.mktemp("walk") / "home", DAYS)


def change(*more: str) -> tuple[str, ...]:
    """Give the arguments with options set anew; typer takes the last of each that may come once."""
    return (*WALK, *more)


def test_person_gets_the_verdict_first_and_a_row_for_each_fold(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four folds of half a day after one to train on."""
    done = command(capfd, monkeypatch, *WALK, "--home", str(home))

    lines = done.out.splitlines()
    assert done.code == 0, done.err
    assert lines[0].startswith("This result ")
    rows = [line.split() for line in lines if line[:1].isdigit()]
    assert [row[2] for row in rows] == [
        "2024-01-23T00..2024-01-23T12",
        "2024-01-23T12..2024-01-24T00",
        "2024-01-24T00..2024-01-24T12",
        "2024-01-24T12..2024-01-25T00",
    ]
    assert "  efficiency" in done.out
    assert "  breaks even at" in done.out
    assert "valued at its last price after the fee of selling" in done.out


def test_program_gets_one_json_object_and_files_the_equity_and_the_page(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict stands first in it; nothing else is printed; the joined equity has every minute that was traded."""
    file = tmp_path / "equity.parquet"

    page = tmp_path / "page.html"

    more = ("--json", "--anchored", "--equity", str(file), "--html", str(page))
    done = command(capfd, monkeypatch, *change(*more), "--home", str(home))

    found = json.loads(done.out)
    assert done.err == ""
    assert next(iter(found)) == "verdict"
    assert found["scheme"] == "anchored"
    assert {fold["train"][:13] for fold in found["folds"]} == {"2024-01-22T00"}
    assert found["judgement"]["signal"]["of"] == "signals"
    equity = pl.read_parquet(file)
    assert equity.height == 2 * DAY_MS // 60_000
    assert equity["equity"][-1] - found["budget_krw"] == pytest.approx(found["out_of_sample"]["profit_krw"], abs=1e-3)
    assert equity["fold"].n_unique() == 4
    assert html.escape(found["verdict"]) in page.read_text(encoding="utf-8")


def test_trials_stay_in_the_warehouse_and_count_for_the_next_search(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four settings on four train parts and what was traded; a second run of the same adds nothing."""
    home = home_with_bars(tmp_path / "home", DAYS)

    first, second = (
        json.loads(command(capfd, monkeypatch, *change("--json"), "--home", str(home)).out) for _ in range(2)
    )

    assert first == second
    assert (first["trials_so_far"], first["attempts"]) == (5, 1)
    with open_app(load_settings(home)) as app:
        rows = app.warehouse.read(TRIAL, "KRW-BTC", DAYS)
    assert rows.height == 17
    assert sorted(rows["sweep"].unique()) == [first["walkforward"], first["walkforward"] + "-train"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--train", "3d"), ("train of 3d in a window of 3d", "shorter than the window")),
        (("--test", "4d"), ("test of 4d in a window of 3d",)),
        (("--train", "2d", "--embargo", "1d"), ("leave nothing to test",)),
        (("--embargo", "9d"), ("embargo of 9d", "valid: from 0")),
        (("--embargo", "-1h"), ("--embargo '-1h' is not a length of time",)),
        (("--train", "14"), ("--train '14' is not a length of time", "14d or 36h")),
        (("--step", "6h"), ("step of 6h for test parts of 12h makes them overlap",)),
        (("--objective", "fame"), ("objective 'fame' is not known", "profit_krw")),
        (("--method", "tpe"), ("method 'tpe' learns", "valid: grid, random")),
        (("--method", "magic"), ("method 'magic' is not known",)),
        (("--trials", "0"), ("0 trials; valid: from 1",)),
        (("--grid", "speed=1,2"), ("no parameter 'speed' to search", "fast, slow")),
        (("--grid", "fast=0,5"), ("parameter fast is named twice",)),
        (("--seed", "-1"), ("seed -1 is not valid",)),
        (("--permutations", "-5"), ("-5 permutations", "valid: 0 to 10,000")),
        (("--html", "page.png"), ("page.png is no HTML file",)),
        (("--equity", "curve.png"), ("curve.png has another ending", ".csv, .parquet")),
        (("--market", "KRW-NONE"), ("KRW-NONE",)),
        (("--strategy", "fly"), ("strategy 'fly' is not known",)),
        (("--budget", "100"), ("does not pay one order",)),
    ],
)
def test_wrong_use_is_refused_before_a_number_is_printed(
    home: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    """Exit code 2, the value and what would be valid; nothing on stdout."""
    done = command(capfd, monkeypatch, *change(*more), "--home", str(home))

    assert (done.code, done.out) == (2, ""), done.err
    for word in words:
        assert word in done.err


def test_minutes_that_are_not_settled_are_refused(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window reaches a day beyond what the home has."""
    beyond = str(Window(DAYS.start_ms, DAYS.end_ms + DAY_MS))

    done = command(capfd, monkeypatch, *change("--window", beyond), "--home", str(home))

    assert done.code == 1
    assert done.out == ""
    assert "unknown or not settled" in done.err


def test_forecasts_that_have_seen_the_window_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They must be out of sample over train and test parts alike: the champion was trained until the second hour."""
    home = home_with_bars(tmp_path / "home", DAYS)
    with open_app(load_settings(home)) as app:
        model = persistence.fit(np.zeros((1, 1)), np.zeros(1), ("x",), "bar", seed=0)
        params = {"train_end_ms": DAYS.start_ms + HOUR_MS, "feature_set": "bar"}
        version = app.registry.register(
            "KRW-BTC", "persistence", model.files(), params=params, metrics={}, lineage={}, slot=None
        )
        app.registry.decide(Decision("KRW-BTC", DAYS.start_ms, version.name, None, False, "first", {}, DAYS.start_ms))

    done = command(
        capfd, monkeypatch, "walkforward", "--market", "KRW-BTC", "--window", str(DAYS), "--train", "1d", "--test",
        "1d", "--home", str(home),
    )  # fmt: skip

    assert done.code == 1
    assert done.out == ""
    assert "has seen what came until then in training" in done.err
