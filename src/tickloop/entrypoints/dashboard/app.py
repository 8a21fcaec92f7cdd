"""The pages. Run by Streamlit; everything that they show comes from the API."""

from __future__ import annotations

import os
from collections.abc import Callable

import streamlit as st

from tickloop.entrypoints.dashboard import views
from tickloop.entrypoints.dashboard.chart import show_chart
from tickloop.entrypoints.dashboard.client import ApiClient
from tickloop.entrypoints.dashboard.run import API_VARIABLE
from tickloop.errors import RetryableError

REFRESH_S = 1.0
SLOW_REFRESH_S = 5.0
CHART_BARS = 180

INVENTED = "Prices are real, the path inside a minute is invented: the exchange here is the simulator."


@st.cache_resource
def client() -> ApiClient:
    return ApiClient(os.environ.get(API_VARIABLE, "http://127.0.0.1:8000"))


def main() -> None:
    st.set_page_config(page_title="Tickloop", page_icon=":material/candlestick_chart:", layout="wide")
    pages = [
        st.Page(_page(live), title="Live", icon=":material/candlestick_chart:", url_path="live", default=True),
        st.Page(_page(equity), title="Equity", icon=":material/account_balance_wallet:", url_path="equity"),
        st.Page(_page(models), title="Models", icon=":material/model_training:", url_path="models"),
        st.Page(_page(health), title="Data health", icon=":material/fact_check:", url_path="health"),
    ]
    st.navigation(pages).run()


def _page(show: Callable[[], None]) -> Callable[[], None]:
    """Give a page that says so when the API is away, and comes back by itself."""

    def page() -> None:
        try:
            show()
        except RetryableError as exc:
            st.info(f"Waiting for the API at {client().url}. This page goes on by itself.", icon=":material/sync:")
            st.caption(str(exc))

    page.__name__ = show.__name__
    return page


def _choose_market() -> str:
    markets = [row["market"] for row in client().status()["markets"]]
    chosen = st.segmented_control("Market", markets, default=markets[0], key="market", label_visibility="collapsed")
    return str(chosen or markets[0])


def live() -> None:
    @st.fragment(run_every=REFRESH_S)
    def body() -> None:
        _page(_live_body)()

    body()


def _live_body() -> None:
    market = _choose_market()
    status = client().status()
    found = next(row for row in status["markets"] if row["market"] == market)
    bars = client().bars(market, CHART_BARS)
    model = found["champion"] or ""
    forecasts = client().forecasts(market, CHART_BARS * 4)
    orders = client().orders(market)
    _figures(status, found, forecasts, model)
    show_chart(views.chart_data(market, bars, forecasts, orders, model))
    st.caption(f"{INVENTED} Axis in KST. {views.market_line(status, market)}")
    left, right = st.columns([3, 2])
    left.markdown("**Latest orders**")
    left.dataframe(views.order_rows(orders[-12:]), height=260, hide_index=True)
    right.markdown("**Why this model forecasts**")
    for decision in client().decisions(market)[-2:][::-1]:
        right.caption(decision["reason"])


def _figures(status: views.Row, found: views.Row, forecasts: list[views.Row], model: str) -> None:
    newest = next((row for row in reversed(forecasts) if row["model_version"] == model), None)
    columns = st.columns(4)
    columns[0].metric("Market time (KST)", views.kst(status["market_time"]))
    columns[1].metric("Last price", f"{found['last_price']:,.0f}" if found["last_price"] else "-")
    columns[2].metric("Forecast", f"{newest['price']:,.0f}" if newest else "-")
    columns[3].metric("Champion", model or "-")
    if found["stream"] == "ended":
        st.info(found["message"], icon=":material/flag:")


def equity() -> None:
    @st.fragment(run_every=REFRESH_S)
    def body() -> None:
        _page(_equity_body)()

    body()


def _equity_body() -> None:
    st.subheader("The bot's purse")
    series = views.equity_series(client().equity())
    if series:
        last = series[-1]
        columns = st.columns(3)
        columns[0].metric("Equity", f"{last['equity']:,.2f} KRW", f"{last['equity'] - series[0]['equity']:,.2f} KRW")
        columns[1].metric("Cash", f"{last['cash']:,.2f} KRW")
        columns[2].metric("In lots", f"{last['equity'] - last['cash']:,.2f} KRW")
        st.line_chart(series, x="time", y="equity", y_label="KRW", x_label="KST", height=260)
    else:
        st.caption("The bot has not reported yet.")
    st.subheader("Orders")
    st.dataframe(views.order_rows(client().orders(last=100)), height=300, hide_index=True)
    st.subheader("Back-test of the newest slot, bar mode, after fees")
    for market in [row["market"] for row in client().status()["markets"]]:
        st.caption(market)
        st.dataframe(views.backtest_rows(client().backtests(market)), hide_index=True)
    st.caption("In bar mode, what a bar cannot tell is taken against us. " + INVENTED)


def models() -> None:
    @st.fragment(run_every=SLOW_REFRESH_S)
    def body() -> None:
        _page(_models_body)()

    body()


def _models_body() -> None:
    for market in [row["market"] for row in client().status()["markets"]]:
        st.subheader(market)
        st.dataframe(views.model_rows(client().models(market)), hide_index=True)
        for decision in reversed(client().decisions(market)):
            st.caption(f"{views.kst(decision['decided_at'])} KST · {decision['reason']}")


def health() -> None:
    @st.fragment(run_every=SLOW_REFRESH_S)
    def body() -> None:
        _page(_health_body)()

    body()


def _health_body() -> None:
    status = client().status()
    if status["problems"]:
        st.warning("; ".join(status["problems"]), icon=":material/warning:")
    else:
        st.success("Forecasts are made from fresh data.", icon=":material/check_circle:")
    for market in [row["market"] for row in status["markets"]]:
        st.subheader(market)
        st.caption(views.market_line(status, market))
        ledger = client().ledger(market)
        if not ledger["counts"]:
            st.caption("No hour is settled yet.")
            continue
        columns = st.columns(5)
        for column, (state, count) in zip(columns, sorted(ledger["counts"].items()), strict=False):
            column.metric(state, f"{count:,}")
        st.dataframe(views.ledger_rows(ledger), height=240, hide_index=True)


main()
