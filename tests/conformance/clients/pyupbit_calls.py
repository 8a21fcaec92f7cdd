"""pyupbit, whose addresses are literals: requests and sockets are sent to the simulator, nothing else is changed."""

import multiprocessing

import pyupbit
import pyupbit.request_api
import pyupbit.websocket_api
import requests
import websockets
from calls import Calls

LITERAL = "https://api.upbit.com"
BTC = "KRW-BTC"
call = Calls()


class Requests:
    def __getattr__(self, name):
        return getattr(requests, name)

    def get(self, url, **kwargs):
        return requests.get(url.replace(LITERAL, call.base, 1), **kwargs)

    def post(self, url, **kwargs):
        return requests.post(url.replace(LITERAL, call.base, 1), **kwargs)

    def delete(self, url, **kwargs):
        return requests.delete(url.replace(LITERAL, call.base, 1), **kwargs)


class Sockets:
    def __getattr__(self, name):
        return getattr(websockets, name)

    def connect(self, _uri, **kwargs):
        return websockets.connect(call.base.replace("http", "ws", 1) + "/websocket/v1", **kwargs)


def frame(value):
    return [[str(at), *map(float, row)] for at, *row in value.reset_index().itertuples(index=False)]


def stream(kind):
    manager = pyupbit.WebSocketManager(kind, [BTC, "KRW-ETH"])
    try:
        return [manager.get() for _ in range(3)]
    finally:
        manager.terminate()


def main():
    pyupbit.request_api.requests = Requests()
    pyupbit.websocket_api.websockets = Sockets()
    call("tickers", pyupbit.get_tickers, "KRW")
    call("tickers_details", pyupbit.get_tickers, "KRW", False, True)
    call("candles", lambda: frame(pyupbit.get_ohlcv(BTC, "minute1", 400)))
    for unit in ("minute60", "day", "week", "month"):
        call(f"candles_{unit}", lambda unit=unit: frame(pyupbit.get_ohlcv(BTC, unit, 3)))
    price = call("price", pyupbit.get_current_price, BTC)
    call("prices", pyupbit.get_current_price, [BTC, "KRW-ETH"])
    call("book", pyupbit.get_orderbook, BTC)
    call("books", pyupbit.get_orderbook, [BTC, "KRW-ETH"])

    upbit = pyupbit.Upbit(call.access, call.secret)
    call("balances", upbit.get_balances)
    call("krw", upbit.get_balance, "KRW")
    call("chance", upbit.get_chance, BTC)
    low = price * 0.9 // 1_000_000 * 1_000_000
    placed = call("limit", upbit.buy_limit_order, BTC, low, 0.001)
    call("limit_again", upbit.get_order, placed["uuid"])
    call("open", upbit.get_order, BTC)
    call("cancel", upbit.cancel_order, placed["uuid"])
    call("canceled", upbit.get_order, BTC, "cancel")
    bought = call("market_buy", upbit.buy_market_order, BTC, 50_000)
    call("bought", upbit.get_individual_order, bought["uuid"])
    sold = call("market_sell", lambda: upbit.sell_market_order(BTC, call.results["bought"]["executed_volume"]))
    call("sold", upbit.get_individual_order, sold["uuid"])
    call("done", upbit.get_order, BTC, "done")
    call("no_such_order", upbit.cancel_order, "6f1c1f0e-0c1d-4c58-9f57-2f3b9f0a7a11")
    call("too_dear", upbit.buy_limit_order, BTC, low, 10)
    for kind in ("ticker", "trade", "orderbook"):
        call(f"stream_{kind}", stream, kind)
    call.finish()


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")  # the patches above must be there in the manager's process
    main()
