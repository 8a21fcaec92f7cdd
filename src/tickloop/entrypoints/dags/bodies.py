"""What the tasks of all DAGs do: open the app of the settings, call one service, give plain values.

Nothing here is run when a DAG file is read. What Airflow must be told by an exception is decided in `_told`.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tickloop.bootstrap import App, open_app
from tickloop.domain.schedule import Cadence
from tickloop.domain.search import search_from
from tickloop.domain.window import Window, parse_window, slots_ended_in, slots_in
from tickloop.entrypoints.dags.windows import asked_search, key_of, window_of, wish_of
from tickloop.errors import CheckFailedError, OperatorError, UsageError, WindowError
from tickloop.services.day_report import day_report
from tickloop.services.due_step import Wish, catch_up, has_features, run_due_step, shown
from tickloop.services.janitor import janitor
from tickloop.services.pipeline import ensure_history, history_plan
from tickloop.services.run_ledger import HISTORY
from tickloop.services.sweep import judged_sweep, pinned, plan_of, sweep_units
from tickloop.services.sweep_run import UNIT
from tickloop.services.sweep_units import run_sweep_unit, unit_from
from tickloop.services.work import FitUnit, fit_units, run_fit_unit
from tickloop.settings import load_settings

MOST_UNITS = 256
"""Tasks that one search is cut into at most; Airflow maps up to 1,024 (core.max_map_length)."""

FINAL = (UsageError, OperatorError)
"""Errors that the same call gives again: no retry."""


def markets() -> list[str]:
    """Give the markets of the settings, and note where the live hours begin when nothing has run yet."""
    with _told(), _app() as app:
        _note_history(app)
        return list(app.markets)


def run_step_of_chain(step: str, market: str) -> list[dict[str, Any]]:
    """Run one step of one market for the window of the DAG run."""
    with _told():
        window, wish = _asked()
        with _app() as app:
            results = run_due_step(app, step, market, _for_step(app, step, window), wish)
        _skip_unless(results, f"nothing is due: {step} {market} {window} is done and no input is newer")
        return [shown(result) for result in results]


def fit_unit_list() -> list[dict[str, str]]:
    """Give the units of training of the DAG run's slots: for those markets that have the features."""
    with _told():
        window, wish = _asked()
        with _app() as app:
            units = fit_units(app, _slots(app, window))
            if wish.is_ordered:
                units = [one for one in units if has_features(app, one.market, one.slot)]
        return [{"market": one.market, "family": one.family, "slot": key_of(one.slot)} for one in units]


def fit(unit: dict[str, str]) -> dict[str, Any]:
    """Fit and register one unit."""
    with _told(), _app() as app:
        slot = parse_window(unit["slot"])
        return run_fit_unit(app, FitUnit(unit["market"], unit["family"], slot))


def closed_slots() -> list[str]:
    """Give the partition keys of the slots that can be trained on now that the DAG run's window is done.

    These are those whose last hour lies in it and is through the features for at least one market; skip without any.
    """
    with _told():
        window, _ = _asked()
        with _app() as app:
            ended = slots_ended_in(window, app.training.slot_hours)
            slots = [slot for slot in ended if any(has_features(app, market, slot) for market in app.markets)]
            _skip_unless(slots, f"nothing is due: no slot of {app.training.slot_hours} h is complete with {window}")
        return [key_of(slot) for slot in slots]


def catch_up_market(market: str, cadence: str) -> dict[str, Any]:
    """Run what is due of one market; fail with the messages of the steps that failed, after all others were run."""
    with _told():
        with _app() as app:
            caught = catch_up(app, market, Cadence(cadence))
        if caught.failures:
            raise CheckFailedError("; ".join(caught.failures))
        _skip_unless(caught.done, f"nothing is due: every {cadence} of {market} is done and up to date")
        return {"runs": [shown(result) for result in caught.done]}


