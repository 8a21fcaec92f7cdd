"""The desk: own orders that meet, replacements, batch cancels, delayed cancels, and what is told of all that."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.simulator.account.balances import Account, Holding, plain
from tickloop.simulator.account.changes import AssetChange, OrderChange
from tickloop.simulator.account.desk import Desk
from tickloop.simulator.account.matching import accept, match
from tickloop.simulator.account.order import OpenFilter, Order
from tickloop.simulator.account.placing import parse_ticket
from tickloop.simulator.account.state import Store
from tickloop.simulator.faults.board import Fault, FaultBoard
from tickloop.simulator.prices.book import Level
from tickloop.simulator.refusal import RefusedError

AT_MS = 1_772_600_801_317  # 2026-03-04T05:06:41.317Z
FEE = Decimal("0.0005")
ASKS = [Level(Decimal(131_251_000 + 1000 * n), Decimal("0.0412")) for n in range(30)]
BIDS = [Level(Decimal(131_250_000 - 1000 * n), Decimal("0.0412")) for n in range(30)]


class Market:
    """One market that trades at the books above until `is_over`; keeps what is printed."""

    def __init__(self) -> None:
        self.is_over = False
        self.asks, self.bids = ASKS, BIDS
        self.prints: list[tuple[str, str, str]] = []

    def is_known(self, market: str) -> bool:
        return market == "KRW-BTC"

    def is_trading(self, market: str, at_ms: int) -> bool:
        return not self.is_over

    def last_price(self, market: str, at_ms: int) -> Decimal:
        return Decimal(131_250_000)

    def levels(self, market: str, side: str, at_ms: int) -> list[Level]:
        return self.asks if side == "bid" else self.bids

    def print_fill(self, market: str, price: Decimal, volume: Decimal, taker: str, ts_ms: int) -> None:
        self.prints.append((plain(price), plain(volume), taker))


class Room:
    """A desk on a fresh account of 20 million KRW, and what it told."""

    def __init__(self, store: Store, board: FaultBoard, smp_default: str) -> None:
        names = (f"id-{n}" for n in range(10_000))
        self.market = Market()
        self.board = board
        self.desk = Desk(store, self.market, lambda: next(names), board, smp_default)
        self.told: list[OrderChange | AssetChange] = []
        self.desk.listen(self.told.append)

    def place(self, at_ms: int = AT_MS, **fields: str) -> str:
        return str(self.desk.place({"market": "KRW-BTC", **fields}, at_ms)["uuid"])

    def limit(self, side: str, price: int, volume: str, at_ms: int = AT_MS, **fields: str) -> str:
        return self.place(at_ms, side=side, ord_type="limit", price=str(price), volume=volume, **fields)

    def state(self, uuid: str) -> str:
        return str(self.desk.order(uuid, None)["state"])

    def kinds(self) -> list[tuple[str, str]]:
        return [(one.order.uuid, one.kind) for one in self.told if isinstance(one, OrderChange)]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[Store]]:
    opened = [Store(tmp_path / "account.sqlite", Decimal(20_000_000))]
    yield opened
    opened[0].close()


@pytest.fixture
def room(stores: list[Store]) -> Room:
    return Room(stores[0], FaultBoard(), "none")


def with_coins(room: Room) -> None:
    """Buy 0.04 BTC, so that there is something to sell; forget what was told of it."""
    room.place(side="bid", ord_type="limit", price="131251000", volume="0.04")
    room.told.clear()
    room.market.prints.clear()


def test_order_tells_wait_then_each_fill_then_its_end(room: Room) -> None:
    """A market buy over two levels; the balances come last and are those of the account."""
    uuid = room.place(side="bid", ord_type="price", price="6000000")

    assert room.kinds() == [(uuid, "wait"), (uuid, "trade"), (uuid, "trade"), (uuid, "cancel")]
    trades = [one for one in room.told if isinstance(one, OrderChange) and one.fill is not None]
    assert [(one.fill.price, one.is_maker) for one in trades if one.fill] == [
        (Decimal(131_251_000), False),
        (Decimal(131_252_000), False),
    ]
    last = room.told[-1]
    assert isinstance(last, AssetChange)
    assert dict(last.holdings) == dict(room.desk.account.holdings)


def test_resting_order_tells_its_fill_as_a_makers(room: Room) -> None:
    """Accepted first, filled and done when a trade passes its price."""
    uuid = room.limit("bid", 131_250_000, "0.001")
    room.desk.on_trade("KRW-BTC", 131_249_000.0, AT_MS + 5)

    assert room.kinds() == [(uuid, "wait"), (uuid, "trade"), (uuid, "done")]
    trade = next(one for one in room.told if isinstance(one, OrderChange) and one.kind == "trade")
    assert (trade.is_maker, trade.at_ms) == (True, AT_MS + 5)


def test_change_is_on_disk_before_it_is_told(stores: list[Store]) -> None:
    """Whoever hears of a step finds it in the store."""
    room = Room(stores[0], FaultBoard(), "none")
    seen: list[bool] = []

    def look(change: OrderChange | AssetChange) -> None:
        if isinstance(change, OrderChange):
            found = stores[0].find(uuid=change.order.uuid)
            seen.append(found is not None and len(found.fills) >= len(change.order.fills))

    room.desk.listen(look)
    room.place(side="bid", ord_type="price", price="6000000")

    assert seen == [True] * 4


@pytest.mark.parametrize(
    ("mode", "maker", "taker", "kinds"),
    [
        ("none", ("done", "0.01", "0"), ("done", "0.03", "0"), "wait m:trade m:done trade trade done"),
        ("cancel_maker", ("cancel", "0", "0.01"), ("done", "0.03", "0"), "wait m:prevented m:cancel trade done"),
        ("cancel_taker", ("wait", "0", "0"), ("cancel", "0", "0.03"), "wait prevented cancel"),
        (
            "reduce",
            ("cancel", "0", "0.01"),
            ("done", "0.02", "0.01"),
            "wait m:prevented m:cancel prevented trade done",
        ),
    ],
)
def test_mode_of_the_taker_decides_when_own_orders_meet(
    room: Room, mode: str, maker: tuple[str, ...], taker: tuple[str, ...], kinds: str
) -> None:
    """Without prevention both fill; else one is cancelled or both are cut, and what is left goes on to the book."""
    with_coins(room)
    selling = room.limit("ask", 131_251_000, "0.01", AT_MS + 1)
    room.told.clear()
    room.market.asks = ASKS[1:]
    buying = room.limit("bid", 131_252_000, "0.03", AT_MS + 2, smp_type=mode)

    found = [room.desk.order(uuid, None) for uuid in (selling, buying)]

    assert [(one["state"], one["executed_volume"], one["prevented_volume"]) for one in found] == [maker, taker]
    assert [("m:" if uuid == selling else "") + kind for uuid, kind in room.kinds()] == kinds.split()
    assert found[1]["smp_type"] == mode


def test_prevented_buy_frees_its_lock_with_the_fee(room: Room) -> None:
    """0.01 at 131,251,000 and its fee of 0.05 % are counted as prevented and are back in the account."""
    with_coins(room)
    buying = room.limit("bid", 131_250_000, "0.01")
    before = room.desk.account.holding("KRW")
    room.market.bids = BIDS[1:]
    room.limit("ask", 131_250_000, "0.02", AT_MS + 1, smp_type="cancel_maker")

    bought = room.desk.order(buying, None)
    after = room.desk.account.holding("KRW")

    assert (bought["state"], bought["prevented_volume"], bought["prevented_locked"]) == ("cancel", "0.01", "1313156.25")
    assert (bought["locked"], bought["remaining_volume"]) == ("0", "0")
    assert (before.locked, after.locked, after.available - before.available) == (
        Decimal("1313156.25"),
        0,
        Decimal("1313156.25"),
    )


def test_default_mode_is_that_of_the_simulator(stores: list[Store]) -> None:
    """`cancel_maker` as announced for 2026-11-09; an order that names a mode keeps its own."""
    room = Room(stores[0], FaultBoard(), "cancel_maker")
    with_coins(room)
    first, second = (room.limit("ask", 131_251_000, "0.01") for _ in range(2))
    room.market.asks = ASKS[1:]

    room.limit("bid", 131_251_000, "0.001", AT_MS + 1, smp_type="none")
    room.limit("bid", 131_251_000, "0.001", AT_MS + 2, time_in_force="ioc")

    assert [room.desk.order(uuid, None)["executed_volume"] for uuid in (first, second)] == ["0.001", "0"]
    assert [room.state(uuid) for uuid in (first, second)] == ["cancel", "cancel"]


def test_post_only_and_fok_look_at_own_orders_too(room: Room) -> None:
    """post_only never takes, from oneself neither; fok is not executed in part because an own order cut it."""
    with_coins(room)
    room.limit("ask", 131_251_000, "0.01")
    room.market.asks = ASKS[1:]
    room.told.clear()

    post = room.limit("bid", 131_251_000, "0.001", AT_MS + 1, time_in_force="post_only")
    cut = room.limit("bid", 131_252_000, "0.04", AT_MS + 1, time_in_force="fok", smp_type="reduce")
    whole = room.limit("bid", 131_252_000, "0.04", AT_MS + 1, time_in_force="fok", smp_type="cancel_maker")

    found = [room.desk.order(uuid, None) for uuid in (post, cut, whole)]
    assert [(one["state"], one["executed_volume"]) for one in found] == [
        ("cancel", "0"),
        ("cancel", "0"),
        ("done", "0.04"),
    ]


def test_best_order_takes_the_best_price_alone(room: Room) -> None:
    """A best buy of more than the first level gives ends with what that level had; its fok does nothing."""
    ioc = room.place(side="bid", ord_type="best", price="6000000", time_in_force="ioc")
    fok = room.place(side="bid", ord_type="best", price="6000000", time_in_force="fok")

    found = [room.desk.order(uuid, None) for uuid in (ioc, fok)]
    assert [(one["state"], one["executed_volume"]) for one in found] == [("cancel", "0.0412"), ("cancel", "0")]


def test_replacement_enters_once_the_cancel_is_done(room: Room) -> None:
    """The answer is the old order as it was, with the names of the new one, which has what was left."""
    old = room.limit("bid", 131_250_000, "0.002")
    answer = room.desk.cancel_and_new(
        {
            "prev_order_uuid": old,
            "new_ord_type": "limit",
            "new_volume": "remain_only",
            "new_price": "131249000",
            "new_identifier": "second",
        },
        AT_MS + 1,
    )
    new = room.desk.order(None, "second")

    assert (answer["uuid"], answer["state"], answer["new_order_identifier"]) == (old, "wait", "second")
    assert (new["uuid"], new["state"], new["volume"], new["price"]) == (
        answer["new_order_uuid"],
        "wait",
        "0.002",
        "131249000",
    )
    assert room.state(old) == "cancel"
    assert [kind for _, kind in room.kinds()] == ["wait", "cancel", "wait"]


def test_replacement_may_use_what_the_old_order_frees(room: Room) -> None:
    """Nearly all money is locked by the first one."""
    old = room.limit("bid", 131_250_000, "0.152")
    fields = {"prev_order_uuid": old, "new_ord_type": "limit", "new_volume": "0.1521", "new_price": "131249000"}

    answer = room.desk.cancel_and_new(fields, AT_MS + 1)

    assert room.state(answer["new_order_uuid"]) == "wait"
    assert "new_order_identifier" not in answer


def test_old_order_that_fills_before_its_slow_cancel_has_no_replacement(stores: list[Store]) -> None:
    """The new order exists only after the cancel; its name is not found."""
    room = Room(stores[0], FaultBoard([Fault(kind="slow_cancel", for_ms=100)]), "none")
    old = room.limit("bid", 131_250_000, "0.002")
    fields = {"prev_order_uuid": old, "new_ord_type": "limit", "new_volume": "0.002", "new_price": "131249000"}
    answer = room.desk.cancel_and_new(fields, AT_MS + 1)

    room.desk.on_trade("KRW-BTC", 131_249_000.0, AT_MS + 50)
    room.desk.advance(AT_MS + 1000)

    assert room.state(old) == "done"
    with pytest.raises(RefusedError, match="no such order"):
        room.desk.order(answer["new_order_uuid"], None)


@pytest.mark.parametrize(
    ("fields", "status", "name"),
    [
        ({"prev_order_uuid": "nobody"}, 404, "order_not_found"),
        ({}, 400, "validation_error"),
        ({"new_price": "131249500"}, 400, "invalid_price_bid"),
        ({"new_volume": "0.00001"}, 400, "under_min_total_bid"),
        ({"new_volume": "7"}, 400, "insufficient_funds_bid"),
        ({"new_identifier": "used"}, 400, "duplicated_identifier"),
    ],
)
def test_replacement_that_is_refused_leaves_the_old_order_open(
    room: Room, fields: dict[str, str], status: int, name: str
) -> None:
    """By the names that a placement has."""
    old = room.limit("bid", 131_250_000, "0.002", identifier="used")
    base = {"new_ord_type": "limit", "new_volume": "0.002", "new_price": "131249000"}
    named = {} if fields == {} else {"prev_order_uuid": old}

    with pytest.raises(RefusedError) as caught:
        room.desk.cancel_and_new(base | named | fields, AT_MS + 1)

    assert (caught.value.status, caught.value.name) == (status, name)
    assert room.state(old) == "wait"


def test_slow_cancel_answers_at_once_and_takes_effect_later(stores: list[Store]) -> None:
    """At its moment of market time, not before, and once."""
    room = Room(stores[0], FaultBoard([Fault(kind="slow_cancel", for_ms=100)]), "none")
    uuid = room.limit("bid", 131_250_000, "0.002")
    answer = room.desk.cancel(uuid, None, AT_MS)
    again = room.desk.cancel(uuid, None, AT_MS + 1)

    room.desk.advance(AT_MS + 99)
    before, due_ms = room.state(uuid), room.desk.next_ms
    room.desk.advance(AT_MS + 100)

    assert (answer["state"], again["state"], before, due_ms) == ("wait", "wait", "wait", AT_MS + 100)
    assert (room.state(uuid), room.desk.next_ms) == ("cancel", None)
    assert room.kinds()[-1] == (uuid, "cancel")


def test_slow_cancel_without_a_time_waits_until_its_fault_is_cleared(stores: list[Store]) -> None:
    """It takes effect at the first moment after that."""
    board = FaultBoard()
    number = board.add(Fault(kind="slow_cancel"), AT_MS)
    room = Room(stores[0], board, "none")
    uuid = room.limit("bid", 131_250_000, "0.002")
    room.desk.cancel(uuid, None, AT_MS)

    room.desk.advance(AT_MS + 1_000_000)
    before, due_ms = room.state(uuid), room.desk.next_ms
    board.clear(number)
    room.desk.advance(AT_MS + 1_000_001)

    assert (before, due_ms, room.state(uuid)) == ("wait", None, "cancel")
    assert room.told[-1].at_ms == AT_MS + 1_000_001


@pytest.mark.parametrize(("for_ms", "due_ms"), [(100, AT_MS + 100), (0, AT_MS + 150)])
def test_slow_cancel_and_what_follows_it_outlive_a_kill(stores: list[Store], for_ms: int, due_ms: int) -> None:
    """A desk on the same store goes on with it; a fault without a time is gone with the one before."""
    fields = {"new_ord_type": "limit", "new_volume": "remain_only", "new_price": "131249000"}
    killed = Room(stores[0], FaultBoard([Fault(kind="slow_cancel", for_ms=for_ms, count=2)]), "none")
    plain_one, old = (killed.limit("bid", 131_250_000, volume) for volume in ("0.001", "0.002"))
    killed.desk.cancel(plain_one, None, AT_MS)
    new = killed.desk.cancel_and_new({"prev_order_uuid": old, **fields}, AT_MS)["new_order_uuid"]

    room = Room(stores[0], FaultBoard(), "none")
    room.desk.advance(AT_MS - 1)  # a stream goes on from before the kill
    before = [room.state(uuid) for uuid in (plain_one, old)]
    room.desk.advance(AT_MS + 150)

    assert before == ["wait", "wait"]
    assert [room.state(uuid) for uuid in (plain_one, old, new)] == ["cancel", "cancel", "wait"]
    assert room.desk.order(new, None)["volume"] == "0.002"
    assert {one.at_ms for one in room.told} == {due_ms}
    assert stores[0].cancels() == []


def test_cancel_of_an_order_that_fills_first_is_forgotten_on_disk(stores: list[Store]) -> None:
    """What a kill after that leaves does nothing to the order."""
    room = Room(stores[0], FaultBoard([Fault(kind="slow_cancel", for_ms=100)]), "none")
    uuid = room.limit("bid", 131_250_000, "0.002")
    room.desk.cancel(uuid, None, AT_MS)

    room.desk.on_trade("KRW-BTC", 131_249_000.0, AT_MS + 50)

    assert (room.state(uuid), room.desk.next_ms, stores[0].cancels()) == ("done", None, [])


def test_test_order_is_checked_like_any_other_and_kept_nowhere(room: Room) -> None:
    """Refused for form, rules, money, a used name and a closed market; else nothing changes."""
    order = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "131250000", "volume": "0.001"}
    made = room.desk.test(order | {"identifier": "a"}, AT_MS)
    with pytest.raises(RefusedError, match="no such order"):
        room.desk.order(made["uuid"], None)
    room.limit("bid", 131_250_000, "0.001", identifier="a")

    names = []
    for change in ({"identifier": "a"}, {"volume": "0.5"}, {"price": "131250500"}, {"ord_type": "price"}):
        with pytest.raises(RefusedError) as caught:
            room.desk.test(order | change, AT_MS)
        names.append(caught.value.name)
    room.market.is_over = True
    with pytest.raises(RefusedError) as caught:
        room.desk.test(order, AT_MS)

    assert (made["state"], made["locked"]) == ("wait", "131315.625")
    assert names == ["duplicated_identifier", "insufficient_funds_bid", "invalid_price_bid", "create_bid_error"]
    assert (caught.value.status, caught.value.name) == (403, "market_offline")
    assert room.desk.counts().orders == 1


def test_batch_cancel_by_ids_tells_which_were_open(room: Room) -> None:
    """Ended and unknown ones failed, each under the name it was asked by."""
    opened = room.limit("bid", 131_250_000, "0.001", identifier="o")
    ended = room.place(side="bid", ord_type="price", price="6000")

    by_uuid = room.desk.cancel_named([opened, ended, "nobody"], [], AT_MS + 1)
    by_name = room.desk.cancel_named([], ["o", "no-name"], AT_MS + 2)

    named = {"uuid": opened, "market": "KRW-BTC", "identifier": "o"}
    assert by_uuid == {
        "success": {"count": 1, "orders": [named]},
        "failed": {"count": 2, "orders": [{"uuid": "nobody"}, {"uuid": ended, "market": "KRW-BTC"}]},
    }
    assert by_name["failed"] == {"count": 2, "orders": [{"identifier": "no-name"}, named]}


def filter_of(**changes: Any) -> OpenFilter:
    none: frozenset[str] = frozenset()
    both = frozenset({"bid", "ask"})
    values = {"pairs": none, "quotes": none, "excluded": none, "sides": both, "count": 20, "newest_first": True}
    return OpenFilter(**values | changes)


def test_batch_cancel_by_filter_takes_only_what_it_names(room: Room) -> None:
    """Side, market, exclusion, and the newest first up to a count."""
    with_coins(room)
    bids = [room.limit("bid", 131_000_000 + 1000 * n, "0.001", AT_MS + n) for n in range(3)]
    ask = room.limit("ask", 132_000_000, "0.001", AT_MS + 9)

    def cancelled(**changes: Any) -> list[str]:
        answer = room.desk.cancel_open(filter_of(**changes), AT_MS + 20)
        return [one["uuid"] for one in answer["success"]["orders"]]

    assert cancelled(excluded=frozenset({"KRW-BTC"})) == []
    assert cancelled(quotes=frozenset({"BTC"})) == []
    assert cancelled(sides=frozenset({"bid"}), count=1) == [bids[2]]
    assert cancelled(pairs=frozenset({"KRW-BTC"}), newest_first=False) == [bids[0], bids[1], ask]


def test_fills_are_printed_once_with_the_side_of_the_taker(room: Room) -> None:
    """A taker's own side, the other one for a resting order, and one print when two own orders meet."""
    with_coins(room)
    room.place(side="bid", ord_type="limit", price="131251000", volume="0.001")
    room.limit("bid", 131_249_000, "0.002")
    room.desk.on_trade("KRW-BTC", 131_248_000.0, AT_MS + 5)
    room.limit("ask", 131_251_000, "0.003", AT_MS + 6)
    room.market.asks = ASKS[1:]
    room.limit("bid", 131_251_000, "0.003", AT_MS + 7)

    assert room.market.prints == [
        ("131251000", "0.001", "bid"),
        ("131249000", "0.002", "ask"),
        ("131251000", "0.003", "bid"),
    ]


