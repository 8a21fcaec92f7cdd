"""What OpenSearch and its client say, in our words: which server, which setting, and the remedy. Never a password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opensearchpy.exceptions import ConnectionError as NoConnectionError
from opensearchpy.exceptions import ConnectionTimeout, OpenSearchException, SSLError, TransportError

from tickloop.errors import StoreAwayError, StoreError

BLOCKED = "cluster_block_exception"
_PIT_GONE = "search_context_missing_exception"

_UNAUTHORIZED, _FORBIDDEN, _TOO_LARGE, _TOO_MANY, _SERVER_FAULT = 401, 403, 413, 429, 500

_SHOWN = 300  # characters of a reason
_DISK = ("flood-stage watermark", "read-only-allow-delete", "read_only_allow_delete")
_WRONG_CERTIFICATE = ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed", "doesn't match")
_NO_TLS = ("WRONG_VERSION_NUMBER", "wrong version number", "HTTP_REQUEST", "record layer failure")

_NO_TEMPLATE = (
    "the index was made without our template: `tickloop ship --once` puts it; then delete the index and deliver the "
    "journal of its day again, or reindex it into a new one"
)
_REMEDIES = {
    "fielddata": _NO_TEMPLATE,
    "No mapping found": _NO_TEMPLATE,
    "index_not_found": "valid there: action.auto_create_index that takes the indices of opensearch.index_prefix",
    "maximum": "raise cluster.max_shards_per_node there, or lower opensearch.keep_days",
    "overlapping": "delete that template, or set another opensearch.index_prefix",
}
"""What stands in a refusal -> what to do."""


class OverloadedError(StoreAwayError):
    """The server is there and cannot take this now."""


@dataclass(frozen=True)
class Place:
    """Where a server is, for messages."""

    url: str
    user: str | None = None
    timeout_s: float = 30.0

    def __str__(self) -> str:
        return f"OpenSearch at {self.url}"


@dataclass(frozen=True)
class Problem:
    """What a server says of a request, or of one document of it."""

    status: int
    kind: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.kind} ({self.status}): {self.reason[:_SHOWN]}"
            if self.kind
            else f"{self.status} {self.reason}".strip()
        )


def refusal(exc: OpenSearchException, place: Place) -> StoreError:
    """Translate what the client raises: the one place where that is decided."""
    if isinstance(exc, SSLError):
        return _tls(str(exc.info), place)
    if isinstance(exc, ConnectionTimeout):
        return StoreAwayError(
            f"{place} gave no answer within {place.timeout_s:g} s (opensearch.timeout_s); it is overloaded or away: "
            "try again later"
        )
    if isinstance(exc, NoConnectionError):
        return _unreachable(str(exc.info), place)
    if isinstance(exc, TransportError):
        return refused(problem_of(exc.status_code, exc.info), place)
    return StoreError(f"{place} (opensearch.url): the client cannot make sense of the answer: {exc}")


def refused(problem: Problem, place: Place) -> StoreError:
    """Give the error for a problem that is not the fault of one document."""
    status, user = problem.status, "nobody" if place.user is None else repr(place.user)
    if problem.kind == BLOCKED:
        return blocked(problem, place)
    if status == _UNAUTHORIZED:
        return StoreError(
            f"{place} does not let {user} in (401): opensearch.user and opensearch.password are wrong or not set; "
            "valid: a user of that server"
        )
    if status == _FORBIDDEN:
        return StoreError(
            f"{place} forbids this to {user} (opensearch.user): {problem}; valid: a user who may write and read the "
            "indices of opensearch.index_prefix and put their template"
        )
    if problem.kind == _PIT_GONE or "No search context" in problem.reason:
        return StoreAwayError(f"{place} was started anew, or took minutes to be asked on: {problem}; read again")
    if status == _TOO_MANY or status >= _SERVER_FAULT:
        return OverloadedError(f"{place} is overloaded or not ready: {problem}; it may take the same later")
    if status == _TOO_LARGE:
        return StoreError(
            f"{place} takes no request of this size; valid there: http.max_content_length of 10mb and more"
        )
    if not problem.kind:
        return stranger(problem, place)
    return StoreError(f"{place} refused: {problem}{_remedy(problem)}")


def stranger(problem: Problem, place: Place) -> StoreError:
    """Give the error for a refusal in another form than OpenSearch's."""
    return StoreError(
        f"{place} (opensearch.url) does not answer as OpenSearch does: {problem}; valid: the address of an OpenSearch"
    )


def blocked(problem: Problem, place: Place) -> StoreError:
    """Tell a full disk, which the server unlocks by itself, from a lock that somebody has set."""
    if any(sign in problem.reason for sign in _DISK):
        return StoreAwayError(
            f"{place}: its disk is too full and its indices are read-only: {problem}; make room there or lower "
            "opensearch.keep_days: the server takes data again by itself"
        )
    return StoreError(
        f"{place}: the index is locked: {problem}; remedy: PUT INDEX/_settings "
        '{"index.blocks.write": null, "index.blocks.read_only": null}'
    )


def problem_of(status: Any, info: Any) -> Problem:
    """Read status and body of a refusal; a body of another form is quoted."""
    number = status if isinstance(status, int) else 0
    error = info.get("error") if isinstance(info, Mapping) else None
    if not isinstance(error, Mapping):
        return Problem(number, "", str(error or info or "")[:_SHOWN])
    cause = error.get("caused_by") or (error.get("root_cause") or [{}])[0]
    reasons = [str(error.get("reason") or ""), str(cause.get("reason") or "") if isinstance(cause, Mapping) else ""]
    return Problem(number, str(error.get("type") or ""), ": ".join(dict.fromkeys(filter(None, reasons))))


def not_understood(place: Place, text: str, exc: Exception) -> StoreError:
    return StoreError(f"{place} (opensearch.url) does not answer as OpenSearch does: {text[:120]!r} ({exc})")


def _remedy(problem: Problem) -> str:
    return next((f"; {remedy}" for sign, remedy in _REMEDIES.items() if sign in f"{problem.kind} {problem.reason}"), "")


def _tls(cause: str, place: Place) -> StoreError:
    if any(sign in cause for sign in _NO_TLS):
        return StoreError(f"{place} (opensearch.url) speaks no TLS: {cause}; valid there: http://")
    if any(sign in cause for sign in _WRONG_CERTIFICATE):
        return StoreError(
            f"{place} shows a certificate that is not trusted: {cause}; valid: opensearch.ca_file with the certificate "
            "of the authority that signed it, and the name of the server in opensearch.url as the certificate has it"
        )
    return StoreAwayError(f"{place} ended the TLS connection: {cause}; see opensearch.ca_file when it goes on")


def _unreachable(cause: str, place: Place) -> StoreError:
    hint = (
        "; an https server may stand there" if "RemoteDisconnected" in cause and place.url.startswith("http:") else ""
    )
    return StoreAwayError(
        f"{place} (opensearch.url) cannot be reached: {cause}{hint}; valid: the address of a server that runs"
    )