def fill_history() -> dict[str, Any]:
    """Fetch the bars of the history that the settings ask for, once."""
    with _told(), _app() as app:
        said: dict[str, Any] = {}

        def status(state: str, message: str = "", **detail: Any) -> None:
            said.update(state=state, message=message, **detail)

        live_since_ms = ensure_history(app, app.settings.history, status, threading.Event())
        return {"live_since_ms": live_since_ms, **said}


def pin_search() -> dict[str, Any]:
    """Give the search of the DAG run's configuration, with what the home decides put into it."""
    from airflow.sdk import get_current_context

    with _told():
        search = asked_search(get_current_context()["dag_run"].conf)
        with _app() as app:
            return pinned(app, search).as_dict()


def sweep_unit_list(search: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the units of a search that were not run yet; none is no failure."""
    with _told(), _app() as app:
        return [unit.as_dict() for unit in sweep_units(app, search_from(search), MOST_UNITS, UNIT)]


def sweep_unit(unit: dict[str, Any]) -> dict[str, Any]:
    """Run the settings of one unit that have no row yet."""
    with _told(), _app() as app:
        return run_sweep_unit(app, unit_from(unit))


def sweep_summary(search: dict[str, Any]) -> dict[str, Any]:
    """Judge the best of all that a search has tried."""
    with _told(), _app() as app:
        found = judged_sweep(app, plan_of(app, search_from(search))).as_dict()
    print(json.dumps(found, indent=2))  # noqa: T201 (Airflow shows it as the log of the task)
    return {name: found[name] for name in ("verdict", "sweep", "trials", "trials_so_far", "best")}


def clean() -> dict[str, Any]:
    """Remove what is loaded, counted and old enough."""
    with _told(), _app() as app:
        cleaned = janitor(
            app,
            app.segment_keeper(),
            app.prunables(),
            keep_ms=app.journal_keep_ms,
            needs_delivery=app.needs_delivery,
        )
        return asdict(cleaned)


def report(market: str) -> dict[str, Any]:
    """Sum up the DAG run's window of one market."""
    with _told():
        window, _ = _asked()
        with _app() as app:
            found = asdict(day_report(app, market, window))
    print(json.dumps(found, indent=2))  # noqa: T201 (Airflow shows it as the log of the task)
    return found


def deadline_missed(context: dict[str, Any]) -> None:
    """Tell whoever the settings name that a DAG run was not through by its deadline."""
    run = context["dag_run"]
    text = f"DAG {run['dag_id']} is not through by its deadline: run {run['dag_run_id']}, {run.get('state')}"
    with _app() as app:
        app.notifier.alert("deadline_missed", text, dag=run["dag_id"], partition=run.get("partition_key"))


def _asked() -> tuple[Window, Wish]:
    from airflow.sdk import get_current_context

    run = get_current_context()["dag_run"]
    return window_of(run.partition_key, run.conf), wish_of(str(getattr(run.run_type, "value", run.run_type)))


def _for_step(app: App, step: str, window: Window) -> Window:
    """Give the window that a step runs for: a slot step's is its slots, also where only their last hours are named."""
    from tickloop.services.chain import step_named

    if step_named(step).cadence is Cadence.HOUR:
        return window
    slots = _slots(app, window)
    return Window(slots[0].start_ms, slots[-1].end_ms)


def _slots(app: App, window: Window) -> list[Window]:
    hours = app.training.slot_hours
    slots = slots_in(window, hours) or slots_ended_in(window, hours)
    if not slots:
        raise WindowError(f"no slot of {hours} h ends in {window}; valid: a window with the last hour of a slot")
    return slots


def _note_history(app: App) -> None:
    from tickloop.domain.tables import RUN

    known = app.warehouse.read(RUN, app.markets[0])
    if HISTORY not in known["step"].to_list():
        history_plan(app, app.settings.history)


def _app() -> App:
    return open_app(load_settings())


def _skip_unless(found: Sequence[object], reason: str) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    if not found:
        raise AirflowSkipException(reason)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Tell Airflow which errors are final; every other one is tried again, with back-off, as the DAG says."""
    from airflow.sdk.exceptions import AirflowFailException

    try:
        yield
    except FINAL as exc:
        raise AirflowFailException(str(exc)) from exc
