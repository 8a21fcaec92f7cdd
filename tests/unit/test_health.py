"""Verdicts of `tickloop doctor`: values in, state out, always with a remedy where something needs a hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fakes import START_MS
from tickloop.domain import data_health, health
from tickloop.domain.data_health import JournalState, Outage
from tickloop.domain.health import Check, ExchangeAnswer, Package, Process, Wiring
from tickloop.domain.window import DAY_MS, HOUR_MS

GB = 10**9
MARKETS = ("KRW-BTC", "KRW-ETH")


def answer(
    skew_ms: int = 0, took_ms: int = 100, date: bool = True, markets: tuple[str, ...] = MARKETS
) -> ExchangeAnswer:
    """Give an answer whose exchange is behind us by `skew_ms`; its Date tells whole seconds."""
    theirs = START_MS - skew_ms + took_ms // 2
    return ExchangeAnswer(START_MS, START_MS + took_ms, theirs - theirs % 1000 if date else None, markets)


def journal(age_s: dict[tuple[str, str], float], size: int = 10**6, segments: int = 3) -> JournalState:
    newest = {key: START_MS - int(age * 1000) for key, age in age_s.items()}
    return JournalState(segments, size, START_MS - DAY_MS, newest)


def stream(trade_age_s: float, speed: float = 1.0, *, is_collecting: bool = True, eth_age_s: float = 5.0) -> Check:
    ages = {("trade", "KRW-BTC"): trade_age_s, ("trade", "KRW-ETH"): max(trade_age_s, eth_age_s)}
    return data_health.stream_checks(journal(ages), MARKETS, START_MS, speed, is_collecting=is_collecting)[0]


def skewed(found: ExchangeAnswer) -> Check:
    return health.skew_check(found, Wiring("https://api.upbit.com", is_simulated=False, clock="system"))


GAP = Outage(START_MS - HOUR_MS, START_MS - HOUR_MS + 65_000, "closed by the peer")
NUMPY = Package("numpy", "", "2.4.0", "2.4.0")

VERDICTS: dict[str, tuple[str, Callable[[], Check]]] = {
    "a supported Python": ("ok", lambda: health.python_check((3, 11, 7), "<3.15,>=3.11")),
    "a Python that is too old": ("fail", lambda: health.python_check((3, 10, 9), ">=3.11,<3.15")),
    "a Python that is too new": ("fail", lambda: health.python_check((3, 15, 0), ">=3.11,<3.15")),
    "the packages that were tested": ("ok", lambda: health.packages_check([NUMPY])),
    "an extra that is not installed": (
        "ok",
        lambda: health.packages_check([NUMPY, Package("mlflow-skinny", "registry", None, "3.0")]),
    ),
    "another version than the tested one": (
        "warn",
        lambda: health.packages_check([Package("numpy", "", "2.3.0", "2.4.0")]),
    ),
    "a package that is missing": ("fail", lambda: health.packages_check([Package("numpy", "", None, None)])),
    "a home with room": ("ok", lambda: health.home_check("/home", "", 50 * GB)),
    "a home that fills up": ("warn", lambda: health.home_check("/home", "", GB)),
    "a home without room": ("fail", lambda: health.home_check("/home", "", GB // 10)),
    "a home that cannot be written": ("fail", lambda: health.home_check("/home", "read-only", 50 * GB)),
    "an exchange with our markets": ("ok", lambda: health.exchange_check(answer(), MARKETS)),
    "a market that was delisted": ("warn", lambda: health.exchange_check(answer(markets=MARKETS[:1]), MARKETS)),
    "clocks that agree": ("ok", lambda: skewed(answer())),
    "a second of skew, which a Date cannot tell from none": ("ok", lambda: skewed(answer(1_000))),
    "clocks three seconds apart": ("warn", lambda: skewed(answer(3_200))),
    "a clock that is behind": ("warn", lambda: skewed(answer(-3_200))),
    "clocks twelve seconds apart": ("fail", lambda: skewed(answer(12_000))),
    "a market too fast to tell": ("skip", lambda: skewed(answer(took_ms=30_000))),
    "an exchange without a Date": ("skip", lambda: skewed(answer(date=False))),
    "no process yet": ("skip", lambda: health.processes_check([])),
    "processes that run or were stopped": (
        "ok",
        lambda: health.processes_check([Process("api", "ready", True, ""), Process("bot", "stopped", False, "")]),
    ),
    "a process that failed": ("fail", lambda: health.processes_check([Process("api", "failed", False, "port in use")])),
    "a collector whose disk is full": (
        "fail",
        lambda: health.processes_check([Process("collector", "blocked", True, "200 MB free")]),
    ),
    "a process that was killed": ("fail", lambda: health.processes_check([Process("api", "ready", False, "")])),
    "a fresh stream": ("ok", lambda: stream(1.0)),
    "a stream a minute old": ("warn", lambda: stream(90.0)),
    "a stream that gives nothing": ("fail", lambda: stream(400.0)),
    "the same age where ten minutes pass in a second": ("ok", lambda: stream(400.0, speed=600.0)),
    "a market that was silent for an hour": ("warn", lambda: stream(1.0, eth_age_s=4_000.0)),
    "an old stream of a collector that does not run": ("skip", lambda: stream(9_999.0, is_collecting=False)),
    "no message though the collector runs": (
        "fail",
        lambda: data_health.stream_checks(journal({}), MARKETS, START_MS, 1.0, is_collecting=True)[0],
    ),
    "no message while the market clock stands": (
        "skip",
        lambda: data_health.stream_checks(journal({}), MARKETS, START_MS, 0.0, is_collecting=True)[0],
    ),
    "no gap": ("ok", lambda: data_health.gaps_check([], START_MS)),
    "a gap an hour ago": ("warn", lambda: data_health.gaps_check([GAP], START_MS)),
    "a gap of last week": ("ok", lambda: data_health.gaps_check([GAP], START_MS + 7 * DAY_MS)),
    "a kill": ("warn", lambda: data_health.gaps_check([Outage(None, START_MS - 1_000, "killed")], START_MS)),
    "no dead letter": ("ok", lambda: data_health.dead_letters_check(0, "")),
    "dead letters": ("warn", lambda: data_health.dead_letters_check(3, "field code")),
    "no journal": ("skip", lambda: data_health.journal_check(JournalState(0, 0, 0, {}), GB, START_MS)),
    "a journal with room to grow": ("ok", lambda: data_health.journal_check(journal({}), 50 * GB, START_MS)),
    "a journal that fills the disk in two days": (
        "warn",
        lambda: data_health.journal_check(journal({}, size=10 * GB), 20 * GB, START_MS),
    ),
    "no ledger": ("skip", lambda: data_health.ledger_check({}, 0, 2, "12:00")),
    "a settled ledger": ("ok", lambda: data_health.ledger_check({}, 600, 2, "12:00")),
    "unknown minutes": ("fail", lambda: data_health.ledger_check({"excess": 1}, 600, 2, "12:00")),
    "no run": ("skip", lambda: data_health.pipeline_check({"KRW-BTC": None}, START_MS, [], is_running=True)),
    "a pipeline that keeps up": (
        "ok",
        lambda: data_health.pipeline_check({"KRW-BTC": START_MS - HOUR_MS}, START_MS, [], is_running=True),
    ),
    "a market that is behind": (
        "warn",
        lambda: data_health.pipeline_check(
            {"KRW-BTC": START_MS, "KRW-ETH": START_MS - 3 * HOUR_MS}, START_MS, [], is_running=True
        ),
    ),
    "a pipeline that stands": (
        "fail",
        lambda: data_health.pipeline_check({"KRW-BTC": START_MS - 9 * HOUR_MS}, START_MS, [], is_running=True),
    ),
    "a step that was given up": (
        "warn",
        lambda: data_health.pipeline_check(
            {"KRW-BTC": START_MS}, START_MS, ["load KRW-BTC 2024-01-22T00"], is_running=True
        ),
    ),
    "a pipeline that does not run": (
        "skip",
        lambda: data_health.pipeline_check({"KRW-BTC": START_MS - 9 * HOUR_MS}, START_MS, [], is_running=False),
    ),
}


@pytest.mark.parametrize("case", VERDICTS, ids=lambda name: name.replace(" ", "_"))
def test_verdict(case: str) -> None:
    """The state, a figure always, and a remedy exactly where a hand is needed."""
    state, make = VERDICTS[case]

    check = make()

    assert check.state == state
    assert check.figure
    assert bool(check.remedy) == (state in ("warn", "fail"))


def test_the_stream_check_gives_the_age_of_each_market() -> None:
    """For programs."""
    assert stream(2.0).detail == {"age_s": {"KRW-BTC": 2.0, "KRW-ETH": 5.0}}
    assert stream(2.0).figure == "newest 2.0 s old, oldest of 2 markets 5 s"


def test_the_gap_check_adds_up_the_time_lost() -> None:
    """And says when the last one began and why."""
    check = data_health.gaps_check([GAP, GAP], START_MS)

    assert check.figure == "2 in 24 h, 130 s in all; the last from 2024-01-21T23:00:00: closed by the peer"


def test_remedies_of_a_skew_and_of_a_full_disk_fit_their_cause() -> None:
    """NTP moves no simulator's clock, and a collector that waits for room is not to be started again."""
    simulated = Wiring("http://127.0.0.1:9", is_simulated=True, clock="shared")
    blocked = Process("collector", "blocked", True, "200 MB free")

    assert "name one for both" in health.skew_check(answer(12_000), simulated).remedy
    assert health.processes_check([blocked]).remedy == "make room on the disk: the collector goes on by itself"
    assert "tickloop up" in health.processes_check([blocked, Process("api", "failed", False, "")]).remedy
