"""REST of the private side: parameters in, JSON values out; who asks has been checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tickloop.domain.rules import EVER
from tickloop.domain.window import DAY_MS
from tickloop.simulator.account.desk import Desk
from tickloop.simulator.account.order import ASK, BID, OpenFilter
from tickloop.simulator.protocol.params import Call, Params
from tickloop.simulator.refusal import RefusedError, order_refusal

MAX_OPEN = 100
MAX_CLOSED = 1_000
CLOSED_SPAN_MS = 7 * DAY_MS
MAX_NAMED = 100
MAX_CANCELLED = 20
MAX_CANCELLED_OPEN = 300

_SIDES = {"all": frozenset({BID, ASK}), "bid": frozenset({BID}), "ask": frozenset({ASK})}


class PrivateSide:
    """One method per endpoint, as in `PublicSide`, with names of errors that are strings."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def accounts(self, _call: Call) -> list[dict[str, str | bool]]:
        return self._desk.balances()

    def chance(self, call: Call) -> dict[str, Any]:
        market = call.params.text("market")
        if market is None:
            raise order_refusal("validation_error", "market is missing.")
        return self._desk.chance(market, call.now_ms)

    def place(self, call: Call) -> dict[str, Any]:
        return self._desk.place(_fields(call), call.now_ms)

    def test(self, call: Call) -> dict[str, Any]:
        return self._desk.test(_fields(call), call.now_ms)

    def cancel_and_new(self, call: Call) -> dict[str, Any]:
        return self._desk.cancel_and_new(_fields(call), call.now_ms)

    def cancel_named(self, call: Call) -> dict[str, Any]:
        _refuse_body(call)
        uuids, identifiers = _ids(call.params, MAX_CANCELLED)
        return self._desk.cancel_named(uuids, identifiers, call.now_ms)

    def cancel_open(self, call: Call) -> dict[str, Any]:
        """Cancel open orders by market, quote currency and side."""
        _refuse_body(call)
        params = call.params
        pairs, quotes, excluded = (params.texts(name) for name in ("pairs", "quote_currencies", "excluded_pairs"))
        side = params.text("cancel_side") or "all"
        if (pairs and quotes) or max(len(pairs), len(excluded)) > MAX_CANCELLED or side not in _SIDES:
            raise order_refusal("validation_error", "pairs, quote_currencies, excluded_pairs, cancel_side: not valid.")
        count = _number(params, "count", MAX_CANCELLED, MAX_CANCELLED_OPEN)
        wanted = OpenFilter(
            frozenset(pairs), frozenset(quotes), frozenset(excluded), _SIDES[side], count, _is_newest_first(params)
        )
        return self._desk.cancel_open(wanted, call.now_ms)

    def named_orders(self, call: Call) -> list[dict[str, Any]]:
        uuids, identifiers = _ids(call.params, MAX_NAMED)
        found = self._desk.named(uuids, identifiers, newest_first=_is_newest_first(call.params))
        market = call.params.text("market")
        return [order for order in found if market in (None, order["market"])]

    def legacy_orders(self, call: Call) -> list[dict[str, Any]]:
        """Give orders as the address did that newer ones replace; whether it still answers live is not known."""
        if call.params.texts("uuids") or call.params.texts("identifiers"):
            return self.named_orders(call)
        states = call.params.states(("wait", "watch", "done", "cancel"), ("wait",))
        page, limit = _number(call.params, "page", 1, 1_000_000), _number(call.params, "limit", MAX_OPEN, MAX_OPEN)
        return self._list(call.params, states, 0, EVER, page * limit)[(page - 1) * limit :]

    def order(self, call: Call) -> dict[str, Any]:
        return self._desk.order(call.params.text("uuid"), call.params.text("identifier"))

    def cancel(self, call: Call) -> dict[str, Any]:
        return self._desk.cancel(call.params.text("uuid"), call.params.text("identifier"), call.now_ms)

    def open_orders(self, call: Call) -> list[dict[str, Any]]:
        """Give a page of open orders; `watch` is known and never there: the simulator has no reserved orders."""
        states = call.params.states(("wait", "watch"), ("wait",))
        page, limit = _number(call.params, "page", 1, 1_000_000), _number(call.params, "limit", MAX_OPEN, MAX_OPEN)
        found = self._list(call.params, states, 0, EVER, page * limit)
        return found[(page - 1) * limit :]

    def closed_orders(self, call: Call) -> list[dict[str, Any]]:
        """Give ended orders accepted in a span of at most seven days, the last seven when none is named."""
        states = call.params.states(("done", "cancel"), ("done", "cancel"))
        start_ms, end_ms = _span(call.params, call.now_ms)
        return self._list(call.params, states, start_ms, end_ms, _number(call.params, "limit", 100, MAX_CLOSED))

    def _list(
        self, params: Params, states: Sequence[str] | None, start_ms: int, end_ms: int, limit: int
    ) -> list[dict[str, Any]]:
        if states is None:
            raise order_refusal("validation_error", "state is not one of the valid ones.")
        newest_first = _is_newest_first(params)
        return self._desk.orders(states, params.text("market"), start_ms, end_ms, limit, newest_first=newest_first)


def _fields(call: Call) -> dict[str, Any]:
    try:
        return msgspec.json.decode(call.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise order_refusal("validation_error", "The body is not a JSON object.") from exc


def _refuse_body(call: Call) -> None:
    # The cancel of one order takes a body too: pyupbit sends one, and whether it is refused live is not known.
    if call.body:
        raise order_refusal("QUERY_PARAMETER_NOT_SUPPORTED", "Parameters of this request belong into the query.")


def _ids(params: Params, most: int) -> tuple[list[str], list[str]]:
    uuids, identifiers = params.texts("uuids"), params.texts("identifiers")
    if bool(uuids) == bool(identifiers) or len(uuids) + len(identifiers) > most:
        raise order_refusal("validation_error", f"Give uuids[] or identifiers[], up to {most} of them.")
    return uuids, identifiers


def _is_newest_first(params: Params) -> bool:
    order_by = params.text("order_by") or "desc"
    if order_by not in ("asc", "desc"):
        raise order_refusal("validation_error", f"order_by {order_by} is not asc or desc.")
    return order_by == "desc"


def _span(params: Params, now_ms: int) -> tuple[int, int]:
    try:
        start_ms, end_ms = params.moment_or_ms("start_time"), params.moment_or_ms("end_time")
    except RefusedError as exc:
        raise order_refusal("validation_error", "start_time or end_time is neither ISO 8601 nor epoch ms.") from exc
    if start_ms is None:
        end_ms = now_ms + 1 if end_ms is None else end_ms
        return end_ms - CLOSED_SPAN_MS, end_ms
    if end_ms is None:
        return start_ms, start_ms + CLOSED_SPAN_MS
    if not 0 <= end_ms - start_ms <= CLOSED_SPAN_MS:
        raise order_refusal("validation_error", "start_time to end_time is not a span of up to 7 days.")
    return start_ms, end_ms


def _number(params: Params, name: str, default: int, greatest: int) -> int:
    try:
        return params.number(name, default, 1, greatest)
    except RefusedError as exc:
        raise order_refusal("validation_error", f"{name} is not a whole number above 0.") from exc
