"""The four pages. Each reads first and draws then, so that an API that goes away leaves no half page."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import streamlit as st

from tickloop.entrypoints.dashboard import views
from tickloop.entrypoints.dashboard.chart import show_market, show_purse
from tickloop.entrypoints.dashboard.client import Row, shared
from tickloop.errors import RetryableError

REFRESH_S = 1.0
SLOW_REFRESH_S = 3.0
CHART_BARS = 180
VERSIONS = 8
"""Champion and shadows whose forecasts come mixed: that many rows a minute are asked for at most."""


_LEGEND = (
    ":green[▮]:red[▮] candles · :orange[━] forecast at its minute · :gray[━] traded price (vwap) · "
    ":green[▲] buy :red[▼] sell · axis in KST"
)

_UNITS = (
    "bp: hundredths of a percent of the last price. Skill: how much smaller the error is than that of persistence;"
    " above 0 is better."
)


def live() -> None:
    _live()


def equity() -> None:
    _equity()


def models() -> None:
    _models()


def health() -> None:
    _health()


def refreshed(every_s: float) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Make a page's body draw itself anew, and say so while the API is away."""

    def decorate(body: Callable[[], None]) -> Callable[[], None]:
        @functools.wraps(body)
        def guarded() -> None:
            try:
                body()
            except RetryableError as exc:
                st.info(f"Waiting for the API at {shared().url}. This page goes on by itself.", icon=":material/sync:")
                st.caption(str(exc))

        fragment: Callable[[], None] = st.fragment(guarded, run_every=every_s)
        return fragment

    return decorate


@refreshed(REFRESH_S)
def _live() -> None:
    api = shared()
    status = api.status()
    if not status["markets"]:
        st.caption("The API serves no market.")
        return
    _banner(status)
    columns = st.columns([1.3, 1, 1, 1.2, 1], vertical_alignment="top")
    with columns[0]:
        market = _choose_market([row["market"] for row in status["markets"]])
    found = next(row for row in status["markets"] if row["market"] == market)
    model = found["champion"] or ""
    bars, orders = api.bars(market, CHART_BARS), api.orders(market)
    forecasts = api.forecasts(market, CHART_BARS * min(VERSIONS, 1 + len(found["shadows"])))
    decisions = api.decisions(market, 3)
    _figures(columns[1:], status, found, views.newest_forecast(forecasts, model))
    _notes(found)
    show_market(views.chart_data(market, model, bars, forecasts, orders))
    st.caption(_LEGEND + ("" if bars else " · no bar yet: the first comes with the first trade"))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown("**Orders of the bot**")
        _table(views.order_rows(orders[-50:]), "No order yet.", height=250, hidden=("market", "id", "quantity"))
    with right:
        st.markdown("**Why this model forecasts**")
        _decisions(decisions)


def _banner(status: Row) -> None:
    if status["notice"]:
        st.badge(status["notice"], icon=":material/science:", color="orange")


def _choose_market(markets: list[str]) -> str:
    # Without a default there would be none chosen at first; with "session" the choice outlives other pages and outages.
    if st.session_state.get("market") not in markets:
        st.session_state["market"] = markets[0]
    chosen = st.segmented_control(
        "Market", markets, key="market", required=True, label_visibility="collapsed", persist_state="session"
    )
    return str(chosen)


def _figures(columns: Any, status: Row, found: Row, forecast: Row | None) -> None:
    day, time = views.kst(status["market_time"]).split()
    columns[0].metric(f"Market time, {day} KST", time)
    columns[1].metric("Last price, KRW", views.money(found["last_price"]))
    if forecast is None:
        columns[2].metric("Forecast, KRW", "-")
    else:
        move_bp = forecast["log_return"] * 1e4
        title = f"Forecast for {views.kst(forecast['target_minute'])[6:11]}, KRW"
        columns[2].metric(title, views.money(forecast["price"]), f"{move_bp:+.2f} bp")
    columns[3].metric("Champion", found["champion"] or "none yet")


