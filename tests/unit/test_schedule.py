"""Which windows are due."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl
import pytest

from fakes import START_MS
from tickloop.domain.schedule import Cadence, Calendar, StepRule, due, next_check_ms
from tickloop.domain.tables import RUN
from tickloop.domain.universe import Span
from tickloop.domain.window import HOUR_MS, MINUTE_MS

RULES = (
    StepRule("extract", Cadence.HOUR),
    StepRule("load", Cadence.HOUR, (("extract", (0,)),)),
    StepRule("verify", Cadence.HOUR, (("load", (0,)),)),
    StepRule("bars", Cadence.HOUR, (("verify", (0,)),)),
    StepRule("features", Cadence.HOUR, (("bars", (-1, 0)),)),
    StepRule("train", Cadence.SLOT, (("features", (-1,)),)),
    StepRule("backtest", Cadence.SLOT, (("train", (0,)),)),
    StepRule("promote", Cadence.SLOT, (("backtest", (0,)),)),
)
CHAIN = ("extract", "load", "verify", "bars", "features")
SLOTS = ("train", "backtest", "promote")


class Run(NamedTuple):
    step: str
    hour: int
    sequence: int
    state: str = "done"
    hours: int = 1
    attempts: int = 1
    finished_min: int = 0


def chain(hour: int, sequence: int, steps: tuple[str, ...] = CHAIN, hours: int = 1) -> list[Run]:
    return [Run(step, hour, sequence + offset, hours=hours) for offset, step in enumerate(steps)]


def frame(runs: list[Run], market: str = "KRW-BTC") -> pl.DataFrame:
    rows = [
        (
            market,
            run.step,
            START_MS + run.hour * HOUR_MS,
            START_MS + (run.hour + run.hours) * HOUR_MS,
            run.state,
            run.sequence,
            START_MS + run.finished_min * MINUTE_MS,
            run.attempts,
            "{}",
        )
        for run in runs
    ]
    return pl.DataFrame(rows, schema=RUN.columns, orient="row")


def due_now(runs: list[Run], at_min: int, markets: tuple[str, ...] = ("KRW-BTC",)) -> list[str]:
    """Give what is due as `step@hour`, hours counted from the first live one."""
    calendar = Calendar(START_MS + at_min * MINUTE_MS, START_MS, 6)
    items = due(frame(runs), RULES, markets, calendar)
    name = {"KRW-BTC": "", "KRW-ETH": " ETH"}
    return [f"{item.step}@{(item.window.start_ms - START_MS) // HOUR_MS}{name[item.market]}" for item in items]


# The back-fill of a day before the first live hour.
HISTORY = [Run("verify", -24, 1, hours=24), Run("bars", -24, 1, hours=24), Run("features", -24, 2, hours=24)]
TRAINED = [Run(step, -6, 10 + offset, hours=6) for offset, step in enumerate(SLOTS)]

CASES = {
    "nothing is due before an hour has been over for an hour": (TRAINED, 119, []),
    "at 02:00 the hour [00:00, 01:00) starts with its first step": (TRAINED, 120, ["extract@0"]),
    "the next step is due once its input is done": (
        [*TRAINED, *chain(0, 20, CHAIN[:1])],
        120,
        ["load@0"],
    ),
    "a chain that is through is due no more": ([*TRAINED, *chain(0, 20)], 120, []),
    "hours missed in sleep come in order": (TRAINED, 300, ["extract@0", "extract@1", "extract@2", "extract@3"]),
    "features wait for the bars of the hour before": (
        [*TRAINED, *chain(0, 20, CHAIN[:3]), *chain(1, 30, CHAIN[:4])],
        180,
        ["bars@0"],
    ),
    "a step marked due runs again and the rest waits for it": (
        [*TRAINED, *chain(0, 20), Run("extract", 0, 40, "due", attempts=0)],
        120,
        ["extract@0"],
    ),
    "what follows a newer input is due again": (
        [*TRAINED, *chain(0, 20), Run("extract", 0, 40)],
        120,
        ["load@0"],
    ),
    "new bars make the features of the next hour due too": (
        [*TRAINED, *chain(0, 20), *chain(1, 30), Run("bars", 0, 40)],
        180,
        ["features@0", "features@1"],
    ),
    "a failure waits a minute before it is tried again": (
        [*TRAINED, Run("extract", 0, 20, "failed", attempts=1, finished_min=120)],
        120,
        [],
    ),
    "a failure is tried again": (
        [*TRAINED, Run("extract", 0, 20, "failed", attempts=2, finished_min=120)],
        121,
        ["extract@0"],
    ),
    "after three attempts a failure stays and holds up its own hour only": (
        [*TRAINED, Run("extract", 0, 20, "failed", attempts=3, finished_min=120)],
        200,
        ["extract@1"],
    ),
    "a newer input gives a failure another chance": (
        [*TRAINED, *chain(0, 20, CHAIN[:1]), Run("load", 0, 15, "failed", attempts=3, finished_min=120)],
        120,
        ["load@0"],
    ),
    "a window of several hours covers each of them": (
        [*TRAINED, *chain(0, 20, hours=2)],
        180,
        [],
    ),
    "a back-filled hour is run when its raw events came to be wanted": (
        [*TRAINED, Run("extract", -3, 20, "due", attempts=0)],
        60,
        ["extract@-3"],
    ),
    "and goes all the way down": (
        [*TRAINED, *chain(-3, 20, CHAIN[:2])],
        60,
        ["verify@-3"],
    ),
    "the slot whose features were back-filled is trained at once": ([], 0, ["train@-6"]),
    "slot steps follow each other": ([Run("train", -6, 10, hours=6)], 0, ["backtest@-6"]),
    "a slot waits while hours can be run": ([], 120, ["extract@0"]),
    "the newest slot with features is run, older ones are left out": (
        [*[run for hour in range(6) for run in chain(hour, 20 + 10 * hour)]],
        420,
        ["train@0"],
    ),
    "a slot is not trained again for a repair of its last hour": (
        [*TRAINED, Run("features", -1, 90)],
        60,
        [],
    ),
    "but is judged again when it was trained again": (
        [*TRAINED, Run("train", -6, 90, hours=6)],
        60,
        ["backtest@-6"],
    ),
    "a slot of another length is no run of this one": ([Run("train", -12, 10, hours=12)], 0, ["train@-6"]),
}


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "_"))
def test_due(case: str) -> None:
    """Runs known, minutes after the first live hour began -> what is due, in order."""
    runs, at_min, expected = CASES[case]

    assert due_now([*HISTORY, *runs], at_min) == expected


def test_markets_go_side_by_side_within_an_hour() -> None:
    """One market that is behind does not hold up the other."""
    runs = [*HISTORY, *TRAINED, *chain(0, 20)]

    assert due_now(runs, 180, ("KRW-BTC", "KRW-ETH")) == ["extract@0 ETH", "extract@1", "extract@1 ETH"]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(START_MS + 61 * MINUTE_MS), ["extract@1", "extract@2"]),
        (Span(START_MS - HOUR_MS, START_MS + 30 * MINUTE_MS), ["extract@-1", "extract@0"]),
        (Span(START_MS, START_MS + HOUR_MS), ["extract@0"]),
        (Span(START_MS + 200 * MINUTE_MS), []),
    ],
)
def test_hours_of_a_span_are_due_instead_of_those_since_the_first(span: Span, expected: list[str]) -> None:
    """The hours in which it began and ended are whole: what was not streamed of them is asked for."""
    calendar = Calendar(START_MS + 240 * MINUTE_MS, START_MS, 6, spans={"KRW-BTC": span})

    items = due(RUN.empty(), RULES[:4], ("KRW-BTC",), calendar)

    assert [f"{item.step}@{(item.window.start_ms - START_MS) // HOUR_MS}" for item in items] == expected


def test_hour_after_the_end_of_a_span_is_run_when_it_is_asked_for() -> None:
    """As an hour of the back-fill is."""
    calendar = Calendar(START_MS + 240 * MINUTE_MS, START_MS, 6, spans={"KRW-BTC": Span(START_MS, START_MS + HOUR_MS)})
    runs = [*chain(0, 20, CHAIN[:4]), Run("extract", 2, 40, "due", attempts=0)]

    items = due(frame(runs), RULES[:4], ("KRW-BTC",), calendar)

    assert [(item.step, item.window.start_ms) for item in items] == [("extract", START_MS + 2 * HOUR_MS)]


def test_no_history_and_no_closed_hour_is_nothing_due() -> None:
    """The very first minute."""
    assert due_now([], 30) == []


def test_the_next_look_is_the_next_whole_hour_or_a_retry() -> None:
    """Nothing else can make something due but another process."""
    failed = frame([Run("extract", 0, 20, "failed", attempts=1, finished_min=130)])
    spent = frame([Run("extract", 0, 20, "failed", attempts=3, finished_min=130)])
    now = START_MS + 130 * MINUTE_MS

    assert next_check_ms(RUN.empty(), now) == START_MS + 180 * MINUTE_MS
    assert next_check_ms(failed, now) == START_MS + 131 * MINUTE_MS
    assert next_check_ms(spent, now) == START_MS + 180 * MINUTE_MS
