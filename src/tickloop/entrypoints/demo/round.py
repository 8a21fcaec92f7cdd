"""One round of the demo: when it is done, what happened in it, and whether its counts agree."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import polars as pl

from tickloop.adapters.local.status import StatusBoard, StatusFile
from tickloop.bootstrap import App
from tickloop.domain.tables import EQUITY, FORECAST, ORDER, RUN
from tickloop.domain.window import HOUR_MS, Window
from tickloop.services.findings import findings
from tickloop.services.reconcile import MarketCounts, Truth, count_market

BOT_MINUTES = 60


@dataclass(frozen=True)
class RoundReport:
    markets: Sequence[MarketCounts]
    body: Mapping[str, Any]
    problems: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """Give the report as JSON-ready values, `ok` first."""
        return {
            "ok": not self.problems,
            "problems": list(self.problems),
            "markets": [asdict(counts) for counts in self.markets],
            **self.body,
        }


def is_round_done(app: App, board: StatusBoard, window: Window) -> bool:
    """Tell whether the live hours are through features, the slot is promoted and the bot has had its hour."""
    runs = app.warehouse.read(RUN)
    done = runs.filter((pl.col("state") == "done") & (pl.col("detail") != ""))
    hours = done.filter((pl.col("step") == "features") & (pl.col("window_start") >= window.start))
    if hours.filter(pl.col("window_end") <= window.end).height < len(app.settings.markets) * (
        (window.end_ms - window.start_ms) // HOUR_MS
    ):
        return False
    if done.filter(pl.col("step") == "promote")["market"].n_unique() < len(app.settings.markets):
        return False
    bot = board.read("bot")
    return bot is not None and int(bot.detail.get("minutes", 0)) >= BOT_MINUTES


async def check_api(url: str, markets: Sequence[str], *, is_fresh: bool) -> dict[str, Any]:
    """Ask the API as another program would; give what was checked and what did not hold.

    Args:
        is_fresh: the market prints all the time, so the API must call itself ready.
    """
    problems: list[str] = []
    async with httpx.AsyncClient(base_url=url, timeout=5.0, trust_env=False) as client:
        answers = {path: await client.get(path) for path in ("/healthz", "/readyz", "/metrics", "/openapi.json")}
        for market in markets:
            for path in ("models", "bars", "ledger", "decisions", "backtests"):
                answers[f"{path} {market}"] = await client.get(f"/v1/{path}", params={"market": market})
        answers["orders"] = await client.get("/v1/orders")
        problems += [
            f"{name} answered {answer.status_code}: {answer.text[:200]}"
            for name, answer in answers.items()
            if answer.is_error and (is_fresh or name != "/readyz")
        ]
        began = time.perf_counter()
        answer = await client.post("/v1/forecasts", json={"markets": list(markets)})
        milliseconds = (time.perf_counter() - began) * 1000
        forecasts = answer.json() if answer.is_success else []
        if [forecast.get("market") for forecast in forecasts] != list(markets):
            problems.append(f"POST /v1/forecasts answered {answer.status_code}: {answer.text[:200]}")
        wrong = await client.post("/v1/forecasts", json={"markets": ["KRW-NONE"]})
        if wrong.status_code != 404:
            problems.append(f"an unknown market was answered with {wrong.status_code}, not 404")
    checked = len(answers) + 2
    return {"checked": checked, "problems": problems, "forecasts": forecasts, "forecast_ms": round(milliseconds, 2)}


def report_round(
    app: App,
    bot_status: StatusFile | None,
    window: Window,
    truth: Mapping[str, Truth],
    simulator: Mapping[str, Any],
    api: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> RoundReport:
    """Count everything after the processes have stopped; the simulator's answers were taken before."""
    journal = {market: app.raw.counts(market, window) for market in app.settings.markets}
    breaks = sum(session.connected_at_ms in window for session in app.sessions().sessions()[1:])
    markets = [
        count_market(market, window, truth[market], journal[market].distinct, app.lake, app.warehouse, breaks)
        for market in app.settings.markets
    ]
    open_hours = Window(window.end_ms, window.end_ms + 24 * HOUR_MS)
    forecasts = app.warehouse.read(FORECAST)
    bot = _bot(app, bot_status)
    body = {
        "window": str(window),
        "collector_breaks": breaks,
        "findings": {market: findings(app.warehouse, app.registry, market) for market in app.settings.markets},
        "simulator": {name: simulator[name] for name in ("frames_sent", "market_ms", "account")},
        "apart": {
            market: {
                "stream_lines": journal[market].stream_lines,
                "rest_lines": journal[market].rest_lines,
                "repeats": journal[market].repeats,
                "other_types": journal[market].other_lines,
                "open_hours_distinct": app.raw.counts(market, open_hours).distinct,
            }
            for market in app.settings.markets
        },
        "forecasts_stored": {
            str(version): int(count)
            for version, count in forecasts.group_by("market", "model_version")
            .len()
            .select(pl.concat_str("market", "model_version", separator=" "), "len")
            .sort("market")
            .iter_rows()
        },
        "candidates": [
            {"market": market, "name": version.name, "aliases": list(version.aliases), "metrics": dict(version.metrics)}
            for market in app.settings.markets
            for version in app.registry.versions(market)
        ],
        "champions": {market: _champion(app, market) for market in app.settings.markets},
        "api": api,
        "bot": bot,
        "seconds": dict(seconds),
    }
    problems = [problem for counts in markets for problem in counts.problems] + list(api["problems"])
    problems += [f"{market} has no champion" for market, found in body["champions"].items() if not found["name"]]  # type: ignore[attr-defined]
    if forecasts.is_empty():
        problems.append("no forecast was stored")
    if bot["minutes"] < BOT_MINUTES:
        problems.append(f"the bot ran {bot['minutes']} market minutes, fewer than {BOT_MINUTES}")
    taken = sum(bot["by_state"].get(state, 0) for state in ("acknowledged", "closed"))
    if taken != simulator["account"]["orders"]:
        problems.append(f"the bot knows {taken} orders that were taken, the exchange {simulator['account']['orders']}")
    return RoundReport(markets, body, problems)


def _champion(app: App, market: str) -> dict[str, str]:
    champion = app.registry.champion(market)
    decisions = list(app.registry.decisions(market))
    return {
        "name": champion.name if champion is not None else "",
        "reason": decisions[-1].reason if decisions else "",
    }


def _bot(app: App, status: StatusFile | None) -> dict[str, Any]:
    orders = app.warehouse.read(ORDER)
    equity = app.warehouse.read(EQUITY, last=1)
    detail = status.detail if status is not None else {}
    return {
        "preset": app.settings.strategy.preset,
        "orders": orders.height,
        "by_state": {str(state): int(count) for state, count in orders["state"].value_counts().iter_rows()},
        "filled": orders.filter(pl.col("executed_qty").is_not_null() & (pl.col("executed_qty") != "0")).height,
        "buys": orders.filter(pl.col("side") == "BUY").height,
        "sells": orders.filter(pl.col("side") == "SELL").height,
        "minutes": int(detail.get("minutes", 0)),
        "equity": str(equity["equity"][0]) if equity.height else "",
        "budget": str(app.settings.strategy.budget),
    }
