"""Orders for trouble: read from a command line, checked, put on the board, and begun."""

from __future__ import annotations

import msgspec

from tickloop.simulator.clock import MarketClock
from tickloop.simulator.control.gapfile import GapFile
from tickloop.simulator.faults.board import KINDS, Fault, FaultBoard
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.prices.gaps import Gap
from tickloop.simulator.protocol.stream import Hub

_FIELDS = ", ".join(Fault.__struct_fields__)


class FaultOrders:
    """The one way a fault gets onto the board of a running simulator."""

    def __init__(
        self, board: FaultBoard, exchange: SimulatedExchange, hub: Hub, clock: MarketClock, gaps: GapFile
    ) -> None:
        self._board = board
        self._exchange = exchange
        self._hub = hub
        self._clock = clock
        self._gaps = gaps

    def order(self, fault: Fault) -> int:
        """Put a fault on the board and give its number; a gap begins, and a drop strikes, at once.

        Raises:
            ValueError: naming the field, its value and what would be valid.
            HomeNotWritableError: a gap cannot be remembered; nothing was ordered.
        """
        if fault.market and fault.market not in self._exchange.markets:
            raise ValueError(f"market {fault.market!r}; valid: {', '.join(self._exchange.markets)}")
        if fault.kind == "gap" and not fault.for_ms:
            raise ValueError("for_ms 0 of a gap; valid: 1 or more, the market ms that it lasts")
        now_ms = self._clock.now_ms()
        if fault.kind == "gap":
            self._withhold(fault, now_ms)
        number = self._board.add(fault, now_ms)
        self._hub.on_fault(fault)
        return number

    def _withhold(self, fault: Fault, now_ms: int) -> None:
        self._hub.advance(now_ms)  # what happened until now was told
        markets = (fault.market,) if fault.market else self._exchange.markets
        start_ms = now_ms + 1
        gaps = tuple(Gap(market, start_ms, start_ms + fault.for_ms, fault.is_refused_by_rest) for market in markets)
        self._gaps.add(gaps)
        for gap in gaps:
            self._exchange.withhold(gap)


def fault_of_text(text: str) -> Fault:
    """Read a fault of the command line, such as `kind=rate_limited,path=/v1/orders,count=2`.

    Raises:
        ValueError: naming the field, its value and what would be valid.
    """
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, is_given, value = part.strip().partition("=")
        if not is_given or not name:
            raise ValueError(f"fault {text!r}: {part.strip()!r} is not of the form name=value; valid names: {_FIELDS}")
        fields[name] = value
    try:
        return msgspec.convert(fields, Fault, strict=False)
    except msgspec.ValidationError as exc:
        raise ValueError(f"fault {text!r}: {exc}; {_valid(str(exc))}") from exc


def fault_of_json(body: bytes) -> Fault:
    """Read a fault of the control endpoint.

    Raises:
        ValueError: naming the field, its value and what would be valid.
    """
    try:
        return msgspec.json.decode(body, type=Fault)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"{exc}; {_valid(str(exc))}") from exc


def _valid(problem: str) -> str:
    return f"valid kinds: {', '.join(KINDS)}" if "$.kind" in problem else f"valid names: {_FIELDS}"
