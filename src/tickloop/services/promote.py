"""Who is champion: the first one, the gate of each slot, and the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tickloop.domain.features import FEATURE_SETS
from tickloop.domain.models import Persistence, persistence
from tickloop.domain.promotion import Choice, Policy, Scored, choose
from tickloop.domain.tables import BACKTEST, RUN
from tickloop.domain.training import slot_windows
from tickloop.domain.window import Window
from tickloop.errors import NotEnoughDataError, UsageError
from tickloop.ports import Clock, Decision, ModelRegistry, ModelVersion
from tickloop.services.scoring import actuals, forecasts_over, score_forecasts
from tickloop.services.steps import StepPorts

BASELINE_FAMILY = persistence.name
_FIRST_FEATURE_SET = next(iter(FEATURE_SETS))  # any will do: it only says which minutes have a forecast
_PROFIT_STRATEGY = "default"


def ensure_champion(registry: ModelRegistry, market: str, clock: Clock) -> ModelVersion:
    """Give the champion of a market; a market without one gets `persistence`, its first version."""
    champion = registry.champion(market)
    if champion is not None:
        return champion
    files = Persistence(_FIRST_FEATURE_SET).files()
    params = {"family": BASELINE_FAMILY, "feature_set": _FIRST_FEATURE_SET}
    first = registry.register(market, BASELINE_FAMILY, files, params=params, metrics={}, lineage={})
    reason = f"{first.name} is champion, because the registry of {market} starts with it"
    now_ms = clock.now_ms()
    registry.decide(Decision(market, now_ms, first.name, None, False, reason, {}, now_ms))
    return first


def rollback(registry: ModelRegistry, market: str, clock: Clock) -> Decision:
    """Make the previous champion champion again; asked twice, the second undoes the first.

    Raises:
        UsageError: if the market has had no other champion.
    """
    champion = registry.champion(market)
    before = [one for one in registry.versions(market) if "previous" in one.aliases]
    if champion is None or not before or before[0].name == champion.name:
        raise UsageError(f"{market} has no previous champion to go back to; valid: a market that had a promotion")
    slot_start_ms = list(registry.decisions(market))[-1].slot_start_ms
    reason = f"{before[0].name} replaces {champion.name}: rolled back by command"
    decision = Decision(market, slot_start_ms, before[0].name, champion.name, False, reason, {}, clock.now_ms())
    registry.decide(decision)
    return decision


def is_of_slot(version: ModelVersion, slot: Window) -> bool:
    """Tell whether a version is a candidate of a slot."""
    return version.params.get("slot_start_ms") == str(slot.start_ms)


def promote(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Decide whether a candidate of the slot, or the baseline, replaces the champion, on the slot's gate.

    All are scored from their saved files on the minutes that all of them can be scored on. A slot is decided once:
    run again it gives the decision that stands, unless nothing could be compared before.

    Args:
        window: the slot.

    Returns:
        `champion`, `is_promoted`, `reason`, `scores` by version.

    Raises:
        NotEnoughDataError: with the metric `profit_krw`, if a version has no back-test for this slot.
        DataError: if a saved model cannot be read.
    """
    champion = ensure_champion(ports.registry, market, ports.clock)
    decisions = list(ports.registry.decisions(market))
    # The registry's first decision may bear the start of a slot too, but was made before that slot was over.
    of_slot = [one for one in decisions if one.slot_start_ms == window.start_ms and one.decided_at_ms >= window.end_ms]
    stands = of_slot[-1] if of_slot else None
    is_newest = stands == decisions[-1]
    if stands is None or (is_newest and not (stands.scores or stands.previous)):
        decision = _decide(ports, champion, window)
    else:
        decision = stands
    if stands is None or is_newest:  # the newest one again too: an earlier run may have ended before the alias moved
        ports.registry.decide(decision)
    return {
        "champion": decision.champion,
        "is_promoted": decision.is_promoted,
        "reason": decision.reason,
        "scores": dict(decision.scores),
    }


