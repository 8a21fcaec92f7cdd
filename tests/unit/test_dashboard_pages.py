"""Every page over a made API: as it should be, empty, and away."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

import tickloop.entrypoints.dashboard as dashboard
from dashboard_api import SeededApi, transport
from serving import world
from tickloop.entrypoints.dashboard.client import ApiClient, share

PAGES = ("live", "equity", "models", "health")
TIMEOUT_S = 30.0


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit leaves its script behind as the main module, which a spawned process of a later test would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def opened(name: str, served: httpx.BaseTransport) -> AppTest:
    share(ApiClient("http://api", transport=served))

    def script(name: str) -> None:
        from tickloop.entrypoints.dashboard import pages

        getattr(pages, name)()

    page = AppTest.from_function(script, default_timeout=TIMEOUT_S, kwargs={"name": name}).run()
    assert [error.value for error in page.exception] == []
    return page


def texts(page: AppTest) -> str:
    return "\n".join(str(element.value) for element in (*page.caption, *page.info, *page.warning, *page.success))


def test_app_opens_with_the_live_page() -> None:
    """The script as Streamlit runs it: navigation, the chart's library, the first page."""
    share(ApiClient("http://api", transport=transport(SeededApi(30))))

    page = AppTest.from_file(Path(dashboard.__file__).with_name("app.py"), default_timeout=TIMEOUT_S).run()

    assert [error.value for error in page.exception] == []
    assert page.metric[0].label == "Market time, 01-22 KST"
    assert page.metric[0].value == "09:29:31"


def test_live_page_shows_the_champion_and_why() -> None:
    """Price, forecast, champion, its orders and the last decisions."""
    page = opened("live", transport(SeededApi(30)))

    assert [metric.label for metric in page.metric[1:]] == ["Last price, KRW", "Forecast for 09:29, KRW", "Champion"]
    assert page.metric[3].value == "lightgbm-3"
    assert page.dataframe[0].value["side"].to_list() == ["BUY", "SELL", "BUY"]
    assert "lightgbm\\-3 replaces persistence\\-1" in texts(page)


def test_chosen_market_stays_chosen() -> None:
    """Each refresh draws the control anew; the choice outlives that."""
    page = opened("live", transport(SeededApi(30)))

    page.button_group(key="market").set_value("KRW-ETH").run()
    page.run()

    assert page.session_state["market"] == "KRW-ETH"
    assert page.metric[1].value.startswith("3,")


def test_equity_page_shows_purse_orders_and_strategies() -> None:
    """The purse of the bot, and what default, seed2023, holding and doing nothing would have made."""
    page = opened("equity", transport(SeededApi(30)))

    orders, strategies = (table.value for table in page.dataframe)
    assert [metric.label for metric in page.metric] == ["Equity, KRW", "Cash, KRW", "In open lots, KRW", "As of, KST"]
    assert orders["id"].to_list() == ["tl-bot-000002", "tl-bot-000001", "tl-bot-000000"]
    assert strategies["profit KRW"].to_list() == [-12.4, -1_904.2, 317.2, 0.0] * 2


def test_models_page_lists_versions_newest_first() -> None:
    """Role and metrics per version, for each market."""
    page = opened("models", transport(SeededApi(30)))

    table = page.dataframe[0].value
    assert table["model"].to_list() == ["lightgbm-3", "ridge-2", "persistence-1"]
    assert table["role"].to_list() == ["champion", "shadow", "previous"]


def test_health_page_counts_minutes_and_lists_those_not_verified() -> None:
    """Counts by state, then the newest minutes with their reason."""
    page = opened("health", transport(SeededApi(30)))

    assert [(metric.label, metric.value) for metric in page.metric[:2]] == [("verified", "20,157"), ("repaired", "1")]
    assert page.dataframe[1].value["reason"].to_list() == ["pending", "gone", ""]


def test_ended_recording_is_a_note_and_no_alarm() -> None:
    """A market that trades no more is not a fault."""
    api = SeededApi(30)
    status = api.status()
    status["markets"][0].update(stream="ended", message="the market trades no more")
    api.status = lambda: status  # type: ignore[method-assign]  # what the API says from then on

    page = opened("live", transport(api))

    assert page.info[0].value == "KRW-BTC: the market trades no more."
    assert len(page.warning) == 0


@pytest.mark.parametrize("name", PAGES)
def test_page_opens_while_there_is_nothing_to_show_yet(name: str) -> None:
    """No bar, no order, no champion: the first seconds of a new home."""
    page = opened(name, transport(SeededApi(0)))

    assert len(page.dataframe) == (1 if name == "health" else 0)
    assert "yet" in texts(page)


@pytest.mark.parametrize("name", PAGES)
def test_page_waits_for_an_api_that_is_away_and_comes_back(name: str) -> None:
    """A plain message with the address; the next refresh draws the page."""
    api = SeededApi(30)
    api.is_away = True
    page = opened(name, transport(api))
    assert "Waiting for the API at http://api" in texts(page)

    api.is_away = False
    page.run()

    assert "Waiting for the API" not in texts(page)


async def test_pages_show_what_the_real_api_answers() -> None:
    """The made API above could drift from the real one; this reads the real one's routes."""
    real = world()
    await real.prepare()
    answers: dict[str, Any] = {}
    async with real.client() as client:
        for path in ("status", "bars", "forecasts", "orders", "equity", "models", "decisions", "backtests", "ledger"):
            for market in ("KRW-BTC", "KRW-ETH"):
                query = {} if path in ("status", "equity") else {"market": market}
                answers[f"/v1/{path} {market}"] = (
                    (await client.get(f"/v1/{path}", params=query)).raise_for_status().json()
                )

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers[f"{request.url.path} {request.url.params.get('market', 'KRW-BTC')}"])

    shown = [opened(name, httpx.MockTransport(respond)) for name in PAGES]

    assert [metric.value for metric in shown[0].metric][3] == "ridge-2"
    assert shown[2].dataframe[0].value["model"].to_list() == ["ridge-2", "persistence-1"]
