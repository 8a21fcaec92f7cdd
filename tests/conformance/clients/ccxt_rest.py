"""ccxt, synchronous, unchanged but for the address."""

import ccxt
from calls import Calls

call = Calls()
urls = {"api": {"public": call.base, "private": call.base, "ws": call.base.replace("http", "ws") + "/websocket/v1"}}
upbit = ccxt.upbit({"apiKey": call.access, "secret": call.secret, "urls": urls})
BTC = "BTC/KRW"

call("markets", lambda: sorted(upbit.load_markets()))
minute = upbit.parse_timeframe("1m") * 1000
now = call("ticker", upbit.fetch_ticker, BTC)["timestamp"]
start = now - now % minute - 400 * minute


def pages():
    found = []
    for first in range(start, start + 400 * minute, 200 * minute):
        found += upbit.fetch_ohlcv(BTC, "1m", first, 200)
    return found


call("candles", pages)
for unit in ("1s", "15m", "4h", "1d", "1w", "1M"):
    call(f"candles_{unit}", upbit.fetch_ohlcv, BTC, unit)
call("tickers", lambda: sorted(upbit.fetch_tickers()))
call("two_tickers", lambda: sorted(upbit.fetch_tickers([BTC, "ETH/KRW"])))
call("book", upbit.fetch_order_book, BTC, 5)
call("trades", upbit.fetch_trades, BTC)
call("balance", lambda: upbit.fetch_balance()["total"])
call("fee", upbit.fetch_trading_fee, BTC)

price = call.results["ticker"]["last"]
low = price * 0.9 // 1_000_000 * 1_000_000
placed = call("limit", upbit.create_order, BTC, "limit", "buy", 0.001, low, {"clientOrderId": "ccxt-1"})
call("limit_again", upbit.fetch_order, placed.get("id"))
call("open", upbit.fetch_open_orders, BTC)
edited = call("edit", upbit.edit_order, placed.get("id"), BTC, "limit", "buy", 0.002, low)
call("open_after_edit", upbit.fetch_open_orders, BTC)
call("cancel", lambda: upbit.cancel_order(call.results["open_after_edit"][0]["id"]))
call("canceled", upbit.fetch_canceled_orders, BTC)
call("post_only", upbit.create_order, BTC, "limit", "buy", 0.001, low, {"postOnly": True})
call("cancel_post_only", lambda: upbit.cancel_order(call.results["post_only"]["id"]))
bought = call("market_buy", upbit.create_market_buy_order_with_cost, BTC, 50_000)
call("bought", upbit.fetch_order, bought.get("id"))
sold = call("market_sell", lambda: upbit.create_order(BTC, "market", "sell", call.results["bought"]["filled"]))
call("sold", upbit.fetch_order, sold.get("id"))
call("closed", upbit.fetch_closed_orders, BTC)
call("test", upbit.create_order, BTC, "limit", "buy", 0.001, low, {"test": True})

call("no_such_order", upbit.cancel_order, "6f1c1f0e-0c1d-4c58-9f57-2f3b9f0a7a11")
call("too_dear", upbit.create_order, BTC, "limit", "buy", 10, low)
call("twice", upbit.create_order, BTC, "limit", "buy", 0.001, low, {"clientOrderId": "ccxt-1"})
wrong = ccxt.upbit({"apiKey": call.access, "secret": "x" * 40, "urls": urls})
call("wrong_key", wrong.fetch_balance)
call.fault(kind="rate_limited", path="/v1/orderbook", form="text")
call("limited", upbit.fetch_order_book, BTC)
call.fault(kind="locked_out", path="/v1/trades", form="text", for_ms=1)
call("locked_out", upbit.fetch_trades, BTC)
call.finish()