def _notes(found: Row) -> None:
    if found["stream"] == "ended":
        st.info(f"{found['market']}: {views.plain(found['message'])}.", icon=":material/flag:")
    elif found["message"] != "live":
        st.warning(views.plain(found["message"]), icon=":material/hourglass_top:")


@refreshed(SLOW_REFRESH_S)
def _equity() -> None:
    api = shared()
    status = api.status()
    markets = [row["market"] for row in status["markets"]]
    purse, orders = api.equity(), api.orders(last=100)
    backtests = [row for market in markets for row in views.backtest_rows(market, api.backtests(market))]
    _banner(status)
    st.subheader("The bot's purse")
    newest = views.newest_purse(purse)
    if newest is None:
        st.caption("The bot has not reported yet.")
    else:
        data = views.purse_data(purse)
        columns = st.columns(4)
        columns[0].metric("Equity, KRW", views.money(newest["equity"]), views.signed(newest["equity"], data["base"]))
        columns[1].metric("Cash, KRW", views.money(newest["cash"]))
        columns[2].metric("In open lots, KRW", views.money(newest["lots_value"]))
        columns[3].metric("As of, KST", views.kst(newest["ts"]))
        show_purse(data)
        st.caption("Change since the left end of the curve; open lots at their market value. Axis in KST.")
    st.subheader("Orders")
    _table(views.order_rows(orders), "No order yet.", height=280)
    st.subheader("What each strategy would have made, after fees")
    _table(backtests, "No back-test yet: the first comes with the first training.")
    st.caption("Back-test of the newest slot in bar mode; what a bar cannot tell is taken against us.")


@refreshed(SLOW_REFRESH_S)
def _models() -> None:
    api = shared()
    status = api.status()
    markets = [row["market"] for row in status["markets"]]
    found = {market: (api.models(market), api.decisions(market)) for market in markets}
    _banner(status)
    for market, (versions, decisions) in found.items():
        st.subheader(market)
        _table(views.model_rows(versions), "No model is registered yet.")
        _decisions(decisions)
    st.caption(_UNITS)


def _decisions(decisions: list[Row]) -> None:
    if not decisions:
        st.caption("No decision yet.")
    for decision in reversed(decisions):
        icon = ":material/arrow_upward:" if decision["is_promoted"] else ":material/remove:"
        st.caption(f"{icon} {views.kst(decision['decided_at'])} KST · {views.plain(decision['reason'])}")


@refreshed(SLOW_REFRESH_S)
def _health() -> None:
    api = shared()
    status = api.status()
    ledgers = {row["market"]: api.ledger(row["market"]) for row in status["markets"]}
    _banner(status)
    if status["problems"]:
        st.warning("  \n".join(views.plain(problem) for problem in status["problems"]), icon=":material/warning:")
    else:
        st.success("Forecasts are made from fresh data.", icon=":material/check_circle:")
    _table(views.stream_rows(status), "The API serves no market.")
    counts = [f"{name.replace('_', ' ')} {count:,}" for name, count in status["counts"].items()]
    st.caption("The API since its start: " + " · ".join(counts))
    for market, ledger in ledgers.items():
        st.subheader(f"{market}: minutes by state")
        if not ledger["counts"]:
            st.caption("No hour is settled yet.")
            continue
        for column, (state, count) in zip(st.columns(5), views.state_counts(ledger), strict=True):
            column.metric(state, f"{count:,}")
        _table(views.ledger_rows(ledger), "Every settled minute is verified.", height=215)


def _table(rows: list[Row], empty: str, height: int | None = None, hidden: tuple[str, ...] = ()) -> None:
    if not rows:
        st.caption(empty)
        return
    columns = {name: st.column_config.NumberColumn(format=form) for name, form in views.FORMATS.items()}
    shown = [name for name in rows[0] if name not in hidden]
    st.dataframe(
        rows,
        height=min(height or 420, 38 + 35 * len(rows)),
        hide_index=True,
        column_order=shown,
        column_config=columns,
        placeholder="-",
    )
