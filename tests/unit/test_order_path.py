"""An order leaves once, and its end is found out, whatever the exchange answers."""

from decimal import Decimal

import pytest

from fakes import START_MS, FixedClock
from tickloop.domain.market import Side
from tickloop.domain.orders import Intent, Order, OrderEvent, OrderState
from tickloop.domain.purse import Purse
from tickloop.errors import ExchangeError, HomeNotWritableError, RetryableError, UnknownOutcomeError
from tickloop.ports import OrderRequest
from tickloop.services.order_path import OrderPath
from trading_fakes import FakeBroker, MemoryOrderLog, until

LOST = UnknownOutcomeError("the answer was lost")
BUY = Intent("tl-b-1", "KRW-BTC", Side.BUY, Decimal(6_000), Decimal(6_003), START_MS, 5e7)
REQUEST = OrderRequest("tl-b-1", "KRW-BTC", Side.BUY, krw=Decimal(6_000))


class Case:
    """An order path over a fake exchange, with deadlines of hundredths of a second."""

    def __init__(self, order_log: MemoryOrderLog | None = None) -> None:
        self.clock = FixedClock(START_MS)
        self.broker = FakeBroker(self.clock)
        self.order_log = order_log or MemoryOrderLog()
        self.restart()

    def restart(self) -> None:
        """Go on with what the log holds, as a new process does."""
        self.purse = Purse(Decimal(50_000))
        for event in self.order_log.read():
            self.purse.apply(event)
        self.changes: list[Order] = []
        self.path = OrderPath(
            self.broker,
            self.order_log,
            self.purse,
            self.clock,
            self.changes.append,
            follow_deadline_s=0.05,
            absent_s=0.02,
        )

    @property
    def states(self) -> list[str]:
        return [event.state.value for event in self.order_log.events]

    async def idle(self) -> None:
        await until(lambda: not self.path.is_busy)


async def test_order_is_written_down_sent_acknowledged_and_closed() -> None:
    """The answer to a placement tells of no fill; asking does."""
    case = Case()

    case.path.submit(BUY)
    await case.idle()

    assert case.states == ["intent", "acknowledged", "closed"]
    assert case.broker.placed == [REQUEST]
    assert case.purse.cash == Decimal("43997.00000000000")


async def test_intent_is_in_the_log_before_anything_is_sent() -> None:
    """The send is a task of its own: it has not begun when `submit` returns."""
    case = Case()

    case.path.submit(BUY)

    assert case.states == ["intent"]
    assert case.broker.placed == []
    await case.idle()


async def test_lost_answer_is_asked_for_and_never_sent_again() -> None:
    """The order had arrived."""
    case = Case()
    case.broker.answers, case.broker.arrives = [LOST], True

    case.path.submit(BUY)
    await case.idle()

    assert case.states == ["intent", "closed"]
    assert len(case.broker.placed) == 1


async def test_failure_that_the_port_does_not_know_counts_as_a_lost_answer() -> None:
    """Only a clear refusal frees the cash."""
    case = Case()
    case.broker.answers, case.broker.arrives = [RetryableError("busy", 0.0)], True

    case.path.submit(BUY)
    await case.idle()

    assert case.states == ["intent", "closed"]


async def test_order_without_a_trace_is_lost_and_keeps_its_cash_aside() -> None:
    """Neither taken nor refused: the cash must not be spent twice."""
    case = Case()
    case.broker.answers = [LOST]

    case.path.submit(BUY)
    await case.idle()

    assert case.states == ["intent", "lost"]
    assert case.order_log.events[-1].reason == "the exchange knows nothing of it"
    assert case.purse.free_cash() == Decimal(43_997)


async def test_failing_questions_are_repeated_until_answered() -> None:
    """A read may be repeated, also one that is refused for a reason we do not know."""
    case = Case()
    case.broker.silent = [RetryableError("busy", 0.0), ExchangeError("odd answer")]

    case.path.submit(BUY)
    await case.idle()

    assert case.states == ["intent", "acknowledged", "closed"]


async def test_next_start_settles_what_is_open_without_sending() -> None:
    """Filled while we were away."""
    case = Case()
    case.broker.is_held = True
    case.path.submit(BUY)
    await until(lambda: bool(case.broker.asked))
    await case.path.finish(0.0)
    case.broker.release()

    case.restart()
    await case.path.settle_open()

    assert case.states == ["intent", "acknowledged", "closed"]
    assert len(case.broker.placed) == 1
    assert list(case.purse.lots) == ["tl-b-1"]


async def test_intent_that_never_arrived_is_rejected_after_a_while_of_denial() -> None:
    """One "no such order" is not enough: what a killed process wrote may still be under way."""
    case = Case()
    case.broker.answers = [LOST]
    case.path.submit(BUY)
    await case.idle()

    case.restart()
    await case.path.settle_open()

    assert case.states == ["intent", "lost", "rejected"]
    assert case.broker.asked.count("tl-b-1") > 2
    assert case.purse.free_cash() == Decimal(50_000)


async def test_order_that_the_exchange_had_and_denies_now_is_lost_and_the_log_stays_whole() -> None:
    """An event that cannot follow is never written: the next start could not read the log."""
    case = Case()
    case.broker.is_held = True
    case.path.submit(BUY)
    await until(lambda: "acknowledged" in case.states)
    await case.path.finish(0.0)
    case.broker = FakeBroker(case.clock)

    case.restart()
    await case.path.settle_open()
    case.restart()

    assert case.states == ["intent", "acknowledged", "lost"]
    assert [order.state for order in case.purse.open_orders()] == [OrderState.LOST]


async def test_exchange_that_is_away_at_the_start_lets_nothing_be_decided() -> None:
    """The start fails, and the order stays open."""
    case = Case()
    case.broker.answers = [LOST]
    case.path.submit(BUY)
    await case.path.finish(0.0)

    case.restart()
    case.broker.silent = [RetryableError("away", 1.0)]

    with pytest.raises(RetryableError):
        await case.path.settle_open()
    assert case.purse.open_orders()


class FullAfterIntent(MemoryOrderLog):
    def append(self, event: OrderEvent) -> None:
        if event.state is not OrderState.INTENT:
            raise HomeNotWritableError("full")
        super().append(event)


async def test_failure_while_following_is_raised_by_watch() -> None:
    """The bot must not trade on with a log that lags behind."""
    case = Case(FullAfterIntent())

    case.path.submit(BUY)

    with pytest.raises(HomeNotWritableError):
        await case.path.watch()
