"""Verdicts of `tickloop doctor` on the data: streams, gaps, journal, ledger and pipeline, in the form of `health`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tickloop.domain.health import Check, Level
from tickloop.domain.window import HOUR_MS, to_datetime

SILENT_WARN_S, SILENT_FAIL_S = 60, 300
"""Market seconds without any message of a type. A quiet market alone is no fault, a quiet stream is."""

MARKET_SILENT_WARN_S = 3_600

SYNC_REAL_S = 2.0
"""Real seconds that a message may take to the disk; a market at N times ages N times as much meanwhile."""

LAG_WARN_HOURS, LAG_FAIL_HOURS = 2, 4

FULL_WARN_DAYS = 3.0


@dataclass(frozen=True)
class JournalState:
    """The collector's journal.

    Attributes:
        newest_ms: (type, market) -> market time of receipt of the newest message, as the end of the newest segments
            tells: a pair that was silent for long is absent.
        oldest_ms: market time of the oldest segment.
    """

    segments: int
    size: int
    oldest_ms: int
    newest_ms: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Outage:
    """A time without a stream; `start_ms` is None when the process was killed and its end not recorded."""

    start_ms: int | None
    end_ms: int
    reason: str


def stream_checks(
    journal: JournalState, markets: Sequence[str], now_ms: int, speed: float, *, is_collecting: bool
) -> list[Check]:
    """Judge the age of the newest message, one check for each type of message.

    Args:
        speed: market seconds per real second, 0 while the market clock stands.
    """
    kinds = sorted({kind for kind, _ in journal.newest_ms})
    if not kinds:
        state = Level.FAIL if is_collecting and speed > 0 else Level.SKIP
        remedy = "look at the collector's log and at sessions.log" if state is Level.FAIL else ""
        return [Check("stream", state, "no message has been received yet", remedy)]
    return [_stream_check(journal, kind, markets, now_ms, speed, is_collecting=is_collecting) for kind in kinds]


def _stream_check(
    journal: JournalState, kind: str, markets: Sequence[str], now_ms: int, speed: float, *, is_collecting: bool
) -> Check:
    ages = {
        market: max(0.0, (now_ms - at_ms) / 1000)
        for (of_kind, market), at_ms in journal.newest_ms.items()
        if of_kind == kind
    }
    newest, name = min(ages.values()), f"stream {kind}"
    silent = sorted(market for market in markets if ages.get(market, MARKET_SILENT_WARN_S + 1) > MARKET_SILENT_WARN_S)
    figure = f"newest {newest:.1f} s old, oldest of {len(ages)} markets {max(ages.values()):.0f} s"
    detail = {"age_s": {market: round(age, 3) for market, age in sorted(ages.items())}}
    if not is_collecting:
        return Check(name, Level.SKIP, f"{figure}; the collector is not running", detail=detail)
    late = newest - SYNC_REAL_S * speed
    if late > SILENT_FAIL_S:
        return Check(name, Level.FAIL, figure, "look at the collector's log: the stream gives nothing", detail)
    if late > SILENT_WARN_S:
        return Check(name, Level.WARN, figure, "wait a minute and ask again", detail)
    if silent:
        return Check(
            name, Level.WARN, f"{figure}; silent for an hour: {', '.join(silent)}", "see whether they trade", detail
        )
    return Check(name, Level.OK, figure, detail=detail)


def gaps_check(gaps: Sequence[Outage], now_ms: int, days: int = 1) -> Check:
    """Tell the times without a connection within the last days; whether they were repaired the ledger tells."""
    recent = [gap for gap in gaps if gap.end_ms > now_ms - days * 24 * HOUR_MS]
    lost_s = sum(gap.end_ms - gap.start_ms for gap in recent if gap.start_ms is not None) / 1000
    detail = {"gaps": len(recent), "seconds": lost_s, "since_start": len(gaps)}
    if not recent:
        return Check("gaps", Level.OK, f"none in {24 * days} h, {len(gaps)} since the first start", detail=detail)
    last = recent[-1]
    begin = "an unknown time" if last.start_ms is None else f"{to_datetime(last.start_ms):%Y-%m-%dT%H:%M:%S}"
    figure = f"{len(recent)} in {24 * days} h, {lost_s:,.0f} s in all; the last from {begin}: {last.reason}"
    return Check("gaps", Level.WARN, figure, "tickloop ledger shows whether their minutes were repaired", detail)


def dead_letters_check(count: int, newest: str) -> Check:
    """Tell what could not be read."""
    if not count:
        return Check("dead letters", Level.OK, "none", detail={"count": 0})
    return Check(
        "dead letters",
        Level.WARN,
        f"{count:,}; the newest: {newest}",
        "their bytes are kept in the folder `dead`: report them",
        {"count": count},
    )


def journal_check(journal: JournalState, free: int, now_ms: int) -> Check:
    """Judge whether the disk takes the journal's growth for some days yet."""
    if not journal.segments:
        return Check("journal", Level.SKIP, "nothing has been collected yet")
    days = max(now_ms - journal.oldest_ms, HOUR_MS) / (24 * HOUR_MS)
    figure = f"{journal.segments} segments, {journal.size / 1e6:,.1f} MB, the oldest {days:.1f} days old"
    detail = {"segments": journal.segments, "bytes": journal.size, "oldest_ms": journal.oldest_ms}
    days_left = free / (journal.size / days) if journal.size else float("inf")
    if days_left < FULL_WARN_DAYS:
        remedy = "make room, or remove segments whose hours are verified"
        return Check("journal", Level.WARN, f"{figure}; the disk is full in {days_left:.1f} days", remedy, detail)
    return Check("journal", Level.OK, figure, detail=detail)


