"""History from the exchange's candles: bars, ledger and features of a range of hours whose trades are not asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tickloop.domain.bars import bars_from_candles, candle_frame
from tickloop.domain.ledger import classify_backfill
from tickloop.domain.schedule import DONE
from tickloop.domain.tables import BAR_1M, LEDGER, RUN
from tickloop.domain.window import DAY_MS, MINUTE_MS, Window, to_ms
from tickloop.errors import HomeBusyError
from tickloop.services.build_features import features
from tickloop.services.steps import RunRow, StepPorts, record_runs, require_over

Progress = Callable[[str, int, int], None]
"""(market, minutes done, minutes in all)"""

_DETAIL = {"backfill": True}


def backfill(ports: StepPorts, window: Window, progress: Progress) -> dict[str, Any]:
    """Make bars, ledger and features of a window from candles, a day at a time, and record their steps as done.

    Minutes get state `candle`, reason `backfill`, or `no_trade`. Hours whose bars were made before stay as they are,
    so that a back-fill that was broken off goes on where it stopped, and none replaces what came live.

    Returns:
        Per market: `bars` and `minutes` made now, `skipped` (minutes that were there), `features`.

    Raises:
        WindowError: if the window is not over or not made of whole hours.
        HomeBusyError: if another process fetches the same window.
        ExchangeError: if the exchange does not answer; days done so far stand.
    """
    require_over(window, ports.clock.now_ms())
    list(window.hours())
    return {market: _market(ports, market, window, progress) for market in ports.markets}


def _market(ports: StepPorts, market: str, window: Window, progress: Progress) -> dict[str, int]:
    minutes = (window.end_ms - window.start_ms) // MINUTE_MS
    with ports.lock.hold("backfill", market, window) as is_ours:
        if not is_ours:
            raise HomeBusyError(f"{market} {window} is being back-filled by another process; wait for it to end")
        missing = list(_missing(ports, market, window))
        done = minutes - sum(part.end_ms - part.start_ms for part in missing) // MINUTE_MS
        counts = {"bars": 0, "minutes": minutes - done, "skipped": done}
        for part in missing:
            progress(market, done, minutes)
            counts["bars"] += _part(ports, market, part)
            done += (part.end_ms - part.start_ms) // MINUTE_MS
        counts["features"] = _features(ports, market, window)
        progress(market, done, minutes)
    return counts


def _part(ports: StepPorts, market: str, part: Window) -> int:
    candles = candle_frame(ports.market_data.candles(market, part))
    rows = bars_from_candles(candles)
    ports.warehouse.replace(LEDGER, market, part, classify_backfill(market, part, candles))
    ports.warehouse.replace(BAR_1M, market, part, rows)
    record_runs(ports, [RunRow(step, market, part, DONE, _DETAIL) for step in ("verify", "bars")])
    return rows.height


def _features(ports: StepPorts, market: str, window: Window) -> int:
    # All at once: a look-back into the day before costs more than the day's own vectors.
    count = int(features(ports, market, window)["rows"])
    record_runs(ports, [RunRow("features", market, window, DONE, {**_DETAIL, "rows": count})])
    return count


def _missing(ports: StepPorts, market: str, window: Window) -> Iterator[Window]:
    """Yield the stretches of hours without bars, none longer than a day."""
    runs = ports.warehouse.read(RUN, market)
    rows = runs.filter((runs["step"] == "bars") & (runs["state"] == DONE)).select("window_start", "window_end")
    made = {hour for start, end in rows.iter_rows() for hour in Window(to_ms(start), to_ms(end)).hours()}
    open_part: Window | None = None
    for hour in window.hours():
        if open_part is not None and (hour in made or hour.start_ms % DAY_MS == 0):
            yield open_part
            open_part = None
        if hour not in made:
            open_part = Window(open_part.start_ms if open_part is not None else hour.start_ms, hour.end_ms)
    if open_part is not None:
        yield open_part
