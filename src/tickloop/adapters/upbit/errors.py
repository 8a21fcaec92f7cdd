"""Answers and failures of Upbit in our own words: the one place that decides what may be repeated."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tickloop.adapters.upbit.events import ExchangeErrorEvent
from tickloop.errors import (
    AuthError,
    BadRequestError,
    ExchangeError,
    RejectedError,
    RetryableError,
    UnknownOutcomeError,
)

NOT_FOUND = 404
LOCKED_OUT = 418
TOO_MANY = (429, LOCKED_OUT)
"""429: over the limit of this second. 418: went on regardless, and is locked out for a while."""

_TIMED_OUT = 408
_SERVER = 500
_LOCKED_OUT_S = 60.0  # the time of a 418 is not documented; it grows on repetition

_BAD_REQUEST, _UNAUTHORIZED = 400, 401

_AUTH_NAMES = frozenset(
    {
        "out_of_scope",  # comes with 401 or 403, depending on the area
        "jwt_verification",
        "invalid_access_key",
        "expired_access_key",
        "no_authorization_ip",
        "no_authorization_i_p",
        "no_authorization_token",
        "thirdparty_agreement_required",
    }
)
"""The key may not do this, or not from here: a person must act."""

_BUG_NAMES = frozenset(
    {
        "invalid_query_payload",
        "nonce_used",
        "invalid_parameter",
        "validation_error",
        "bad_request",
        "query_parameter_not_supported",
        "create_bid_error",
        "create_ask_error",
        "invalid_time_in_force",
        "invalid_post_only",
        "invalid_price_bid",
        "invalid_price_ask",
        "invalid_volume_bid",
        "invalid_volume_ask",
    }
)
"""We sent what the exchange cannot read or its rules exclude: the request was not carried out."""

_CAME_TWICE = frozenset({"duplicated_identifier", "nonce_used"})
"""An order of this id arrived or failed before; a nonce is used once, so this request itself came before."""

LIMITED = "too_many_requests"

_BUG_MESSAGES = ("Missing request parameter error", "Invalid parameter", "Type mismatch error")
"""Quotation errors have a number for a name; these texts tell that the request itself was wrong."""

# Refusals on the socket that go away by themselves; all others mean that our request is wrong.
_PASSING = ("TOO_MANY_REQUEST",)


class _ErrorBody(msgspec.Struct, frozen=True):
    name: str | int = ""
    message: str = ""


class _ErrorAnswer(msgspec.Struct, frozen=True):
    error: _ErrorBody


def error_of(status: int, body: bytes, headers: Mapping[str, str]) -> ExchangeError:
    """Translate an answer that is not a success.

    Source: Upbit developer centre, errors and rate limits; 429 and 418 may come as JSON or as plain text.
    """
    name, message = _read_error(status, body)
    if status in TOO_MANY:
        wait_s = 1.0 if status == TOO_MANY[0] else _LOCKED_OUT_S
        return RetryableError(f"the exchange limits requests ({status}): {message}", _retry_after(headers, wait_s))
    if status >= _SERVER or status == _TIMED_OUT:
        return RetryableError(f"the exchange failed ({status} {name}): {message}", _retry_after(headers, 1.0))
    is_bug = name.lower() in _BUG_NAMES or (status == _BAD_REQUEST and message.startswith(_BUG_MESSAGES))
    if name in _AUTH_NAMES or (status == _UNAUTHORIZED and not is_bug):
        return AuthError(f"the exchange does not accept the API key: {name} ({status}): {message}")
    if is_bug:
        return BadRequestError(name, message, status)
    return RejectedError(name, message, status)


def error_of_sent(status: int, body: bytes, headers: Mapping[str, str], what: str) -> ExchangeError:
    """Translate an answer, not a success, to what changes something.

    Only a clear refusal says that nothing was done; 429 and 418 refuse before the exchange looks at the request.

    Args:
        what: names the request in the message.
    """
    error = error_of(status, body, headers)
    if status in TOO_MANY:
        return RejectedError(LIMITED, str(error), status)
    is_refusal = _BAD_REQUEST <= status < _SERVER and not isinstance(error, RetryableError)
    if not is_refusal or (isinstance(error, RejectedError) and error.name in _CAME_TWICE):
        return lost(what, str(error))
    return error


def lost(what: str, why: str) -> UnknownOutcomeError:
    return UnknownOutcomeError(f"{what}: the answer was lost ({why}); ask what became of it, do not send it again")


def socket_error_of(event: ExchangeErrorEvent) -> ExchangeError:
    """Translate an error object that came on the socket."""
    if event.name in _PASSING:
        return RetryableError(f"the exchange refused a message on the socket: {event.name}: {event.message}")
    if event.name == "INVALID_AUTH":
        return AuthError(f"the exchange does not accept the API key: {event.name}: {event.message}")
    return RejectedError(event.name, event.message, 400)


def _read_error(status: int, body: bytes) -> tuple[str, str]:
    try:
        error = msgspec.json.decode(body, type=_ErrorAnswer).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return str(status), body[:200].decode(errors="replace").strip() or "no message"
    return str(error.name), error.message


def _retry_after(headers: Mapping[str, str], default_s: float) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else default_s