def ledger_check(unknown: Mapping[str, int], minutes: int, markets: int, settled_before: str) -> Check:
    """Judge the minutes that should be settled by now.

    Args:
        unknown: minutes by reason.
        minutes: those that were looked at, of so many markets.
    """
    if not minutes:
        return Check("ledger", Level.SKIP, "no minute of the last seven days is in the ledger")
    count = sum(unknown.values())
    detail = {"minutes": minutes, "markets": markets, "unknown": dict(unknown)}
    if not count:
        figure = f"no unknown minute of {minutes:,} in seven days, {markets} markets"
        return Check("ledger", Level.OK, figure, detail=detail)
    reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(unknown.items()))
    figure = f"{count} of {minutes:,} minutes before {settled_before} are unknown: {reasons}"
    remedy = "tickloop ledger --from DAY --to DAY names them; tickloop run all --window FIRST..LAST settles their hours"
    return Check("ledger", Level.FAIL, figure, remedy, detail)


def pipeline_check(
    newest_end_ms: Mapping[str, int | None], closed_end_ms: int, exhausted: Sequence[str], *, is_running: bool
) -> Check:
    """Judge how far the hourly steps are behind the last hour that is closed.

    Args:
        newest_end_ms: per market the end of the newest hour whose last step is done.
        exhausted: steps that failed and are not tried again by themselves, with their windows.
    """
    ends = [end for end in newest_end_ms.values() if end is not None]
    if not ends:
        return Check("pipeline", Level.SKIP, "no hour has been run yet")
    lag_hours = max(0, (closed_end_ms - min(ends)) // HOUR_MS)
    figure = f"done up to {to_datetime(min(ends)):%Y-%m-%dT%H:%M}Z, {lag_hours} h behind"
    detail = {"lag_hours": lag_hours, "failed": list(exhausted)}
    if not is_running:
        return Check("pipeline", Level.SKIP, f"{figure}; it is not running", detail=detail)
    if lag_hours >= LAG_FAIL_HOURS:
        remedy = "look at the log of the pipeline (beside servers: Airflow's collect_hour), and at tickloop steps"
        return Check("pipeline", Level.FAIL, figure, remedy, detail)
    if exhausted:
        failed = f"{figure}; given up: {', '.join(exhausted)}"
        return Check("pipeline", Level.WARN, failed, "tickloop run STEP --window HOUR tells why", detail)
    if lag_hours >= LAG_WARN_HOURS:
        return Check("pipeline", Level.WARN, figure, "wait: it catches up", detail)
    return Check("pipeline", Level.OK, figure, detail=detail)
