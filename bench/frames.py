"""Frames of trades and tickers of 288 KRW markets, each with its number in it: none can be lost or doubled unseen.

DEFAULT format with all fields, half trades, half tickers (how often Upbit sends a ticker is not documented), markets
drawn with weights 1/rank^0.8: the first gets 9 % of the frames, as KRW-BTC did of the real trades of 2026-05-12.
"""

from __future__ import annotations

import msgspec
import numpy as np

MARKETS = ("KRW-BTC", "KRW-ETH", *(f"KRW-T{number:03d}" for number in range(286)))

START_MS = 1_772_600_801_291
"""Trade id and ticker time of frame n are START_MS + n."""

_TRADE = (
    b'{"type":"trade","code":"%b","timestamp":1772600801347,"trade_date":"2026-03-04","trade_time":"05:06:41",'
    b'"trade_timestamp":1772600801291,"trade_price":%b,"trade_volume":%d.%08d,"ask_bid":"BID",'
    b'"prev_closing_price":130900000.0,"change":"RISE","change_price":351000.0,"sequential_id":%d,'
    b'"best_ask_price":131251000,"best_ask_size":0.0399,"best_bid_price":131250000,"best_bid_size":0.118,'
    b'"stream_type":"REALTIME"}'
)
_TICKER = (
    b'{"type":"ticker","code":"%b","opening_price":130900000.0,"high_price":131900000.0,"low_price":130210000.0,'
    b'"trade_price":%b,"prev_closing_price":130900000.0,"acc_trade_price":61200345678.12,"change":"RISE",'
    b'"change_price":351000.0,"signed_change_price":351000.0,"change_rate":0.0026814362,'
    b'"signed_change_rate":0.0026814362,"ask_bid":"BID","trade_volume":%d.%08d,"acc_trade_volume":466.71,'
    b'"trade_date":"20260304","trade_time":"050641","trade_timestamp":1772600801291,"acc_ask_volume":220.4,'
    b'"acc_bid_volume":246.31,"highest_52_week_price":179000000.0,"highest_52_week_date":"2025-10-09",'
    b'"lowest_52_week_price":88000000.0,"lowest_52_week_date":"2026-02-11","market_state":"ACTIVE",'
    b'"is_trading_suspended":false,"delisting_date":null,"market_warning":"NONE","timestamp":%d,'
    b'"acc_trade_price_24h":190034567890.55,"acc_trade_volume_24h":1450.02,"stream_type":"REALTIME"}'
)


class _Numbered(msgspec.Struct):
    type: str
    timestamp: int
    sequential_id: int = 0


_NUMBERED = msgspec.json.Decoder(_Numbered)


def make_frames(first: int, count: int, seed: int = 7) -> list[bytes]:
    """Give the messages of numbers [first, first + count), the same for the same numbers."""
    rng = np.random.default_rng((seed, first))
    weights = np.arange(1, len(MARKETS) + 1) ** -0.8
    codes = [market.encode() for market in MARKETS]
    ranks = rng.choice(len(MARKETS), count, p=weights / weights.sum()).tolist()
    volumes = rng.integers(1_000, 500_000_000, count).tolist()
    kinds = rng.integers(0, 2, count).tolist()
    made = []
    for number, rank, volume, kind in zip(range(first, first + count), ranks, volumes, kinds, strict=True):
        price = b"%d000.0" % (131_000 + number % 500)
        values = (codes[rank], price, volume // 10**8, volume % 10**8, START_MS + number)
        made.append((_TICKER if kind else _TRADE) % values)
    return made


def number_of(line: bytes) -> int:
    """Read the number of a frame out of what was kept of it."""
    found = _NUMBERED.decode(line)
    return (found.sequential_id if found.type == "trade" else found.timestamp) - START_MS
