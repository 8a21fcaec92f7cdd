"""Locks, fees, fills and ends of orders, to the digit."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.simulator.account.balances import Account, Holding
from tickloop.simulator.account.desk import Desk
from tickloop.simulator.account.matching import accept, fill_resting, is_passed_by, match
from tickloop.simulator.account.order import Order, order_object
from tickloop.simulator.account.placing import Ticket, check_rules, parse_ticket
from tickloop.simulator.account.state import Counts, Store
from tickloop.simulator.prices.book import Level
from tickloop.simulator.refusal import RefusedError

AT_MS = 1_772_600_801_317  # 2026-03-04T05:06:41.317Z
FEE = Decimal("0.0005")
ASKS = [Level(Decimal(131_251_000 + 1000 * n), Decimal("0.0412")) for n in range(30)]
BIDS = [Level(Decimal(131_250_000 - 1000 * n), Decimal("0.0412")) for n in range(30)]


def ids() -> Iterator[str]:
    return (f"id-{n}" for n in range(1000))


def account(krw: str = "1000000", btc: str = "0") -> Account:
    return Account({"KRW": Holding(Decimal(krw)), "BTC": Holding(Decimal(btc))})


def ticket(**fields: str) -> Ticket:
    return parse_ticket({"market": "KRW-BTC", **fields})


def run(purse: Account, **fields: str) -> tuple[Order, Account]:
    """Accept an order and let it take the book."""
    made, names = ticket(**fields), ids()
    levels = ASKS if made.side == "bid" else BIDS
    order, purse = accept(made, purse, FEE, AT_MS, next(names))
    return match(order, purse, levels, AT_MS, lambda: next(names))[-1]


def amounts(purse: Account, currency: str) -> tuple[Decimal, Decimal]:
    holding = purse.holding(currency)
    return holding.available, holding.locked


def test_open_limit_buy_is_the_reference_object() -> None:
    """The open limit buy of section 2.4."""
    order, purse = run(
        account(), side="bid", ord_type="limit", price="131250000", volume="0.0002", identifier="bot-000017"
    )

    assert order_object(order) == {
        "market": "KRW-BTC",
        "uuid": "id-0",
        "side": "bid",
        "ord_type": "limit",
        "price": "131250000",
        "state": "wait",
        "created_at": "2026-03-04T14:06:41+09:00",
        "volume": "0.0002",
        "remaining_volume": "0.0002",
        "executed_volume": "0",
        "reserved_fee": "13.125",
        "remaining_fee": "13.125",
        "paid_fee": "0",
        "locked": "26263.125",
        "identifier": "bot-000017",
        "prevented_volume": "0",
        "prevented_locked": "0",
        "trades_count": 0,
    }
    assert amounts(purse, "KRW") == (Decimal("973736.875"), Decimal("26263.125"))


def test_market_buy_is_the_reference_object() -> None:
    """The market buy of 50,000 KRW of section 2.4: ends `cancel` and shows what 8 decimals could not spend."""
    order, purse = run(account(), side="bid", ord_type="price", price="50000")

    assert order_object(order, with_trades=True) == {
        "market": "KRW-BTC",
        "uuid": "id-0",
        "side": "bid",
        "ord_type": "price",
        "price": "50000",
        "state": "cancel",
        "created_at": "2026-03-04T14:06:41+09:00",
        "executed_volume": "0.00038094",
        "reserved_fee": "25",
        "remaining_fee": "0.00062203",
        "paid_fee": "24.99937797",
        "locked": "1.24468203",
        "prevented_volume": "0",
        "prevented_locked": "0",
        "trades_count": 1,
        "trades": [
            {
                "market": "KRW-BTC",
                "uuid": "id-1",
                "price": "131251000",
                "volume": "0.00038094",
                "funds": "49998.75594",
                "trend": "up",
                "created_at": "2026-03-04T14:06:41.317000+09:00",
                "side": "bid",
            }
        ],
    }
    assert amounts(purse, "KRW") == (Decimal("949976.24468203"), 0)
    assert amounts(purse, "BTC") == (Decimal("0.00038094"), 0)
    assert purse.holding("BTC").avg_buy_price == 131_251_000


def test_market_buy_that_divides_exactly_ends_done() -> None:
    """131,251 KRW buy exactly 0.001 at 131,251,000."""
    order, _ = run(account(), side="bid", ord_type="price", price="131251")

    assert (order.state, order.executed_volume, order.locked) == ("done", Decimal("0.001"), 0)


def test_market_buy_walks_the_levels() -> None:
    """What the first level cannot give comes from the next."""
    order, _ = run(account("20000000"), side="bid", ord_type="price", price="10000000")

    assert [(fill.price, fill.volume) for fill in order.fills] == [
        (Decimal(131_251_000), Decimal("0.0412")),
        (Decimal(131_252_000), Decimal("0.03498962")),
    ]


def test_market_sell_ends_done_and_pays_its_fee_out_of_the_proceeds() -> None:
    """0.001 sold at 131,250,000 gives 131,250 less 65.625."""
    order, purse = run(account("0", "0.001"), side="ask", ord_type="market", volume="0.001")

    assert (order.state, order.paid_fee, order.reserved_fee, order.locked) == ("done", Decimal("65.625"), 0, 0)
    assert amounts(purse, "KRW") == (Decimal("131184.375"), 0)
    assert amounts(purse, "BTC") == (0, 0)


def test_limit_buy_above_the_ask_gets_the_better_price_and_the_difference_back() -> None:
    """Locked at its own price, filled at the ask: nothing stays locked."""
    order, purse = run(account(), side="bid", ord_type="limit", price="131300000", volume="0.001")

    assert (order.state, order.paid_fee, order.locked, order.remaining_fee) == ("done", Decimal("65.6255"), 0, 0)
    assert amounts(purse, "KRW") == (Decimal("868683.3745"), 0)


@pytest.mark.parametrize(
    ("time_in_force", "price", "volume", "state", "executed"),
    [
        ("ioc", "131251000", "0.05", "cancel", "0.0412"),
        ("ioc", "131251000", "0.04", "done", "0.04"),
        ("fok", "131251000", "0.05", "cancel", "0"),
        ("fok", "131252000", "0.05", "done", "0.05"),
        ("post_only", "131251000", "0.05", "cancel", "0"),
        ("post_only", "131250000", "0.05", "wait", "0"),
    ],
)
def test_time_in_force_decides_on_the_rest(
    time_in_force: str, price: str, volume: str, state: str, executed: str
) -> None:
    """The rest of ioc is cancelled, fok is all or nothing, post_only never takes."""
    order, purse = run(
        account("20000000"), side="bid", ord_type="limit", price=price, volume=volume, time_in_force=time_in_force
    )

    assert (order.state, order.executed_volume) == (state, Decimal(executed))
    assert purse.holding("KRW").locked == (order.locked if state == "wait" else 0)


def test_resting_order_fills_only_when_a_later_trade_prints_beyond_its_price() -> None:
    """At its price it waits in a queue that nobody can see."""
    order, purse = run(account(), side="bid", ord_type="limit", price="131250000", volume="0.001")
    passed = [
        is_passed_by(order, Decimal(price), at_ms)
        for price, at_ms in [(131_250_000, AT_MS + 5), (131_249_000, AT_MS), (131_249_000, AT_MS + 5)]
    ]

    filled, after = fill_resting(order, purse, AT_MS + 5, "fill")[-1]

    assert passed == [False, False, True]
    assert (filled.state, filled.executed_volume, filled.fills[0].trend) == ("done", Decimal("0.001"), "down")
    assert amounts(after, "KRW") == (Decimal("868684.375"), 0)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"side": "bid", "ord_type": "price", "price": "4999"}, "under_min_total_bid"),
        ({"side": "ask", "ord_type": "market", "volume": "0.00003809"}, "under_min_total_ask"),
        ({"side": "bid", "ord_type": "price", "price": "1000000001"}, "over_krw_funds_bid"),
        ({"side": "bid", "ord_type": "price", "price": "900000000"}, "volume_too_large"),
        ({"side": "ask", "ord_type": "market", "volume": "1.3"}, "volume_too_large"),
        ({"side": "bid", "ord_type": "limit", "price": "131250500", "volume": "1"}, "invalid_price_bid"),
        ({"side": "ask", "ord_type": "limit", "price": "131250000.5", "volume": "1"}, "invalid_price_ask"),
        ({"side": "bid", "ord_type": "price", "price": "50000", "volume": "1"}, "create_bid_error"),
        ({"side": "ask", "ord_type": "market"}, "create_ask_error"),
        ({"side": "ask", "ord_type": "price", "price": "50000"}, "create_ask_error"),
        ({"side": "bid", "ord_type": "price", "price": "-5"}, "invalid_price_bid"),
        ({"side": "bid", "ord_type": "price", "price": "NaN"}, "invalid_price_bid"),
        ({"side": "ask", "ord_type": "market", "volume": "many"}, "invalid_volume_ask"),
        ({"side": "bid", "ord_type": "price", "price": "50000", "time_in_force": "ioc"}, "invalid_time_in_force"),
        ({"side": "bid", "ord_type": "best", "price": "50000"}, "invalid_time_in_force"),
        ({"side": "hold", "ord_type": "limit"}, "invalid_parameter"),
        ({"ord_type": "limit"}, "validation_error"),
    ],
)
def test_order_that_breaks_a_rule_is_refused_by_name(fields: dict[str, str], name: str) -> None:
    """Names and status are those of sections 2.3, 2.5 and 5."""
    with pytest.raises(RefusedError) as caught:
        check_rules(ticket(**fields), Decimal(131_250_000), ASKS if fields.get("side") == "bid" else BIDS, AT_MS)

    assert (caught.value.status, caught.value.name) == (400, name)


def test_exponents_are_read_as_one_client_sends_them() -> None:
    """`1e-05` is what pyupbit makes of a small float."""
    assert ticket(side="ask", ord_type="market", volume="1e-05").volume == Decimal("0.00001")


@given(
    st.dictionaries(
        st.sampled_from(["market", "side", "ord_type", "price", "volume", "time_in_force", "identifier", "smp_type"]),
        st.one_of(
            st.sampled_from(
                ["KRW-BTC", "bid", "ask", "limit", "price", "market", "best", "ioc", "1e-05", "1e999", "-0"]
            ),
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=5),
            st.lists(st.none(), max_size=1),
        ),
    )
)
def test_any_fields_are_a_ticket_or_a_refusal(fields: dict[str, Any]) -> None:
    """Whatever a client sends, no other error comes out, and no amount that is not above 0."""
    try:
        made = parse_ticket(fields)
    except RefusedError:
        return
    assert all(amount is None or (amount.is_finite() and amount > 0) for amount in (made.price, made.volume))


class FixedQuotes:
    """One market that always trades at the books above."""

    def is_known(self, market: str) -> bool:
        return market in ("KRW-BTC", "KRW-OLD")

    def is_trading(self, market: str, at_ms: int) -> bool:
        return market == "KRW-BTC"

    def last_price(self, market: str, at_ms: int) -> Decimal:
        return Decimal(131_250_000)

    def levels(self, market: str, side: str, at_ms: int) -> list[Level]:
        return ASKS if side == "bid" else BIDS

    def print_fill(self, *fill: object) -> None:
        """Prices of a recording: nobody sees it."""


OPENED: list[Store] = []


@pytest.fixture(autouse=True)
def closed_stores() -> Iterator[None]:
    """Close what a test has opened: an open database is a warning, and warnings are errors."""
    yield
    while OPENED:
        OPENED.pop().close()


def desk_in(folder: Path) -> tuple[Store, Desk]:
    store, names = Store(folder / "account.sqlite", Decimal(1_000_000)), ids()
    OPENED.append(store)
    prefix = store.counts().orders
    return store, Desk(store, FixedQuotes(), lambda: f"{prefix}-{next(names)}")


def name_of(desk: Desk, fields: dict[str, Any]) -> tuple[int, str | int]:
    with pytest.raises(RefusedError) as caught:
        desk.place({"market": "KRW-BTC", "side": "bid", **fields}, AT_MS)
    return caught.value.status, caught.value.name


def test_identifier_is_used_up_by_its_first_request(tmp_path: Path) -> None:
    """Also by one that was refused, and after a restart."""
    store, desk = desk_in(tmp_path)
    first = {"ord_type": "price", "price": "6000", "identifier": "a"}
    refused = {"ord_type": "price", "price": "600", "identifier": "b"}
    desk.place({"market": "KRW-BTC", "side": "bid", **first}, AT_MS)

    names = [name_of(desk, first), name_of(desk, refused), name_of(desk, refused | {"price": "6000"})]
    store.close()
    _, reopened = desk_in(tmp_path)

    assert names == [(400, "duplicated_identifier"), (400, "under_min_total_bid"), (400, "duplicated_identifier")]
    assert name_of(reopened, first) == (400, "duplicated_identifier")


def test_refusals_of_market_and_money_have_their_names(tmp_path: Path) -> None:
    """Unknown market, a market whose recording is over, too little money."""
    _, desk = desk_in(tmp_path)
    order = {"ord_type": "price", "price": "6000"}

    assert name_of(desk, order | {"market": "KRW-NONE"}) == (400, "notfoundmarket")
    assert name_of(desk, order | {"market": "KRW-OLD"}) == (403, "market_offline")
    assert name_of(desk, order | {"price": "999501"}) == (400, "insufficient_funds_bid")
    assert name_of(desk, {"side": "ask", "ord_type": "market", "volume": "0.001"}) == (400, "insufficient_funds_ask")


def test_reopened_account_goes_on_where_it_was(tmp_path: Path) -> None:
    """Balances, ended orders and resting orders are those of before; the resting one still fills."""
    store, desk = desk_in(tmp_path)
    desk.place({"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "50000"}, AT_MS)
    resting = {"side": "bid", "ord_type": "limit", "price": "131250000", "volume": "0.0002", "identifier": "r"}
    answer = desk.place({"market": "KRW-BTC", **resting}, AT_MS)
    before = desk.balances()
    store.close()

    store, reopened = desk_in(tmp_path)
    after, open_orders = reopened.balances(), store.open_orders()
    reopened.on_trade("KRW-BTC", 131_249_000.0, AT_MS + 1)

    assert after == before
    assert before[0]["locked"] == "26263.125"
    assert [order.identifier for order in open_orders] == ["r"]
    assert reopened.order(answer["uuid"], None)["state"] == "done"
    assert reopened.counts() == Counts(orders=2, fills=2, open=0)


def test_cancel_answers_with_the_order_before_it_and_frees_its_lock(tmp_path: Path) -> None:
    """The reply still says `wait`; the next look says `cancel`; a second cancel finds nothing open."""
    _, desk = desk_in(tmp_path)
    fields = {"side": "bid", "ord_type": "limit", "price": "131250000", "volume": "0.0002", "identifier": "x"}
    desk.place({"market": "KRW-BTC", **fields}, AT_MS)

    reply = desk.cancel(None, "x", AT_MS + 1)

    assert reply["state"] == "wait"
    assert desk.order(None, "x")["state"] == "cancel"
    assert desk.balances()[0]["balance"] == "1000000"
    with pytest.raises(RefusedError) as caught:
        desk.cancel(None, "x", AT_MS + 2)
    assert (caught.value.status, caught.value.name) == (404, "order_not_found")


_AMOUNTS = st.decimals("5000", "400000", places=2)
_VOLUMES = st.decimals("0.00005", "0.08", places=8)
_PRICES = st.integers(131_230, 131_270).map(lambda thousands: Decimal(thousands * 1000))
_FORCES = st.sampled_from([None, "ioc", "fok", "post_only"])
_ORDERS = st.one_of(
    st.builds(lambda krw: {"side": "bid", "ord_type": "price", "price": str(krw)}, _AMOUNTS),
    st.builds(lambda volume: {"side": "ask", "ord_type": "market", "volume": str(volume)}, _VOLUMES),
    st.builds(
        lambda side, price, volume, force: {
            "side": side,
            "ord_type": "limit",
            "price": str(price),
            "volume": str(volume),
            "time_in_force": force,
        },
        st.sampled_from(["bid", "ask"]),
        _PRICES,
        _VOLUMES,
        _FORCES,
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_ORDERS, _PRICES, st.booleans()), max_size=25))
def test_cash_and_coins_balance_whatever_is_ordered(steps: list[tuple[dict[str, Any], Decimal, bool]]) -> None:
    """KRW = start - bought + sold - fees, BTC = start + bought - sold, locked = what open orders lock; to the digit."""
    purse, names = account("1000000", "0.02"), ids()
    orders: dict[str, Order] = {}

    for at_ms, (fields, print_price, does_print) in enumerate(steps, start=AT_MS):
        made = parse_ticket({"market": "KRW-BTC", **fields})
        try:
            order, locked = accept(made, purse, FEE, at_ms, next(names))
        except RefusedError:
            continue
        order, purse = match(order, locked, ASKS if made.side == "bid" else BIDS, at_ms, lambda: next(names))[-1]
        orders[order.uuid] = order
        for resting in [order for order in orders.values() if order.is_open]:
            if does_print and is_passed_by(resting, print_price, at_ms + 1):
                orders[resting.uuid], purse = fill_resting(resting, purse, at_ms + 1, next(names))[-1]

    bought = [fill for order in orders.values() if order.side == "bid" for fill in order.fills]
    sold = [fill for order in orders.values() if order.side == "ask" for fill in order.fills]
    fees = sum(order.paid_fee for order in orders.values())
    assert purse.holding("KRW").total == 1_000_000 - sum(f.funds for f in bought) + sum(f.funds for f in sold) - fees
    assert purse.holding("BTC").total == Decimal("0.02") + sum(f.volume for f in bought) - sum(f.volume for f in sold)
    for side, currency in (("bid", "KRW"), ("ask", "BTC")):
        open_locks = sum(order.locked for order in orders.values() if order.is_open and order.side == side)
        assert purse.holding(currency).locked == open_locks
