"""Where lines of the journal are delivered: into the index of their day, under their `doc_id`, each once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tickloop.adapters.opensearch.bulk import BULK_ANSWER, Action, Verdict, action_of, parts_of, read_answer
from tickloop.adapters.opensearch.connect import Server, open_server
from tickloop.adapters.opensearch.errors import OverloadedError, refused
from tickloop.adapters.opensearch.template import put_template
from tickloop.adapters.upbit.pace import backoff_delays
from tickloop.errors import CorruptLineError, StoreAwayError, StoreError
from tickloop.ports import Delivery

_FIRST_DELAY_S, _MOST_DELAY_S = 0.5, 5.0
_ATTEMPTS = 5
"""In a row without one line taken, some seconds; who delivers goes on for as long as it likes."""

_ANSWER = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


@dataclass
class _Tally:
    created: int = 0
    known: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    drift: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        self.created += verdict.created
        self.known += verdict.known
        self.refused.update(verdict.refused)
        self.drift.update(verdict.drift)


class OpensearchSink:
    """Implements `ports.EventSink`. The template is put before the first line of a day, when it is not there.

    Args:
        wait: waits real seconds before what the server could not take is sent again.
    """

    def __init__(self, server: Server, prefix: str, wait: Callable[[float], None] = time.sleep) -> None:
        self._server = server
        self._prefix = prefix
        self._wait = wait
        self._prepared: set[str] = set()

    def deliver(self, lines: Sequence[bytes]) -> Delivery:
        tally = _Tally()
        actions = self._actions(lines, tally)
        self._prepare({action.index for action in actions})
        try:
            for part in parts_of(actions):
                self._send(part, tally)
        except StoreAwayError:
            self._prepared.clear()  # what comes back may be another server, or an empty one
            raise
        return Delivery(tally.created, tally.known, dict(sorted(tally.refused.items())), dict(tally.drift))

    def close(self) -> None:
        self._server.close()

    def _actions(self, lines: Sequence[bytes], tally: _Tally) -> list[Action]:
        actions: list[Action] = []
        for position, line in enumerate(lines):
            try:
                actions.append(action_of(line, position, self._prefix))
            except CorruptLineError as exc:
                tally.refused[position] = str(exc)
        return actions

    def _prepare(self, indices: set[str]) -> None:
        """See to the template before an index is made of it: without one a day's fields would be guessed."""
        new = indices - self._prepared
        if new:
            put_template(self._server, self._prefix)
            self._prepared = indices

    def _send(self, actions: Sequence[Action], tally: _Tally) -> None:
        """Send until every line is stored, known or refused.

        Raises:
            StoreAwayError: the server cannot be reached, or took nothing in several attempts.
            StoreError: it takes nothing until somebody mends what the message says.
        """
        delays = backoff_delays(_FIRST_DELAY_S, _MOST_DELAY_S)
        attempts_left = _ATTEMPTS
        while True:
            trouble: StoreError | None = None
            try:
                verdict = self._request(actions)
            except OverloadedError as exc:
                verdict, trouble = Verdict(again=list(actions)), exc
            tally.add(verdict)
            if verdict.hindrance is not None:
                raise refused(verdict.hindrance, self._server.place)
            if not verdict.again:
                return
            if verdict.why is not None:
                trouble = refused(verdict.why, self._server.place)
            attempts_left = _ATTEMPTS if len(verdict.again) < len(actions) else attempts_left - 1
            if attempts_left == 0 and trouble is not None:
                raise trouble
            actions = verdict.again
            self._wait(next(delays))

    def _request(self, actions: Sequence[Action]) -> Verdict:
        body = b"".join(action.body for action in actions)
        # The server must say what it could not take in time before we stop listening.
        patience = f"{max(1, int(self._server.place.timeout_s / 2))}s"
        text = self._server.ask("POST", "/_bulk", body, filter_path=_ANSWER, timeout=patience)
        answer = self._server.decode(text, BULK_ANSWER)
        try:
            return read_answer(actions, answer)
        except ValueError as exc:
            raise StoreAwayError(
                f"{self._server.place} answered {len(answer.items)} lines of {len(actions)}; all are to be sent again"
            ) from exc


def open_sink(
    url: str,
    prefix: str,
    *,
    user: str | None = None,
    password: str | None = None,
    ca_file: Path | None = None,
    timeout_s: float = 30.0,
) -> OpensearchSink:
    """Give the sink at an address; nothing is sent yet.

    Raises:
        StoreError: an address, certificate or user that cannot be used at all.
    """
    return OpensearchSink(open_server(url, user=user, password=password, ca_file=ca_file, timeout_s=timeout_s), prefix)
