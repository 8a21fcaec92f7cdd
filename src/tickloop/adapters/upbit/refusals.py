"""Refusals and losses of a connection, in our own words: what stops a feed, and what it tries again."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence

from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from tickloop.adapters.upbit.errors import LOCKED_OUT, error_of
from tickloop.adapters.upbit.events import ExchangeErrorEvent, StatusEvent
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.errors import CorruptLineError, ExchangeError, RetryableError

_NOTICE = re.compile(rb'[\s\[]*\{\s*"(?:error|status)"')


def process_exception(exc: Exception) -> ExchangeError | None:
    """Give None when connecting again may help, else the error to stop with."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return ExchangeError(f"the exchange's certificate is not valid: {exc}")
    if isinstance(exc, InvalidStatus):
        error = _refused(exc)
        return None if isinstance(error, RetryableError) else error
    if isinstance(exc, InvalidMessage) and isinstance(exc.__cause__, EOFError):
        return None
    if isinstance(exc, OSError | ConnectionClosed | RetryableError):
        return None
    return ExchangeError(f"the address does not answer as the exchange's WebSocket does: {exc}")


def sift(batch: Sequence[bytes]) -> tuple[list[bytes], ExchangeErrorEvent | None]:
    """Give the messages that are data, statuses left out, up to the first error object, and that error.

    An error never passes for data; what cannot be read does: the consumer's dead letter takes it.
    """
    data: list[bytes] = []
    for raw in batch:
        notice = _notice_of(raw) if _NOTICE.match(raw) else None
        if isinstance(notice, ExchangeErrorEvent):
            return data, notice
        if notice is None:
            data.append(raw)
    return data, None


def _notice_of(raw: bytes) -> StatusEvent | ExchangeErrorEvent | None:
    try:
        event = parse_frame(raw)
    except CorruptLineError:
        return None
    return event if isinstance(event, StatusEvent | ExchangeErrorEvent) else None


def _refused(exc: InvalidStatus) -> ExchangeError:
    answer = exc.response
    return error_of(answer.status_code, bytes(answer.body or b""), answer.headers)


def asked_to_wait_s(exc: Exception) -> float:
    """Give the time that a refused handshake names, or that a lock-out takes; 0 when neither is said."""
    if not isinstance(exc, InvalidStatus):
        return 0.0
    error = _refused(exc)
    is_said = "Retry-After" in exc.response.headers or exc.response.status_code == LOCKED_OUT
    return error.retry_after_s if is_said and isinstance(error, RetryableError) else 0.0
