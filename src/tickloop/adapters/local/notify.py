"""Alerts into the process's own log, and one notifier made of several."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog

from tickloop.ports import Notifier


class LogNotifier:
    """Implements `ports.Notifier` as log lines: a warning for an alert, an info when it is over."""

    def __init__(self, process: str) -> None:
        self._log = structlog.get_logger(process=process)

    def alert(self, subject: str, message: str, **detail: Any) -> None:
        with suppress(OSError, ValueError):  # the log may lie on the full disk that it tells of, or be closed
            self._log.warning("alert", subject=subject, message=message, **_own_names(detail))

    def clear(self, subject: str, message: str) -> None:
        with suppress(OSError, ValueError):
            self._log.info("alert is over", subject=subject, message=message)


class AllNotifiers:
    """Tells each of several notifiers."""

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = tuple(notifiers)

    def alert(self, subject: str, message: str, **detail: Any) -> None:
        for notifier in self._notifiers:
            notifier.alert(subject, message, **detail)

    def clear(self, subject: str, message: str) -> None:
        for notifier in self._notifiers:
            notifier.clear(subject, message)


def _own_names(detail: dict[str, Any]) -> dict[str, Any]:
    """Give detail under names that the log does not use itself."""
    taken = {"event", "subject", "message", "process", "level", "timestamp"}
    return {f"{name}_" if name in taken else name: value for name, value in detail.items()}
