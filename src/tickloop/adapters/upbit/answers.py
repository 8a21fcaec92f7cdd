"""REST answers as typed values: how they are read."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from tickloop.adapters.upbit.simple import BAD_JSON
from tickloop.errors import ExchangeError

_Row = TypeVar("_Row")


def decode(body: bytes, form: type[_Row], what: str) -> _Row:
    """Read an answer; `ExchangeError` names the request, the field and what would be valid."""
    try:
        return msgspec.json.decode(body, type=form)
    except BAD_JSON as exc:
        raise ExchangeError(f"the answer to {what} is not as documented: {exc}") from exc
