"""ccxt.pro and ccxt.async_support, unchanged but for the address."""

import asyncio

import ccxt.pro
from calls import Calls

BTC, ETH = "BTC/KRW", "ETH/KRW"
DEADLINE_S = 20


async def main() -> None:
    call = Calls()
    urls = {"api": {"public": call.base, "private": call.base, "ws": call.base.replace("http", "ws") + "/websocket/v1"}}
    upbit = ccxt.pro.upbit({"apiKey": call.access, "secret": call.secret, "urls": urls})

    def watched(name, awaitable):
        return call.later(name, asyncio.wait_for(awaitable, DEADLINE_S))

    try:
        await watched("markets", upbit.load_markets())
        ticker = await watched("ticker", upbit.watch_ticker(BTC))
        await watched("tickers", upbit.watch_tickers([BTC, ETH]))
        await watched("trades", upbit.watch_trades(BTC))
        await watched("book", upbit.watch_order_book(BTC))
        await watched("second_book", upbit.watch_order_book(BTC))
        await watched("candles", upbit.watch_ohlcv(BTC, "1s"))
        await watched("rest_book", upbit.fetch_order_book(BTC))

        orders = asyncio.create_task(watched("orders", upbit.watch_orders(BTC)))
        balance = asyncio.create_task(watched("balance", upbit.watch_balance()))
        fills = asyncio.create_task(watched("my_trades", upbit.watch_my_trades(BTC)))
        async with asyncio.timeout(DEADLINE_S):  # an order placed before the exchange knows of them would not be told
            while not await asyncio.to_thread(call.is_subscribed, "myOrder", "myAsset"):
                await asyncio.sleep(0.01)
        await watched("buy", upbit.create_market_buy_order_with_cost(BTC, 20_000))
        await asyncio.gather(orders, balance, fills)
        call.results["last"] = ticker.get("last")
    finally:
        await upbit.close()
    call.finish()


asyncio.run(main())
