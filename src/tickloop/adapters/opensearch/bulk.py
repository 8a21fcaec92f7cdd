"""Requests that store lines, and what the server says of each line. Pure: bytes and values only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

import msgspec

from tickloop.adapters.common.stored_line import check_integers, read_trade, trade_doc_id
from tickloop.adapters.opensearch.errors import BLOCKED, Problem
from tickloop.adapters.opensearch.names import index_of
from tickloop.adapters.opensearch.template import drift_of
from tickloop.adapters.upbit.parse import BAD_JSON
from tickloop.errors import CorruptLineError

MOST_BYTES = 8_000_000
"""Of one request."""

_CREATED, _KNOWN, _BAD_DOCUMENT, _TOO_MANY, _SERVER_FAULT = (200, 201), 409, 400, 429, 500

# 400 too, but all documents would meet it: no index could be made for them.
_NOT_OF_THE_DOCUMENT = frozenset(
    {"validation_exception", "invalid_index_name_exception", "index_template_missing_exception"}
)

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z")
_DOC_ID = re.compile(r"[!-~]{1,512}")  # what the server takes as `_id`, and nothing to escape but `\` and `"`
_DIGITS = bytes(ord("0") if chr(code).isdigit() else ord(" ") for code in range(128)) + b" " * 128
_LONG = b"0" * 20  # no integer with fewer digits is above 2^64 - 1
_SHOWN = 120


@dataclass(frozen=True)
class Action:
    """One line on its way.

    Attributes:
        position: of the line among those that were handed over.
        index: where it goes.
        body: its two lines of the request.
        drift: names of fields that the template does not know.
    """

    position: int
    index: str
    body: bytes
    drift: Sequence[str] = ()


def action_of(line: bytes, position: int, prefix: str) -> Action:
    """Make the request for one line of the journal, with or without its line break.

    Raises:
        CorruptLineError: the server could not store it, or would not find it again: no object, without `doc_id` or
            `@timestamp`, a trade without one of its values, or under the `doc_id` of another.
    """
    fields = _decode(line)
    doc_id, moment = _text(fields, "doc_id", _DOC_ID), _text(fields, "@timestamp", _MOMENT)
    if fields.get("type") == "trade":
        _check_trade(line, fields, doc_id)
    if line.translate(_DIGITS).rfind(_LONG) >= 0:  # an expression would take ten times as long
        check_integers(fields, "line")
    if not _is_day(moment[:10]):
        raise CorruptLineError(f"line with @timestamp = {moment!r}; valid: a day of the calendar")
    index = index_of(prefix, moment)
    head = msgspec.json.encode({"create": {"_index": index, "_id": doc_id}})
    # A line break inside would end the document, and one that is missing at the end fails the whole request.
    return Action(position, index, b"%b\n%b\n" % (head, line.strip().replace(b"\n", b" ")), drift_of(fields))


def parts_of(actions: Sequence[Action], most_bytes: int = MOST_BYTES) -> Iterator[Sequence[Action]]:
    """Cut into requests of at most so many bytes; a line that is longer goes alone."""
    start = size = 0
    for place, action in enumerate(actions):
        if size + len(action.body) > most_bytes and place > start:
            yield actions[start:place]
            start, size = place, 0
        size += len(action.body)
    if start < len(actions):
        yield actions[start:]


@dataclass
class Verdict:
    """What became of the lines of one request.

    Attributes:
        created, known: lines stored now, and those that were there.
        drift: name of a field that the template does not know -> lines with it that were stored now.
        refused: position -> why it can never be stored.
        again: what the server could not take now.
        why: what it said of the last of those.
        hindrance: why nothing can be stored until somebody mends it, if so.
    """

    created: int = 0
    known: int = 0
    drift: Counter[str] = field(default_factory=Counter)
    refused: dict[int, str] = field(default_factory=dict)
    again: list[Action] = field(default_factory=list)
    why: Problem | None = None
    hindrance: Problem | None = None


class _Cause(msgspec.Struct):
    reason: str | None = None


class _Error(msgspec.Struct):
    type: str = ""
    reason: str | None = None
    caused_by: _Cause | None = None


class ItemAnswer(msgspec.Struct):
    status: int
    error: _Error | None = None

    @property
    def problem(self) -> Problem:
        error = self.error or _Error()
        cause = error.caused_by.reason if error.caused_by is not None else None
        return Problem(self.status, error.type, ": ".join(filter(None, (error.reason, cause))))


class BulkAnswer(msgspec.Struct):
    errors: bool
    items: list[dict[str, ItemAnswer]]


BULK_ANSWER = msgspec.json.Decoder(BulkAnswer)


def read_answer(actions: Sequence[Action], answer: BulkAnswer) -> Verdict:
    """Read the answer item by item.

    201 is stored, 409 was stored before, 400 can never be stored; 429 and 5xx are to be sent again. A lock, a lack of
    rights and what else is not the document's fault hinders all.

    Raises:
        ValueError: the answer has another number of items than the request.
    """
    verdict = Verdict()
    for action, item in zip(actions, answer.items, strict=True):
        said = item["create"]
        if said.status in _CREATED:
            verdict.created += 1
            if action.drift:
                verdict.drift.update(action.drift)
        elif said.status == _KNOWN:
            verdict.known += 1
        else:
            _note(verdict, action, said.problem)
    return verdict


def _note(verdict: Verdict, action: Action, problem: Problem) -> None:
    """Put a line that was not stored where it belongs."""
    is_blocked = problem.kind == BLOCKED
    if not is_blocked and (problem.status == _TOO_MANY or problem.status >= _SERVER_FAULT):
        verdict.again.append(action)
        verdict.why = problem
    elif problem.status == _BAD_DOCUMENT and problem.kind not in _NOT_OF_THE_DOCUMENT:
        verdict.refused[action.position] = f"OpenSearch refused the document: {problem}"
    else:
        verdict.hindrance = problem


def _decode(line: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(line)
    except BAD_JSON as exc:
        raise CorruptLineError(f"line {line[:_SHOWN]!r} is no JSON: {exc}; valid: a line of the journal") from exc
    if not isinstance(fields, dict):
        raise CorruptLineError(f"line {line[:_SHOWN]!r} is no object; valid: a line of the journal")
    return fields


@lru_cache(maxsize=64)
def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _text(fields: dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise CorruptLineError(f"line with {name} = {value!r:.{_SHOWN}}; valid: as the journal writes it")
    return value


def _check_trade(line: bytes, fields: dict[str, Any], doc_id: str) -> None:
    trade = read_trade(line, str(fields.get("code")))
    valid = trade_doc_id(trade.code, trade.sequential_id).decode()
    if doc_id != valid:
        raise CorruptLineError(f"line of a trade with doc_id = {doc_id!r}; valid: {valid!r}")
