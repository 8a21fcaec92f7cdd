"""Orders change state only as allowed, and the purse always balances."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.market import Side
from tickloop.domain.orders import Execution, Intent, OrderEvent, OrderState, advance
from tickloop.domain.purse import Purse
from tickloop.domain.strategy import BUY_IN_FLIGHT, NEVER, SELL_IN_FLIGHT
from tickloop.errors import DataError

MARKET = "KRW-BTC"


def buy(order_id: str = "tl-b-1", krw: str = "6000", at_ms: int = 1_000) -> OrderEvent:
    reserved = Decimal(krw) * Decimal("1.0005")
    intent = Intent(order_id, MARKET, Side.BUY, Decimal(krw), reserved, at_ms, 58_000_000.0)
    return OrderEvent(order_id, OrderState.INTENT, at_ms, intent=intent)


def sell(order_id: str, qty: str, lots: tuple[str, ...], at_ms: int = 2_000) -> OrderEvent:
    intent = Intent(order_id, MARKET, Side.SELL, Decimal(qty), Decimal(0), at_ms, 58_200_000.0, lots=lots)
    return OrderEvent(order_id, OrderState.INTENT, at_ms, intent=intent)


def closed(order_id: str, qty: str, funds: str, fee: str, at_ms: int = 1_500) -> OrderEvent:
    execution = Execution("v", Decimal(qty), Decimal(funds), Decimal(fee), at_ms if Decimal(qty) else None)
    return OrderEvent(order_id, OrderState.CLOSED, at_ms, execution=execution)


def test_order_begins_with_its_intent() -> None:
    """An acknowledgement of an order nobody intended is refused."""
    with pytest.raises(DataError, match="begins with acknowledged; valid: intent"):
        advance(None, OrderEvent("tl-b-1", OrderState.ACKNOWLEDGED, 1))


def test_closed_order_changes_no_more() -> None:
    """A second end of the same order would pay twice."""
    order = advance(advance(None, buy()), closed("tl-b-1", "0", "0", "0"))

    with pytest.raises(DataError, match="cannot go from closed to closed"):
        advance(order, closed("tl-b-1", "0.0001", "5800", "2.9"))


def test_execution_without_its_time_is_refused() -> None:
    """A lot that does not know when it was filled would never be due."""
    event = OrderEvent("tl-b-1", OrderState.CLOSED, 2, execution=Execution("v", Decimal("0.1"), Decimal(1), Decimal(0)))

    with pytest.raises(DataError, match=r"executed 0\.1; valid: the time of its last fill too"):
        advance(advance(None, buy()), event)


def test_buy_in_flight_sets_its_cash_aside_and_a_fill_makes_a_lot() -> None:
    """Entry is executed funds over executed volume, without the fee."""
    purse = Purse(Decimal(50_000))

    purse.apply(buy())
    assert purse.free_cash() == Decimal("43997.0000")
    assert purse.decision_state(MARKET).in_flight == BUY_IN_FLIGHT
    purse.apply(closed("tl-b-1", "0.0001", "5800.1", "2.90005"))

    state = purse.decision_state(MARKET)
    assert purse.cash == Decimal("44196.99995")
    assert (state.entry[0], state.qty_e8[0], state.filled_at[0], state.lots) == (58_001_000.0, 10_000, 1_500, 1)
    assert (state.in_flight, state.last_buy_ms) == (0, 1_000)


def test_rejected_buy_starts_no_cooldown_and_gives_its_cash_back() -> None:
    """The exchange never took it."""
    purse = Purse(Decimal(50_000))
    purse.apply(buy())

    purse.apply(OrderEvent("tl-b-1", OrderState.REJECTED, 1_100, reason="insufficient_funds_bid"))

    state = purse.decision_state(MARKET)
    assert (purse.free_cash(), state.last_buy_ms, state.in_flight) == (Decimal(50_000), NEVER, 0)


def test_buy_without_fill_keeps_its_cooldown() -> None:
    """The exchange took the order; it only found nobody."""
    purse = Purse(Decimal(50_000))
    purse.apply(buy())

    purse.apply(closed("tl-b-1", "0", "0", "0"))

    state = purse.decision_state(MARKET)
    assert (purse.free_cash(), state.last_buy_ms, state.lots) == (Decimal(50_000), 1_000, 0)


def test_sell_gives_its_lots_away_oldest_first_and_keeps_the_rest() -> None:
    """A sell that executed less than it asked for leaves the rest in the purse."""
    purse = Purse(Decimal(50_000))
    for order_id in ("tl-b-1", "tl-b-2"):
        purse.apply(buy(order_id))
        purse.apply(closed(order_id, "0.0001", "5800", "2.9"))

    purse.apply(sell("tl-b-3", "0.0002", ("tl-b-1", "tl-b-2")))
    assert purse.decision_state(MARKET).in_flight == SELL_IN_FLIGHT
    purse.apply(closed("tl-b-3", "0.00015", "8730", "4.365"))

    assert [(lot.lot_id, lot.qty) for lot in purse.lots.values()] == [("tl-b-2", Decimal("0.00005"))]
    assert purse.cash == Decimal("50000") - 2 * Decimal("5802.9") + Decimal("8725.635")


def test_sell_of_more_than_its_lots_hold_is_refused() -> None:
    """Selling somebody else's coins is the one thing a purse must never do."""
    purse = Purse(Decimal(50_000))
    purse.apply(buy())
    purse.apply(closed("tl-b-1", "0.0001", "5800", "2.9"))
    purse.apply(sell("tl-b-2", "0.0001", ("tl-b-1",)))

    with pytest.raises(DataError, match="more than its lots tl-b-1 hold"):
        purse.apply(closed("tl-b-2", "0.0002", "11600", "5.8"))


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(min_value=0, max_value=200_000),
            st.decimals(min_value="1000", max_value="90000", places=0),
        ),
        max_size=30,
    )
)
def test_cash_and_fees_balance_whatever_happens(steps: list[tuple[bool, int, Decimal]]) -> None:
    """budget - funds of buys + funds of sells - fees is the cash, and the lots hold what was bought and not sold."""
    purse, spent, earned, held = Purse(Decimal(1_000_000)), Decimal(0), Decimal(0), Decimal(0)
    for number, (is_buy, qty_e8, price) in enumerate(steps):
        order_id = f"tl-b-{number}"
        lots = tuple(purse.lots)
        qty = Decimal(qty_e8).scaleb(-8)
        if not is_buy:
            qty = min(qty, sum((lot.qty for lot in purse.lots.values()), Decimal(0)))
        funds = qty * price
        purse.apply(buy(order_id) if is_buy else sell(order_id, str(qty), lots))
        purse.apply(closed(order_id, str(qty), str(funds), str(funds * Decimal("0.0005"))))
        spent, earned, held = (spent + funds, earned, held + qty) if is_buy else (spent, earned + funds, held - qty)

    assert purse.cash == Decimal(1_000_000) - spent + earned - purse.fees
    assert sum((lot.qty for lot in purse.lots.values()), Decimal(0)) == held
    assert purse.free_cash() == purse.cash
