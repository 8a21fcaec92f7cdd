"""Who becomes champion: the rule as a table, then the step over in-memory ports."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import polars as pl
import pytest

from fakes import FixedClock, MemoryRegistry
from slot_world import GATE, MARKET, SLOT, SlotPorts, filled_ports
from tickloop.domain.features import FEATURE_SETS
from tickloop.domain.models import Ridge
from tickloop.domain.promotion import Policy, Scored, choose
from tickloop.domain.tables import BACKTEST, BAR_1M, RUN
from tickloop.domain.window import HOUR_MS, Window
from tickloop.errors import DataError, NotEnoughDataError, UsageError
from tickloop.ports import Decision
from tickloop.services.promote import ensure_champion, promote, rollback
from tickloop.services.train import train
from tickloop.settings import PromotionSettings

NEXT_SLOT = Window(SLOT.end_ms, SLOT.end_ms + 6 * HOUR_MS)
P, R, L = "persistence-1", "ridge-2", "lightgbm-3"

Optimize = Literal["minimize", "maximize"]


@pytest.mark.parametrize(
    ("optimize", "champion", "ridge", "lightgbm", "min_improvement", "winner"),
    [
        ("minimize", 4.02, (3.91, 0.1), (3.95, 0.1), 0.0, R),
        ("minimize", 4.02, (3.91, 0.1), (3.85, 0.1), 0.0, L),
        ("minimize", 4.02, (4.02, 0.1), (4.50, 0.1), 0.0, P),  # a tie changes nothing
        ("minimize", 4.02, (3.91, 0.1), (3.91, 0.1), 0.0, R),  # of equals the first
        ("minimize", 4.02, (3.91, 0.1), (4.00, 0.1), 0.2, P),  # better, but not by enough
        ("minimize", 4.02, (3.80, 0.1), (4.00, 0.1), 0.2, R),
        ("minimize", 4.02, (3.00, 2.1), (3.95, -2.0), 0.0, L),  # the best is biased; the bound itself is within
        ("minimize", 4.02, (3.00, 2.1), (3.00, -2.1), 0.0, P),
        ("maximize", -50.0, (-20.0, 0.1), (-60.0, 0.1), 0.0, R),
        ("maximize", -50.0, (-50.0, 0.1), (-60.0, 0.1), 0.0, P),
        ("maximize", 10.0, (15.0, 0.1), (12.0, 0.1), 5.0, P),
        ("maximize", 10.0, (15.5, 0.1), (12.0, 0.1), 5.0, R),
    ],
)
def test_winner_follows_the_policy(
    optimize: Optimize,
    champion: float,
    ridge: tuple[float, float],
    lightgbm: tuple[float, float],
    min_improvement: float,
    winner: str,
) -> None:
    """Score and bias of ridge and lightgbm against the champion's score."""
    policy = Policy("score", optimize, min_improvement, max_bias_bp=2.0)

    choice = choose(Scored(P, champion, 9.0), [Scored(R, *ridge), Scored(L, *lightgbm)], policy, 2870)

    assert (choice.winner, choice.is_promoted) == (winner, winner != P)


@pytest.mark.parametrize(
    ("challengers", "min_improvement", "reason"),
    [
        ([(R, 3.91, 0.0)], 0.0, "ridge-2 replaces persistence-1: mae_bp 3.910 against 4.020 on 2,870 minutes"),
        (
            [(R, 4.1, 0.0)],
            0.0,
            "persistence-1 stays, because the best challenger ridge-2 has mae_bp 4.100 against 4.020 on 2,870 minutes",
        ),
        (
            [(R, 3.99, 0.0), (L, 3.5, 2.31)],
            0.05,
            "persistence-1 stays, because the best challenger ridge-2 has mae_bp 3.990 against 4.020 on 2,870 minutes, "
            "and 0.05 better is asked for; left out: lightgbm-3 is off by +2.31 bp on average (at most 2 bp)",
        ),
        (
            [(R, 3.0, -2.5)],
            0.0,
            "persistence-1 stays, because no challenger may replace it: ridge-2 is off by -2.50 bp on average "
            "(at most 2 bp)",
        ),
        ([], 0.0, "persistence-1 stays, because there is no challenger"),
    ],
)
def test_reason_is_a_sentence_with_the_numbers(
    challengers: list[tuple[str, float, float]], min_improvement: float, reason: str
) -> None:
    """It is stored and shown as it is."""
    policy = Policy("mae_bp", "minimize", min_improvement)

    choice = choose(Scored(P, 4.02, 0.0), [Scored(*one) for one in challengers], policy, 2870)

    assert choice.reason == reason