def _decide(ports: StepPorts, champion: ModelVersion, slot: Window) -> Decision:
    choice, scores = _choice(ports, champion, slot)
    previous = champion.name if choice.is_promoted else None
    return Decision(
        champion.market,
        slot.start_ms,
        choice.winner,
        previous,
        choice.is_promoted,
        choice.reason,
        scores,
        ports.clock.now_ms(),
    )


def _choice(ports: StepPorts, champion: ModelVersion, slot: Window) -> tuple[Choice, dict[str, float]]:
    market = champion.market
    gate = slot_windows(slot, ports.training.training_hours, ports.training.gate_hours).gate
    others = [one for one in ports.registry.versions(market) if one.name != champion.name]
    challengers = [one for one in others if is_of_slot(one, slot) or _is_baseline(one)]
    if not challengers:
        return _stays(champion, _why_no_candidate(ports, market, slot)), {}
    if int(champion.params.get("train_end_ms", 0)) > gate.start_ms:
        return _stays(champion, f"it was trained on minutes of the gate {gate}, which no model may have seen"), {}
    compared = [champion, *challengers]
    metrics = _metrics(ports, compared, gate)
    if not metrics:
        return _stays(champion, f"no minute of the gate {gate} can be scored for all of its challengers"), {}
    for version in compared:
        if not is_of_slot(version, slot):  # a candidate has its figures of this gate from training
            ports.registry.log_metrics(version, metrics[version.name])
    settings = ports.promotion
    policy = Policy(settings.metric, settings.optimize, settings.min_improvement, settings.max_bias_bp)
    scores = {name: figures["mae_bp"] for name, figures in metrics.items()}
    if settings.metric == "profit_krw":
        scores = _profits(ports, market, slot, list(metrics))
    scored = [Scored(name, scores[name], figures["bias_bp"]) for name, figures in metrics.items()]
    return choose(scored[0], scored[1:], policy, int(metrics[champion.name]["minutes"])), scores


def _metrics(ports: StepPorts, versions: Sequence[ModelVersion], gate: Window) -> dict[str, Mapping[str, float]]:
    """Score all on the minutes that all have; empty when there is none."""
    actual = actuals(ports, versions[0].market, gate)
    forecasts = {version.name: forecasts_over(ports, version, gate) for version in versions}
    minutes = set(actual["target_minute"].dt.epoch("ms"))
    for made in forecasts.values():
        minutes &= set(made["target_minute"].dt.epoch("ms"))
    if not minutes:
        return {}
    return {name: score_forecasts(made, actual, minutes) for name, made in forecasts.items()}


def _profits(ports: StepPorts, market: str, slot: Window, names: Sequence[str]) -> dict[str, float]:
    rows = ports.warehouse.read(BACKTEST, market, slot)
    mine = rows.filter((pl.col("slot") == slot.start) & (pl.col("strategy") == _PROFIT_STRATEGY))
    results = dict(mine.select("model_version", "result").iter_rows())
    missing = [name for name in names if name not in results]
    if missing:
        raise NotEnoughDataError(
            f"{', '.join(missing)} of {market} have no back-test of {_PROFIT_STRATEGY} for slot {slot}; "
            "valid: promote after the step backtest"
        )
    return {name: float(json.loads(results[name])["profit_krw"]) for name in names}


def _why_no_candidate(ports: StepPorts, market: str, slot: Window) -> str:
    runs = ports.warehouse.read(RUN, market, slot)
    mine = runs.filter((pl.col("step") == "train") & (pl.col("window_end") == slot.end))
    detail = json.loads(mine["detail"][-1]) if mine.height else {}
    return f"slot {slot} has no candidate: {detail.get('reason', 'none was trained')}"


def _is_baseline(version: ModelVersion) -> bool:
    """The version that a registry starts with; it stays a challenger, so that no champion is worse than no model."""
    return version.family == BASELINE_FAMILY and "slot_start_ms" not in version.params


def _stays(champion: ModelVersion, why: str) -> Choice:
    return Choice(champion.name, False, f"{champion.name} stays, because {why}")
