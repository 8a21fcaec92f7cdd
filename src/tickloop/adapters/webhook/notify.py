"""Alerts to an address of the user's, as JSON by HTTP POST."""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import Any

import httpx
import structlog

TIMEOUT_S = 5.0
QUEUE = 100
"""Alerts that wait at most; when full the oldest is dropped and counted: the newest tells how things are."""

_TRIES = 3
_PAUSE_S = 1.0
_CLOSE_S = 1.0


class WebhookNotifier:
    """Implements `ports.Notifier`. A thread of its own sends, so that an address that hangs holds nobody up.

    The body has `state` (alert or clear), `subject`, `message` and `detail`. An answer other than 2xx, or none within
    5 s, is tried twice more. The address may hold a token: it appears in no error and no log.

    Args:
        transport: replaces the network, for tests.
    """

    def __init__(
        self, url: str, *, transport: httpx.BaseTransport | None = None, pause_s: float = _PAUSE_S, queue: int = QUEUE
    ) -> None:
        self._url = url
        self._pause_s = pause_s
        self._client = httpx.Client(timeout=TIMEOUT_S, transport=transport, trust_env=False, follow_redirects=False)
        self._waiting: deque[bytes] = deque()
        self._most = queue
        self._changed = threading.Condition()
        self._is_closing = threading.Event()
        self._log = structlog.get_logger(adapter="webhook")
        self.sent = 0
        self.dropped = 0
        self.failed = 0
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def alert(self, subject: str, message: str, **detail: Any) -> None:
        self._put({"state": "alert", "subject": subject, "message": message, "detail": detail})

    def clear(self, subject: str, message: str) -> None:
        self._put({"state": "clear", "subject": subject, "message": message, "detail": {}})

    def close(self) -> None:
        """Send what waits, for 1 s at most."""
        self._is_closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(_CLOSE_S)
        self._client.close()

    def _put(self, body: dict[str, Any]) -> None:
        data = json.dumps(body, default=str).encode()
        with self._changed:
            if len(self._waiting) >= self._most:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(data)
            self._changed.notify()

    def _run(self) -> None:
        while (data := self._next()) is not None:
            if self._send(data):
                self.sent += 1
            else:
                self.failed += 1

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._is_closing.is_set())
            return self._waiting.popleft() if self._waiting else None

    def _send(self, data: bytes) -> bool:
        problem = ""
        for number in range(_TRIES):
            if number and self._is_closing.wait(self._pause_s):
                break
            try:
                answer = self._client.post(self._url, content=data, headers={"Content-Type": "application/json"})
            except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as exc:  # RuntimeError: closed meanwhile
                problem = type(exc).__name__  # its text may show the address
            else:
                if answer.is_success:
                    return True
                problem = f"status {answer.status_code}"
        self._complain(problem)
        return False

    def _complain(self, problem: str) -> None:
        try:
            self._log.warning("alert was not taken", address="alerts.webhook_url", problem=problem)
        except (OSError, ValueError):
            return  # the log's disk may be what is full
