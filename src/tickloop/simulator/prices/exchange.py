"""All markets of an exchange, as of a moment: nothing later than that moment is ever shown."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property

from tickloop.domain.market import Side
from tickloop.errors import UnknownMarketError
from tickloop.simulator.prices.days import RecordedMarkets, TradeSource
from tickloop.simulator.prices.gaps import Gap
from tickloop.simulator.prices.generator import GeneratedMarkets
from tickloop.simulator.prices.market import SimulatedMarket, StreamEvent
from tickloop.simulator.prices.prints import Printed
from tickloop.simulator.prices.recording import Recording
from tickloop.simulator.prices.seeded import IDS_PER_MS
from tickloop.simulator.prices.tape import Tape
from tickloop.simulator.prices.upcoming import Upcoming

_LAST = "\x7f"  # after every code


class SimulatedExchange:
    """All markets of one recording, under one seed.

    Attributes:
        start_ms: when the first market's recording begins.
        end_ms: exclusive, when the last one's ends.
    """

    def __init__(self, source: Recording | TradeSource, seed: int, gaps: Sequence[Gap] = ()) -> None:
        self._source: TradeSource = RecordedMarkets(source) if isinstance(source, Recording) else source
        self._seed = seed
        self.told_until_ms = 0  # the stream has told all that happened until then
        self.gaps = tuple(gaps)
        self._markets = {
            market: SimulatedMarket(
                self._source.days(market, seed), seed, [gap for gap in self.gaps if gap.market == market]
            )
            for market in self._source.markets
        }
        self._upcoming = Upcoming(self._markets)
        self._ends = sorted((market.end_ms, code) for code, market in self._markets.items())
        self.start_ms = min(market.start_ms for market in self._markets.values())
        self.end_ms = max(market.end_ms for market in self._markets.values())

    def with_gaps(self, gaps: Sequence[Gap]) -> SimulatedExchange:
        """Give the same exchange with these gaps: the trades made do not change, only who is told of them."""
        return SimulatedExchange(self._source, self._seed, gaps)

    def on_offer(self, now_ms: int) -> tuple[str, ...]:
        """Give the markets that can be asked for."""
        return tuple(code for code in self.markets if self.is_on_offer(code, now_ms))

    def is_on_offer(self, code: str, now_ms: int) -> bool:
        """Tell whether a market can be asked for: one with a span of its own is not there before and after it.

        That of a recording stays readable after its end, so that its last hours can be verified.
        """
        spans = self._source.spans if isinstance(self._source, GeneratedMarkets) else {}
        return code not in spans or spans[code][0] <= now_ms < spans[code][1]

    @property
    def prints_fills(self) -> bool:
        """Whether a client's fills are trades that everybody sees; those of a recording are its own alone."""
        return isinstance(self._source, GeneratedMarkets)

    def print_trade(self, market: str, price: float, qty_e8: int, side: Side, ts_ms: int) -> int:
        """Print a client's fill as a trade and give its id; where the stream is past its moment, right after that."""
        assert isinstance(self._source, GeneratedMarkets), "only made markets print fills"
        at_ms = max(ts_ms, self.told_until_ms + 1)
        found = self.market(market)
        trade_id = at_ms * IDS_PER_MS + len(found.made(at_ms, at_ms + 1))
        self._source.print_trade(Printed(market, at_ms, trade_id, price, qty_e8, side))
        found.forget_upcoming()
        self._upcoming.forget()
        return trade_id

    def withhold(self, gap: Gap) -> None:
        """Add a gap while the market runs; it must not begin before what the stream has told."""
        self.gaps += (gap,)
        self.market(gap.market).withhold(gap)
        self._upcoming.forget()

    def warm(self, now_ms: int) -> None:
        """Make what the first questions at a moment need, so that no client waits for it."""
        for market in self._markets.values():
            market.ticker(now_ms)
        self.next_trade_ms(now_ms)

    @cached_property
    def _order(self) -> dict[str, int]:
        return {code: place for place, code in enumerate(self._markets)}

    @cached_property
    def markets(self) -> tuple[str, ...]:
        """Give the codes, the most recorded market first."""
        return tuple(self._markets)

    def market(self, code: str) -> SimulatedMarket:
        """Give one market.

        Raises:
            UnknownMarketError: if the recording has none of that code.
        """
        if code not in self._markets:
            raise UnknownMarketError(code, self.markets)
        return self._markets[code]

    def made(self, market: str, start_ms: int, end_ms: int) -> Tape:
        """Give all trades of a market in `[start_ms, end_ms)` within one UTC day, told or not."""
        return self.market(market).made(start_ms, end_ms)

    def stream_between(self, after_ms: int, until_ms: int, markets: Iterable[str] | None = None) -> list[StreamEvent]:
        """Give what the stream tells of some or all markets in `(after_ms, until_ms]`, by time, then market."""
        due = self._upcoming.due(after_ms, until_ms)
        if markets is not None:
            due &= set(markets)
        told = [
            event
            for code in sorted(due, key=self._order.__getitem__)
            for event in self._markets[code].stream_between(after_ms, until_ms)
        ]
        return sorted(told, key=lambda event: event.ts_ms)

    def next_trade_ms(self, after_ms: int) -> int | None:
        """Give the time of the next trade that the stream tells, of any market; None when it tells no more."""
        return self._upcoming.next_ms(after_ms)

    def ended_between(self, after_ms: int, until_ms: int) -> list[str]:
        """Give the markets that ended in `(after_ms, until_ms]`, by time."""
        first = bisect_right(self._ends, (after_ms, _LAST))
        return [code for _, code in self._ends[first : bisect_right(self._ends, (until_ms, _LAST))]]

    def next_end_ms(self, after_ms: int) -> int | None:
        """Give when the next market ends after a moment; None when none does."""
        place = bisect_right(self._ends, (after_ms, _LAST))
        return self._ends[place][0] if place < len(self._ends) else None
