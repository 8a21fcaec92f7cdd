"""Which window a DAG run is for: pure, so that it can be read and tested without Airflow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tickloop.domain.search import Search, search_from
from tickloop.domain.window import Window, parse_window
from tickloop.errors import UsageError, WindowError
from tickloop.services.due_step import Wish

_KEY_OF_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:00(:00)?(Z|\+00:00)?$")

_HOUR_CHARS = len("2024-01-02T03")

_VALID = "valid: 2024-01-02T03, or 2024-01-02T03..T05 for [03:00, 05:00)"


def window_of(partition_key: str | None, conf: Mapping[str, Any] | None) -> Window:
    """Give the window of a DAG run: of its partition key, else of `window` in its configuration.

    A key is a window's text, or the start of its hour as Airflow writes it (2024-01-02T03:00:00).

    Raises:
        WindowError: naming where the text came from, the text, and what would be valid.
    """
    if partition_key is not None:
        return _parsed("partition key", partition_key)
    asked = (conf or {}).get("window")
    if asked is None:
        raise WindowError(
            'the run has no partition key and its configuration no "window"; valid: trigger it with'
            ' {"window": "2024-01-02T03"} or {"window": "2024-01-02T03..T05"}'
        )
    return _parsed('"window" of the configuration', asked)


def wish_of(run_type: str) -> Wish:
    """Tell what a DAG run leaves to the run ledger, by how it came about.

    A scheduled run does what is due. A back-fill runs its windows again, each after its inputs. A run that a person
    triggers runs its window as it is, as `tickloop run` does.
    """
    return Wish(is_repeated=run_type in ("manual", "backfill"), is_ordered=run_type != "manual")


def asked_search(conf: Mapping[str, Any] | None) -> Search:
    """Give the search that a DAG run's configuration describes: the fields of `Search`, the job's window as its text.

    Raises:
        UsageError: naming what is missing, unknown or out of range.
    """
    plain = dict(conf or {})
    job = plain.get("job")
    if not isinstance(job, Mapping):
        raise UsageError(
            'the configuration of the run has no "job"; valid: trigger it with {"job": {"market": "KRW-BTC",'
            ' "window": "2024-01-02T00..2024-01-04T00", "strategy": "grid"}, "method": "random", "trials": 1000}'
        )
    if isinstance(text := job.get("window"), str):
        window = _parsed('"window" of the job', text)
        job = {**job, "window": [window.start_ms, window.end_ms]}
    return search_from({**plain, "job": job})


def key_of(window: Window) -> str:
    """Give the partition key of a window."""
    return str(window)


def _parsed(what: str, text: object) -> Window:
    if not isinstance(text, str):
        raise WindowError(f"{what} {text!r} is not a window; {_VALID}")
    try:
        return parse_window(text[:_HOUR_CHARS] if _KEY_OF_TIME.match(text) else text)
    except WindowError as exc:
        raise WindowError(f"{what}: {exc}") from exc