@pytest.mark.parametrize("wrong", [Scored(R, float("nan"), 0.0), Scored(R, 3.0, float("inf"))])
def test_score_that_is_no_number_is_refused(wrong: Scored) -> None:
    """A NaN compares as neither better nor worse."""
    with pytest.raises(DataError, match="ridge-2 has mae_bp"):
        choose(Scored(P, 4.02, 0.0), [wrong], Policy("mae_bp", "minimize"), 10)


def aliases(ports: SlotPorts) -> dict[str, str]:
    return {alias: one.name for one in ports.registry.versions(MARKET) for alias in one.aliases}


def reasons(ports: SlotPorts) -> list[str]:
    return [one.reason for one in ports.registry.decisions(MARKET)]


def trained_ports(**promotion: object) -> SlotPorts:
    ports = filled_ports()
    ports.promotion = PromotionSettings.model_validate(promotion)
    train(ports, MARKET, SLOT)
    return ports


def add_profits(ports: SlotPorts, profits: dict[str, float], strategy: str = "default") -> None:
    rows = [
        (MARKET, SLOT.start, name, strategy, GATE.start, GATE.end, json.dumps({"profit_krw": profit}))
        for name, profit in profits.items()
    ]
    ports.warehouse.upsert(BACKTEST, pl.DataFrame(rows, schema=BACKTEST.columns, orient="row"))


def test_market_starts_with_persistence_as_champion_once() -> None:
    """Asked again, nothing is registered or decided anew."""
    clock = FixedClock()
    registry = MemoryRegistry(clock)

    ensure_champion(registry, MARKET, clock)
    clock.advance(HOUR_MS)
    champion = ensure_champion(registry, MARKET, clock)

    assert (champion.name, champion.aliases) == ("persistence-1", ("champion",))
    assert [one.reason for one in registry.decisions(MARKET)] == [
        "persistence-1 is champion, because the registry of KRW-BTC starts with it"
    ]


def test_better_candidate_replaces_the_champion_with_its_numbers() -> None:
    """Both aliases move, and the decision holds the scores of all."""
    ports = trained_ports()

    result = promote(ports, MARKET, SLOT)

    ridge = ports.registry.versions(MARKET)[1].metrics["mae_bp"]
    assert aliases(ports) == {"champion": "ridge-2", "previous": "persistence-1"}
    assert result["is_promoted"] is True
    assert result["scores"]["ridge-2"] == pytest.approx(ridge)
    assert result["reason"].startswith(f"ridge-2 replaces persistence-1: mae_bp {ridge:.3f} against ")
    assert result["reason"].endswith(" on 360 minutes")
    assert ports.registry.versions(MARKET)[0].metrics["skill"] == 0.0  # persistence's own figures on this gate


def test_slot_promoted_twice_stands_as_it_was_decided() -> None:
    """The new champion is not held against itself, and no alias moves again."""
    ports = trained_ports()
    first = promote(ports, MARKET, SLOT)
    ports.clock.advance(HOUR_MS)

    second = promote(ports, MARKET, SLOT)

    assert second == first
    assert aliases(ports) == {"champion": "ridge-2", "previous": "persistence-1"}
    assert len(reasons(ports)) == 2


def test_candidate_that_is_not_better_by_enough_leaves_the_champion() -> None:
    """The aliases stay; the decision is stored all the same."""
    ports = trained_ports(min_improvement=100.0)

    result = promote(ports, MARKET, SLOT)

    assert aliases(ports) == {"champion": "persistence-1"}
    assert result["reason"].startswith("persistence-1 stays, because the best challenger ridge-2 has mae_bp ")
    assert reasons(ports)[-1] == result["reason"]


def test_slot_without_candidate_says_why_training_made_none() -> None:
    """The reason comes from the run ledger."""
    ports = SlotPorts()
    detail = json.dumps({"candidates": 0, "reason": "240 minutes are too few"})
    row = (MARKET, "train", SLOT.start, SLOT.end, "done", 1, SLOT.end, 0, detail)
    ports.warehouse.upsert(RUN, pl.DataFrame([row], schema=RUN.columns, orient="row"))

    result = promote(ports, MARKET, SLOT)

    assert result["reason"] == (
        "persistence-1 stays, because slot 2024-01-21T18..2024-01-22T00 has no candidate: 240 minutes are too few"
    )


def test_slot_is_decided_anew_once_it_has_a_candidate() -> None:
    """The bars came late; asked twice before, the same decision was stored once."""
    ports = SlotPorts()
    promote(ports, MARKET, SLOT)
    promote(ports, MARKET, SLOT)
    ports.warehouse = filled_ports().warehouse
    train(ports, MARKET, SLOT)

    result = promote(ports, MARKET, SLOT)

    assert result["champion"] == "ridge-2"
    assert [reason.split(",")[0] for reason in reasons(ports)[:2]] == [
        "persistence-1 is champion",
        "persistence-1 stays",
    ]
    assert len(reasons(ports)) == 3


