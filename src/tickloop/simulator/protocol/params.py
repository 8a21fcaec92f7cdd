"""Request parameters in every form that real clients send them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tickloop.domain.window import DAY_MS, to_ms
from tickloop.simulator.refusal import INVALID_PARAMETER, MISSING_PARAMETER, TYPE_MISMATCH, public_refusal

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})?")
_EPOCH_MS = re.compile(r"[0-9]{1,15}")
_TIME_OF_DAY = re.compile(r"(\d{2}):?(\d{2}):?(\d{2})")


@dataclass(frozen=True)
class Call:
    """One request as an endpoint sees it.

    Attributes:
        now_ms: market time of its acceptance; the answer shows nothing later.
        body: as received; only the placement of an order looks at it.
    """

    params: Params
    now_ms: int
    body: bytes = b""


class Params:
    """Names and values in the order they came; a name may repeat."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str | None:
        """Give the first value; None when absent or empty."""
        values = self._values.get(name)
        return (values[0] or None) if values else None

    def texts(self, name: str) -> list[str]:
        """Give all values of `name` and `name[]`, comma lists taken apart."""
        values = [*self._values.get(name, ()), *self._values.get(f"{name}[]", ())]
        return [part for value in values for part in value.split(",") if part]

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise public_refusal(400, MISSING_PARAMETER)
        return value

    def required_list(self, name: str) -> list[str]:
        values = self.texts(name)
        if not values:
            raise public_refusal(400, MISSING_PARAMETER)
        return values

    def number(self, name: str, default: int, least: int, greatest: int) -> int:
        """Give a whole number of at least `least`; more than `greatest` is clipped without a word, as live."""
        text = self.text(name)
        if text is None:
            return default
        value = _whole(text)
        if value < least:
            raise public_refusal(400, INVALID_PARAMETER)
        return min(value, greatest)

    def flag(self, *names: str) -> bool:
        return any((self.text(name) or "").lower() == "true" for name in names)

    def moment(self, name: str) -> int | None:
        """Give a moment in epoch ms from `Z`, `.000Z`, offset, space or naive form; naive is UTC."""
        text = self.text(name)
        if text is None:
            return None
        if _MOMENT.fullmatch(text) is None:
            raise public_refusal(400, INVALID_PARAMETER)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as exc:
            raise public_refusal(400, INVALID_PARAMETER) from exc
        return to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))

    def moment_or_ms(self, name: str) -> int | None:
        """Give a moment in epoch ms from one of those forms or from epoch ms."""
        text = self.text(name)
        return int(text) if text is not None and _EPOCH_MS.fullmatch(text) else self.moment(name)

    def time_of_day(self, name: str) -> int | None:
        """Give ms since midnight from `HHmmss` or `HH:mm:ss`."""
        text = self.text(name)
        if text is None:
            return None
        match = _TIME_OF_DAY.fullmatch(text)
        hours, minutes, seconds = (int(part) for part in match.groups()) if match else (24, 0, 0)
        in_day = ((hours * 60 + minutes) * 60 + seconds) * 1000
        if in_day >= DAY_MS or minutes > 59 or seconds > 59:
            raise public_refusal(400, INVALID_PARAMETER)
        return in_day

    def states(self, valid: Sequence[str], default: Sequence[str]) -> Sequence[str] | None:
        """Give `state` or `states[]`; None when one is not valid."""
        wanted = [*self.texts("state"), *self.texts("states")] or list(default)
        return wanted if set(wanted) <= set(valid) else None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        raise public_refusal(400, TYPE_MISMATCH) from exc
