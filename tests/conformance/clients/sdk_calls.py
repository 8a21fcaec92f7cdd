"""The exchange's own SDK, unchanged but for the address."""

from itertools import islice

from calls import Calls
from upbit import Upbit

BTC = "KRW-BTC"
BOTH = f"{BTC},KRW-ETH"


def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value


def first(call, open_stream, count=2):
    with open_stream as stream:
        return [plain(message) for message in islice(stream, count)]


def main():
    call = Calls()
    upbit = Upbit(
        access_key=call.access,
        secret_key=call.secret,
        base_url=call.base,
        websocket_base_url=call.base.replace("http", "ws", 1),
        timeout=20,
    )

    def ask(name, function, *args, **kwargs):
        return call(name, lambda: plain(function(*args, **kwargs)))

    ask("markets", upbit.trading_pairs.list, is_details=True)
    ask("candles", upbit.candles.list_minutes, 1, market=BTC, count=200)
    for unit in ("seconds", "days", "weeks", "months", "years"):
        ask(f"candles_{unit}", getattr(upbit.candles, f"list_{unit}"), market=BTC, count=3)
    ask("trades", upbit.trades.list, market=BTC, count=20)
    ask("tickers", upbit.tickers.list_by_trading_pairs, markets=BOTH)
    ask("all_tickers", upbit.tickers.list_by_quote_currencies, quote_currencies="KRW")
    ask("books", upbit.orderbooks.list, markets=BOTH, count=5)
    ask("instruments", upbit.orderbooks.list_instruments, markets=BOTH)
    level = next(text for text in call.results["instruments"][0]["supported_levels"] if float(text) > 0)
    ask("levelled_book", upbit.orderbooks.list, markets=BTC, level=level)
    ask("accounts", upbit.accounts.list)
    ask("chance", upbit.orders.retrieve_chance, market=BTC)

    price = float(call.results["tickers"][0]["trade_price"])
    low = str(int(price * 0.9 // 1_000_000 * 1_000_000))
    order = {"market": BTC, "side": "bid", "ord_type": "limit", "price": low, "volume": "0.001"}
    ask("test", upbit.orders.test_create, **order)
    ask("limit", upbit.orders.create, **order, identifier="sdk-1")
    ask("limit_again", upbit.orders.retrieve, identifier="sdk-1")
    ask("by_ids", upbit.orders.list_by_uuids, identifiers=["sdk-1"])
    ask("open", lambda: [plain(one) for one in upbit.orders.list_open(market=BTC, states=["wait", "watch"])])
    ask(
        "cancel_and_new",
        upbit.orders.cancel_and_new,
        prev_order_identifier="sdk-1",
        new_ord_type="limit",
        new_price=low,
        new_volume="remain_only",
        new_identifier="sdk-2",
    )
    ask("second", upbit.orders.retrieve, identifier="sdk-2")
    ask("cancel", upbit.orders.cancel, identifier="sdk-2")
    for number in (3, 4, 5):
        ask(f"limit_{number}", upbit.orders.create, **order, identifier=f"sdk-{number}")
    ask("cancel_by_ids", upbit.orders.cancel_by_uuids, identifiers=["sdk-3", "sdk-nobody"])
    ask("cancel_open", upbit.orders.cancel_open, pairs=BTC, cancel_side="bid")
    ask("closed", upbit.orders.list_closed, market=BTC, states=["cancel"])
    ask("buy", upbit.orders.create, market=BTC, side="bid", ord_type="price", price="50000", identifier="sdk-buy")
    ask("bought", upbit.orders.retrieve, identifier="sdk-buy")
    ask("no_such_order", upbit.orders.retrieve, identifier="sdk-nobody")

    streams = upbit.ws_stream
    call("stream_ticker", first, call, streams.ticker([BTC, "KRW-ETH"]))
    call("stream_trade", first, call, streams.trade([BTC]))
    call("stream_orderbook", first, call, streams.orderbook([BTC]))
    call("stream_candle", first, call, streams.candle([BTC], interval="1m"))
    for form in ("SIMPLE", "JSON_LIST", "SIMPLE_LIST"):
        call(f"stream_{form}", first, call, streams.trade([BTC], format=form))

    def private(kind, open_stream):
        with open_stream as stream:
            stream.list_subscriptions()  # once it is listed, no change is missed
            upbit.orders.create(market=BTC, side="bid", ord_type="price", price="6000", identifier=f"sdk-{kind}")
            return [plain(message) for message in islice(stream, 1)]

    call("stream_my_order", private, "my-order", streams.my_order([BTC]))
    call("stream_my_asset", private, "my-asset", streams.my_asset())
    call.finish()


main()