_MODES = st.sampled_from(["none", "reduce", "cancel_maker", "cancel_taker"])
_VOLUMES = st.decimals("0.00005", "0.03", places=8)
_PRICES = st.integers(131_245, 131_256).map(lambda thousands: str(thousands * 1000))
_TICKETS = st.fixed_dictionaries(
    {
        "side": st.sampled_from(["bid", "ask"]),
        "price": _PRICES,
        "volume": _VOLUMES.map(str),
        "smp_type": _MODES,
        "time_in_force": st.sampled_from([None, "ioc", "fok"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_TICKETS, max_size=20))
def test_no_coin_and_no_won_appears_or_vanishes_when_own_orders_meet(tickets: list[dict[str, Any]]) -> None:
    """To the digit: balances follow from fills and fees, locks from open orders, sizes from what became of them."""
    names = (f"id-{n}" for n in range(10_000))
    purse = Account({"KRW": Holding(Decimal(20_000_000)), "BTC": Holding(Decimal("0.2"))})
    orders: dict[str, Order] = {}

    for at_ms, fields in enumerate(tickets, start=AT_MS):
        made = parse_ticket({"market": "KRW-BTC", "ord_type": "limit", **fields})
        try:
            order, account = accept(made, purse, FEE, at_ms, next(names))
        except RefusedError:
            continue
        levels = ASKS if made.side == "bid" else BIDS
        across = [one for one in orders.values() if one.is_open and one.side != made.side]
        steps = match(order, account, levels, at_ms, lambda: next(names), across)
        orders |= {after.uuid: after for after, _ in steps}
        purse = steps[-1][1]

    fills = [(one.side, fill) for one in orders.values() for fill in one.fills]
    fees = sum(one.paid_fee for one in orders.values())
    bought = sum(fill.funds for side, fill in fills if side == "bid")
    sold = sum(fill.funds for side, fill in fills if side == "ask")
    coins = sum(fill.volume if side == "bid" else -fill.volume for side, fill in fills)
    assert purse.holding("KRW").total == 20_000_000 - bought + sold - fees
    assert purse.holding("BTC").total == Decimal("0.2") + coins
    for currency in ("KRW", "BTC"):
        locked = sum(one.locked for one in orders.values() if one.is_open and one.lock_currency == currency)
        assert purse.holding(currency).locked == locked
    for one in orders.values():
        assert one.volume == one.executed_volume + one.prevented_volume + one.remaining
        assert one.time_in_force != "fok" or one.executed_volume in (0, one.volume)
