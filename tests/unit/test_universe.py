"""The list of collected markets follows what is on offer, and survives looks that fail."""

import asyncio

import pytest

from fakes import START_MS, FakeMarketData, FixedClock
from tickloop.errors import RetryableError
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


async def watched(exchange: Exchange, mode: Universe) -> tuple[list[ListChanged], MarketWatch]:
    """Run a watch until it has seen the last answer three times; give its changes."""
    changes = list[ListChanged]()
    watch = MarketWatch(exchange, HastyClock(), own=OWN, universe=mode, check_s=60.0, least_real_s=0.0)

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


@pytest.mark.parametrize("answer", [RetryableError("no answer"), [], ["USDT-BTC"]])
async def test_look_that_fails_or_finds_nothing_keeps_the_list(
    answer: list[str] | Exception,
) -> None:
    """And says why."""
    changes, watch = await watched(Exchange([*OWN], answer), "markets")

    assert changes == []
    assert watch.figures.markets == OWN
    assert watch.figures.last_error != ""
