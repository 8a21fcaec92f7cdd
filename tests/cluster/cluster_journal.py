"""Trades of the exchange played as a journal, with all that a stream does to them. The same trades, the same lines."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shipping import trade_text
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain.market import QTY_UNITS, Side, Trade

TICKER_EVERY = 40
REPEAT_EVERY = 60
SWAP_EVERY = 50
CLOCK_SET_BACK_NS = 600_000_000_000
DELAY_NS = 40_000_000


@dataclass
class Played:
    """What a journal holds.

    Attributes:
        trades: whole lines of trades that any store takes, repeats included.
        repeats: of them, lines of trades that came before.
        tickers: lines of tickers.
        refused: lines that no store takes.
    """

    trades: int = 0
    repeats: int = 0
    tickers: int = 0
    refused: int = 0


def play(
    folder: Path,
    trades: Sequence[Trade],
    seed: int,
    *,
    is_lost: Callable[[Trade], bool] = lambda _trade: False,
    refused: Sequence[int] = (),
) -> Played:
    """Write the trades as the collector does, two segments: some twice, some in another order, tickers in between.

    Half-way the receiving clock is set back by ten minutes, and the last line has no end.

    Args:
        trades: in exchange order, all markets.
        is_lost: trades that the stream never gave.
        refused: ids of trades whose line no store takes: its price is a word.
    """
    draw = random.Random(seed)
    told = _swapped([trade for trade in trades if not is_lost(trade)], draw)
    done = Played()
    lines: list[bytes] = []
    arrival = told[0].ts_event_ms * 1_000_000
    for number, trade in enumerate(told):
        received_ns = trade.ts_event_ms * 1_000_000 + DELAY_NS - (CLOCK_SET_BACK_NS if 2 * number > len(told) else 0)
        raws = [_text(trade)]
        if draw.randrange(REPEAT_EVERY) == 0:
            raws.append(_text(draw.choice(told[: number + 1])))
            done.repeats += 1
        if draw.randrange(TICKER_EVERY) == 0:
            raws.append(_ticker(trade))
            done.tickers += 1
        for raw in raws:
            arrival = max(arrival + 1, received_ns)
            line = line_of(raw, parse_frame(raw), received_ns, arrival)
            if trade.trade_id in refused and raw is raws[0]:
                line = line.replace(b'"trade_price":', b'"trade_price":"high","was":', 1)
                done.refused += 1
            lines.append(line)
    done.trades = len(lines) - done.tickers - done.refused
    _write(folder, told[0].ts_event_ms, lines[: len(lines) // 2], b"")
    _write(folder, told[len(told) // 2].ts_event_ms, lines[len(lines) // 2 :], lines[0][:100])
    return done


def _write(folder: Path, start_ms: int, lines: Sequence[bytes], torn: bytes) -> None:
    segment = OpenSegment(folder, "collector", start_ms * 1_000_000)
    segment.write(b"".join(lines) + torn)
    segment.close()


def _swapped(trades: list[Trade], draw: random.Random) -> list[Trade]:
    """Let some come after the one that followed them."""
    for at in range(1, len(trades)):
        if draw.randrange(SWAP_EVERY) == 0:
            trades[at - 1], trades[at] = trades[at], trades[at - 1]
    return trades


def _text(trade: Trade) -> bytes:
    return trade_text(
        trade.trade_id,
        trade.ts_event_ms,
        trade.market,
        trade_price=trade.price,
        trade_volume=trade.qty_e8 / QTY_UNITS,
        ask_bid="BID" if trade.side is Side.BUY else "ASK",
        change=trade.change.value,
    )


def _ticker(trade: Trade) -> bytes:
    return json.dumps(
        {
            "type": "ticker",
            "code": trade.market,
            "trade_price": trade.price,
            "change": trade.change.value,
            "market_state": "ACTIVE",
            "timestamp": trade.ts_event_ms + 40,
            "trade_timestamp": trade.ts_event_ms,
            "stream_type": "REALTIME",
        },
        separators=(",", ":"),
    ).encode()
