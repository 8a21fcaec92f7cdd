"""The list of collected markets follows what is on offer, and survives looks that fail."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from fakes import START_MS, FakeMarketData, FixedClock
from tickloop.domain.universe import Span, noted
from tickloop.errors import HomeNotWritableError, RetryableError
from tickloop.ports import MarketLog
from tickloop.services.universe import ListChanged, MarketWatch, Universe, choose

OWN = ("KRW-BTC", "KRW-ETH")


@pytest.mark.parametrize(
    ("mode", "on_offer", "expected"),
    [
        ("markets", ["KRW-ETH", "KRW-BTC", "KRW-XRP"], OWN),
        ("markets", ["KRW-ETH"], ("KRW-ETH",)),
        ("krw", ["KRW-XRP", "BTC-ETH", "KRW-ADA", "KRW-BTC"], ("KRW-BTC", "KRW-ADA", "KRW-XRP")),
        ("krw", [], ()),
    ],
)
def test_markets_are_our_own_first_and_only_those_on_offer(
    mode: Universe, on_offer: list[str], expected: tuple[str, ...]
) -> None:
    """`krw` adds every other one quoted in KRW."""
    assert choose(mode, OWN, on_offer) == expected


class Exchange(FakeMarketData):
    """Gives one list after the other, the last one again and again; an exception in it is raised."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        super().__init__()
        self.answers = list(answers)
        self.looks = 0

    def markets(self) -> list[str]:
        answer = self.answers[min(self.looks, len(self.answers) - 1)]
        self.looks += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


class HastyClock(FixedClock):
    """Waiting moves it on."""

    def real_seconds_until(self, ts_ms: int) -> float:
        self.set(ts_ms)
        return 0.0


async def watched(
    exchange: Exchange, mode: Universe, log: MarketLog | None = None
) -> tuple[list[ListChanged], MarketWatch]:
    """Run a watch until it has seen the last answer three times; give its changes."""
    changes = list[ListChanged]()
    watch = MarketWatch(exchange, HastyClock(), own=OWN, universe=mode, check_s=60.0, least_real_s=0.0, log=log)

    async def note(change: ListChanged) -> None:
        changes.append(change)

    running = asyncio.create_task(watch.run(note))
    async with asyncio.timeout(10):
        while exchange.looks < len(exchange.answers) + 3:
            await asyncio.sleep(0)
    running.cancel()
    return changes, watch


async def test_new_market_is_added_with_the_time_of_the_look_before() -> None:
    """What it traded since then was not received; at the first look nothing is known of before."""
    exchange = Exchange([*OWN, "KRW-XRP"], [*OWN, "KRW-XRP", "KRW-NEW"])

    changes, watch = await watched(exchange, "krw")

    assert changes == [
        ListChanged((*OWN, "KRW-XRP"), ("KRW-XRP",), (), None),
        ListChanged((*OWN, "KRW-XRP", "KRW-NEW"), ("KRW-NEW",), (), START_MS),
    ]
    assert (watch.figures.markets, watch.figures.listed) == ((*OWN, "KRW-XRP", "KRW-NEW"), 1)


async def test_market_is_dropped_when_it_is_missing_twice() -> None:
    """One answer that is not whole stops no stream."""
    exchange = Exchange([*OWN], ["KRW-BTC"], [*OWN], ["KRW-BTC"], ["KRW-BTC"])

    changes, watch = await watched(exchange, "markets")

    assert [(change.markets, change.removed) for change in changes] == [(("KRW-BTC",), ("KRW-ETH",))]
    assert watch.figures.delisted == ["KRW-ETH"]


@dataclass
class MemoryMarketLog:
    """Keeps what was saved; refuses the first `refusals` times."""

    spans: dict[str, Span] = field(default_factory=dict)
    saves: int = 0
    refusals: int = 0

    def load(self) -> dict[str, Span]:
        return dict(self.spans)

    def save(self, spans: Mapping[str, Span]) -> None:
        self.saves += 1
        if self.saves <= self.refusals:
            raise HomeNotWritableError("the disk is full")
        self.spans = dict(spans)


async def test_what_is_collected_is_recorded_once_for_each_change() -> None:
    """So that the pipeline settles the hours of the others too; a market that went keeps its span."""
    log = MemoryMarketLog({"KRW-OLD": Span(1, 2), "KRW-ADA": Span(5)})
    exchange = Exchange([*OWN, "KRW-XRP"], [*OWN, "KRW-XRP"], [*OWN], [*OWN])

    await watched(exchange, "krw", log)

    assert log.spans == {
        "KRW-OLD": Span(1, 2),
        "KRW-ADA": Span(5, START_MS),
        "KRW-BTC": Span(START_MS),
        "KRW-ETH": Span(START_MS),
        "KRW-XRP": Span(START_MS, START_MS + 180_000),
    }
    assert log.saves == 2


async def test_record_that_finds_no_room_is_tried_again_and_told() -> None:
    """Collection goes on meanwhile."""
    log = MemoryMarketLog(refusals=2)

    _, watch = await watched(Exchange([*OWN]), "markets", log)

    assert (log.saves, set(log.spans), watch.figures.last_error) == (3, set(OWN), "")


async def test_look_that_fails_ends_no_span() -> None:
    """A collector that starts while REST is away does not have the others yet; their hours are settled all the same."""
    log = MemoryMarketLog({"KRW-XRP": Span(5)})

    await watched(Exchange(RetryableError("no answer")), "krw", log)

    assert log.spans == {"KRW-XRP": Span(5)}


def test_market_that_comes_back_goes_on_from_its_first_day() -> None:
    """No hour in between is left without a label."""
    assert noted({"KRW-XRP": Span(1, 5)}, ["KRW-XRP"], 9) == {"KRW-XRP": Span(1)}


class AwayExchange(FakeMarketData):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.was_asked = threading.Event()
        self.may_answer = threading.Event()

    def markets(self) -> list[str]:
        self.was_asked.set()
        assert self.may_answer.wait(10)
        return [*OWN]


def test_loop_ends_while_a_look_has_no_answer() -> None:
    """A collector that is asked to stop does not wait for an exchange that is away."""
    exchange = AwayExchange()
    watch = MarketWatch(exchange, FixedClock(), own=OWN, universe="markets", check_s=60.0)

    async def note(_change: ListChanged) -> None:
        pass

    async def stopped_soon() -> None:
        running = asyncio.create_task(watch.run(note))
        await asyncio.to_thread(exchange.was_asked.wait, 10)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(stopped_soon())

    assert not exchange.may_answer.is_set()
    exchange.may_answer.set()


@pytest.mark.parametrize("answer", [RetryableError("no answer"), [], ["USDT-BTC"]])
async def test_look_that_fails_or_finds_nothing_keeps_the_list(
    answer: list[str] | Exception,
) -> None:
    """And says why."""
    changes, watch = await watched(Exchange([*OWN], answer), "markets")

    assert changes == []
    assert watch.figures.markets == OWN
    assert watch.figures.last_error != ""
