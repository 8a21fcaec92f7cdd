"""A small API for the dashboard's tests: made rows in the shapes of the real one, over HTTP or without a socket."""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

Row = dict[str, Any]

MARKETS = {"KRW-BTC": 55_800_000.0, "KRW-ETH": 3_270_000.0}
START = datetime(2024, 1, 22, 0, 0, tzinfo=UTC)
MODEL = "lightgbm-3"


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SeededApi:
    """Answers of the API by path. `minutes` closed bars, an open one, and what came with them.

    Attributes:
        is_away: answer nothing but 503.
    """

    def __init__(self, minutes: int = 240, seed: int = 7) -> None:
        self.is_away = False
        self._random = random.Random(seed)
        self.bars: dict[str, list[Row]] = {market: [] for market in MARKETS}
        self.forecasts: dict[str, list[Row]] = {market: [] for market in MARKETS}
        self.orders: list[Row] = []
        self.equity: list[Row] = []
        self.minute = 0
        for _ in range(minutes):
            self.close_minute()

    def close_minute(self) -> None:
        """Close the open bar of each market and open the next one, with its forecast."""
        at = START + timedelta(minutes=self.minute)
        for market in MARKETS:
            if self.bars[market]:
                self.bars[market][-1]["is_closed"] = True
            last = self.price(market)
            self.forecasts[market] += [self._forecast(market, name, at, last) for name in (MODEL, "ridge-2")]
            self.bars[market].append(self._bar(market, at, last))
        if self.minute % 17 == 5:
            self._order("KRW-BTC", "BUY", at)
        if self.minute % 17 == 14:
            self._order("KRW-BTC", "SELL", at)
        purse = 50_000 + 40 * math.sin(self.minute / 40) - self.minute / 12
        self.equity.append(
            {
                "market": "*", "bot": "bot", "ts": iso(at), "cash": f"{purse - 5_990:.2f}",
                "lots_value": "5990.00", "equity": f"{purse:.2f}",
            }
        )  # fmt: skip
        self.minute += 1

    def price(self, market: str) -> float:
        return float(self.bars[market][-1]["close"]) if self.bars[market] else MARKETS[market]

    def trade(self, market: str, price: float) -> None:
        """Move the open bar, as a trade does."""
        bar = self.bars[market][-1]
        bar.update(close=price, high=max(bar["high"], price), low=min(bar["low"], price))

    def answer(self, path: str, query: dict[str, str]) -> Any:
        market, last = query.get("market"), int(query.get("last", "200"))
        name = path.removeprefix("/v1/")
        if name == "status":
            return self.status()
        if name in ("bars", "forecasts"):
            assert market is not None
            return getattr(self, name)[market][-last:]
        if name == "orders":
            return [row for row in self.orders if market in (None, row["market"])][-last:]
        if name == "equity":
            return self.equity[-last:]
        if name in ("models", "decisions", "backtests", "ledger"):
            assert market is not None
            return getattr(self, f"_{name}")(market)
        raise KeyError(path)

    def status(self) -> Row:
        now = START + timedelta(minutes=max(self.minute - 1, 0), seconds=31)
        return {
            "market_time": iso(now),
            "notice": "Simulated exchange: prices are real, the path inside a minute is invented",
            "is_ready": True,
            "problems": [],
            "markets": [
                {
                    "market": market,
                    "stream": "open" if self.minute else "connecting",
                    "last_trade": iso(now) if self.minute else None,
                    "last_price": self.price(market) if self.minute else None,
                    "last_bar": self.bars[market][-1]["ts_open"] if self.minute else None,
                    "champion": MODEL if self.minute else None,
                    "shadows": ["ridge-2", "persistence-1"] if self.minute else [],
                    "forecasts": len(self.forecasts[market]),
                    "late_trades": 3,
                    "message": "live" if self.minute else f"{market}: not subscribed to the stream yet",
                }
                for market in MARKETS
            ],
            "counts": {"stored": 2 * self.minute, "skipped_minutes": 0, "reconnects": 1, "failures": 0},
        }

    def _bar(self, market: str, at: datetime, last: float) -> Row:
        tick = 1_000.0
        closes = [last + tick * round(self._random.gauss(0, 14) * last / 55e6) for _ in range(4)]
        volume = abs(self._random.gauss(3, 2)) + 0.1
        vwap = sum(closes) / 4
        return {
            "market": market, "ts_open": iso(at), "open": last, "high": max(last, *closes), "low": min(last, *closes),
            "close": closes[-1], "vwap": vwap, "mean_price": vwap, "volume": volume, "notional": volume * vwap,
            "trades": 120, "buy_volume": volume / 2, "sell_volume": volume / 2, "change_mode": "RISE",
            "state": "verified", "is_closed": False,
        }  # fmt: skip

    def _forecast(self, market: str, model: str, at: datetime, last: float) -> Row:
        move = self._random.gauss(0, 2e-4)
        return {
            "market": market, "target_minute": iso(at), "model_version": model, "made_at": iso(at),
            "last_bar": iso(at - timedelta(minutes=1)), "last_price": last, "log_return": move,
            "price": last * math.exp(move),
        }  # fmt: skip

    def _order(self, market: str, side: str, at: datetime) -> None:
        price, number = self.price(market), len(self.orders)
        qty = 6_000 / price
        state = "rejected" if number == 4 else "closed"
        done = state == "closed"
        self.orders.append(
            {
                "market": market, "client_order_id": f"tl-bot-{number:06d}", "venue_order_id": f"uuid-{number}",
                "bot": "bot", "side": side, "created_at": iso(at), "state": state,
                "requested": "6000" if side == "BUY" else f"{qty:.8f}",
                "executed_qty": f"{qty:.8f}" if done else "0", "executed_funds": f"{qty * price:.4f}" if done else "0",
                "paid_fee": "3.00000000" if done else "0",
                "filled_at": iso(at + timedelta(seconds=2)) if done else None,
                "forecast_minute": iso(at), "model_version": MODEL, "forecast_price": price * 1.001,
            }
        )  # fmt: skip

    def _models(self, market: str) -> list[Row]:
        if not self.minute:
            return []
        metrics = {"minutes": 2_871.0, "mae_bp": 3.2134, "mae_krw": 17_912.4, "bias_bp": 0.013, "skill": 0.0312}
        return [
            {
                "market": market, "name": name, "family": name.split("-")[0], "aliases": aliases, "is_serving": True,
                "created_at": iso(START + timedelta(hours=number)), "params": {},
                "metrics": {} if number == 0 else {**metrics, "mae_bp": 3.3 - number / 20, "direction_hit_rate": 0.531},
            }
            for number, (name, aliases) in enumerate(
                [("persistence-1", ["previous"]), ("ridge-2", []), (MODEL, ["champion"])]
            )
        ]  # fmt: skip

    def _decisions(self, market: str) -> list[Row]:
        if not self.minute:
            return []
        reasons = {
            "persistence-1": f"persistence-1 is champion, because the registry of {market} starts with it",
            MODEL: f"{MODEL} replaces persistence-1: mae_bp 3.213 against 3.301 on 2,871 minutes",
        }
        return [
            {
                "market": market, "slot_start": iso(START), "champion": name, "previous": None,
                "is_promoted": name == MODEL, "reason": reason, "scores": {}, "decided_at": iso(START),
            }
            for name, reason in reasons.items()
        ]  # fmt: skip

    def _backtests(self, market: str) -> list[Row]:
        figures = {
            "default": (-12.4, 9, 0.44), "seed2023": (-1_904.2, 611, 0.41), "buy_and_hold": (317.2, 1, 1.0),
            "do_nothing": (0.0, 0, None),
        }  # fmt: skip
        return [
            {
                "market": market, "slot": iso(START), "model_version": MODEL, "strategy": name,
                "window_start": iso(START - timedelta(days=2)), "window_end": iso(START),
                "result": json.dumps(
                    {
                        "profit_krw": profit, "profit_pessimistic_krw": profit - 1, "fees_krw": 3.0 * trades,
                        "trades": trades, "win_rate": rate, "mean_profit_per_trade_krw": None if rate is None else 1.2,
                        "max_drawdown_krw": 40.1, "minutes": 2_871, "strategy": name, "params": {"fee_rate": 0.0005},
                    }
                ),
            }
            for name, (profit, trades, rate) in figures.items()
            if self.minute
        ]  # fmt: skip

    def _ledger(self, market: str) -> Row:
        if not self.minute:
            return {"market": market, "counts": {}, "minutes": []}
        minutes = [
            {
                "market": market, "minute": iso(START + timedelta(minutes=at)), "state": state, "reason": reason,
                "our_volume": 1.25, "candle_volume": 1.5, "trades": 31, "is_rounded": False,
            }
            for at, (state, reason) in enumerate([("repaired", None), ("candle", "gone"), ("unknown", "pending")])
        ]  # fmt: skip
        counts = {"verified": 20_157, "repaired": 1, "candle": 1, "unknown": 1}
        return {"market": market, "counts": counts, "minutes": minutes}


def transport(api: SeededApi) -> httpx.MockTransport:
    """Give the API to an httpx client without a socket."""

    def respond(request: httpx.Request) -> httpx.Response:
        if api.is_away:
            raise httpx.ConnectError("connection refused", request=request)
        return httpx.Response(200, json=api.answer(request.url.path, dict(request.url.params)))

    return httpx.MockTransport(respond)


@contextmanager
def listening(api: SeededApi, port: int = 0) -> Iterator[str]:
    """Serve the API on loopback; give its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            body = b"{}" if api.is_away else json.dumps(api.answer(url.path, query)).encode()
            self.send_response(503 if api.is_away else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