def test_versions_are_compared_on_the_minutes_that_all_have() -> None:
    """Minutes of unknown state count for none of them."""
    ports = trained_ports()
    half = Window(GATE.start_ms, GATE.start_ms + 3 * HOUR_MS)
    unknown = ports.warehouse.read(BAR_1M, MARKET, half).with_columns(state=pl.lit("unknown", BAR_1M.columns["state"]))
    ports.warehouse.upsert(BAR_1M, unknown)

    assert promote(ports, MARKET, SLOT)["reason"].endswith(" on 180 minutes")


def test_gate_without_a_minute_to_score_leaves_the_champion() -> None:
    """Its bars were lost after training."""
    ports = trained_ports()
    ports.warehouse.replace(BAR_1M, MARKET, GATE, BAR_1M.empty())

    assert promote(ports, MARKET, SLOT)["reason"] == (
        "persistence-1 stays, because no minute of the gate 2024-01-21T18..2024-01-22T00 can be scored for all of its "
        "challengers"
    )


def test_profit_decides_where_the_settings_say_so() -> None:
    """By the back-test rows of the strategy `default` for this slot."""
    ports = trained_ports(metric="profit_krw", optimize="maximize")
    add_profits(ports, {"persistence-1": 0.0, "ridge-2": -12.5})
    add_profits(ports, {"persistence-1": 0.0, "ridge-2": 99.0}, strategy="seed2023")

    result = promote(ports, MARKET, SLOT)

    assert result["scores"] == {"persistence-1": 0.0, "ridge-2": -12.5}
    assert result["reason"] == (
        "persistence-1 stays, because the best challenger ridge-2 has profit_krw -12.500 against 0.000 on 360 minutes"
    )


def test_profit_without_a_back_test_names_the_version_and_the_step() -> None:
    """Nothing is decided on half the figures."""
    ports = trained_ports(metric="profit_krw", optimize="maximize")
    add_profits(ports, {"persistence-1": 0.0})

    with pytest.raises(NotEnoughDataError, match=r"ridge-2 of KRW-BTC have no back-test .* after the step backtest"):
        promote(ports, MARKET, SLOT)

    assert len(reasons(ports)) == 1


def crown_biased_ridge(ports: SlotPorts) -> None:
    """Make a champion that always says +5 basis points."""
    count = len(FEATURE_SETS["bar"].names)
    zeros, ones = np.zeros(count), np.ones(count)
    model = Ridge("bar", FEATURE_SETS["bar"].names, zeros, ones, zeros, intercept=5e-4, clip=3.0, strength=1.0)
    version = ports.registry.register(MARKET, "ridge", model.files(), params={}, metrics={}, lineage={})
    ports.registry.decide(Decision(MARKET, 0, version.name, "persistence-1", True, "by hand", {}, 0))


def test_champion_that_is_worse_than_persistence_gives_way_to_it() -> None:
    """The baseline is a challenger of every slot."""
    ports = filled_ports()
    ensure_champion(ports.registry, MARKET, ports.clock)
    crown_biased_ridge(ports)

    result = promote(ports, MARKET, SLOT)

    assert result["champion"] == "persistence-1"
    assert result["reason"].startswith("persistence-1 replaces ridge-2: mae_bp ")


def test_slot_older_than_the_champions_training_decides_nothing() -> None:
    """The champion has learnt from minutes of that gate."""
    ports = trained_ports()
    promote(ports, MARKET, SLOT)
    older = Window(SLOT.start_ms - 6 * HOUR_MS, SLOT.start_ms)

    result = promote(ports, MARKET, older)

    assert result["reason"] == (
        "ridge-2 stays, because it was trained on minutes of the gate 2024-01-21T12..2024-01-21T18, "
        "which no model may have seen"
    )


def test_rollback_goes_back_and_the_slot_does_not_promote_again() -> None:
    """The operator's word stands until the next slot; asked twice, it is undone."""
    ports = trained_ports()
    promote(ports, MARKET, SLOT)

    decision = rollback(ports.registry, MARKET, ports.clock)
    again = promote(ports, MARKET, SLOT)

    assert decision.reason == again["reason"] == "persistence-1 replaces ridge-2: rolled back by command"
    assert aliases(ports) == {"champion": "persistence-1", "previous": "ridge-2"}
    assert rollback(ports.registry, MARKET, ports.clock).champion == "ridge-2"


def test_rollback_without_an_earlier_champion_says_so() -> None:
    """A market that has only had its first."""
    ports = SlotPorts()
    ensure_champion(ports.registry, MARKET, ports.clock)

    with pytest.raises(UsageError, match="KRW-BTC has no previous champion"):
        rollback(ports.registry, MARKET, ports.clock)
