"""Every notifier takes alerts at once and never raises, whatever becomes of them."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import structlog

from fakes import FakeNotifier
from tickloop.adapters.local.notify import AllNotifiers, LogNotifier
from tickloop.adapters.webhook.notify import WebhookNotifier
from tickloop.ports import Notifier

URL = "http://127.0.0.1:9/hooks/very-secret-token"


class Received:
    """What an address was sent, and what it answers."""

    def __init__(self, *answers: int | Exception) -> None:
        self.bodies: list[dict[str, object]] = []
        self.answers = list(answers) or [200]
        self.may_answer = threading.Event()
        self.may_answer.set()

    def handle(self, request: httpx.Request) -> httpx.Response:
        assert self.may_answer.wait(10)
        self.bodies.append(json.loads(request.content))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)


@contextmanager
def webhook(received: Received, **options: int) -> Iterator[WebhookNotifier]:
    notifier = WebhookNotifier(URL, transport=httpx.MockTransport(received.handle), pause_s=0.0, **options)
    try:
        yield notifier
    finally:
        received.may_answer.set()
        notifier.close()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    text = io.StringIO()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(text)
    )
    yield text
    structlog.reset_defaults()


@pytest.fixture(params=["fake", "log", "webhook", "webhook that fails", "all", "closed log"])
def notifier(request: pytest.FixtureRequest, log: io.StringIO) -> Iterator[Notifier]:
    if request.param == "fake":
        yield FakeNotifier()
    elif request.param == "log":
        yield LogNotifier("collector")
    elif request.param == "all":
        yield AllNotifiers((FakeNotifier(), LogNotifier("collector")))
    elif request.param == "closed log":
        log.close()
        yield LogNotifier("collector")
    else:
        answer = 200 if request.param == "webhook" else httpx.ConnectError("refused")
        with webhook(Received(answer)) as found:
            yield found


def test_alert_and_its_end_are_taken(notifier: Notifier) -> None:
    """Detail may have any name and any value."""
    notifier.alert("disk_full", "no room", free_bytes=5, event="x", process="y", thing=object())
    notifier.clear("disk_full", "room again")


def wait_until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(10_000):
        if holds():
            return
        pause.wait(0.001)
    raise AssertionError("it did not come true within 10 s")


def test_webhook_posts_each_alert_as_json(log: io.StringIO) -> None:
    """In their order."""
    received = Received()
    with webhook(received) as notifier:
        notifier.alert("disk_full", "no room", free_bytes=5)
        notifier.clear("disk_full", "room again")
        wait_until(lambda: notifier.sent == 2)

    assert received.bodies == [
        {"state": "alert", "subject": "disk_full", "message": "no room", "detail": {"free_bytes": 5}},
        {"state": "clear", "subject": "disk_full", "message": "room again", "detail": {}},
    ]


def test_webhook_tries_again_and_gives_up_after_three(log: io.StringIO) -> None:
    """The address shows nowhere: it may hold a token."""
    received = Received(500, httpx.ReadTimeout(f"no answer from {URL}"), 204, 500)
    with webhook(received) as notifier:
        notifier.alert("first", "m")
        wait_until(lambda: notifier.sent == 1)
        notifier.alert("second", "m")
        wait_until(lambda: notifier.failed == 1)

    assert [body["subject"] for body in received.bodies] == ["first"] * 3 + ["second"] * 3
    assert "status 500" in log.getvalue()
    assert "secret" not in log.getvalue()


def test_webhook_that_hangs_holds_nobody_up_and_keeps_the_newest(log: io.StringIO) -> None:
    """The oldest is dropped and counted."""
    received = Received()
    received.may_answer.clear()
    with webhook(received, queue=3) as notifier:
        notifier.alert("0", "m")
        wait_until(lambda: not notifier._waiting)
        for number in range(1, 6):
            notifier.alert(str(number), "m")
        received.may_answer.set()
        wait_until(lambda: notifier.sent == 4)

    assert notifier.dropped == 2
    assert [body["subject"] for body in received.bodies] == ["0", "3", "4", "5"]


def test_log_names_subject_and_message(log: io.StringIO) -> None:
    """A name of detail that the log uses itself is told apart."""
    LogNotifier("collector").alert("disk_full", "no room", event="x")

    assert json.loads(log.getvalue()) == {
        "process": "collector",
        "event": "alert",
        "subject": "disk_full",
        "message": "no room",
        "event_": "x",
    }
