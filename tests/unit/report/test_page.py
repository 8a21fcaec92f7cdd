"""The page about a back-test says what the summary says, is safe to open, and shows no profit that is none."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import pytest

from report_world import CASH, SPREAD, Seen, bar_inputs, subject_of, tick_inputs
from tickloop.domain.backtest_costs import costs_of
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy import PRESETS, default
from tickloop.entrypoints.report.html import krw
from tickloop.entrypoints.report.judged import judgement_section
from tickloop.entrypoints.report.page import MAX_ORDERS, backtest_page
from tickloop.services.honesty import judged


def data_of(page: str, name: str) -> dict[str, list[list[float]]]:
    found = re.search(rf'<script type="application/json" id="data-{name}">(.*?)</script>', page)
    assert found is not None
    return dict(json.loads(found.group(1)))


def test_page_begins_with_the_verdict_and_shows_the_figures_of_the_summary() -> None:
    """Profit, yardsticks, lots apart, costs: what `--json` prints too."""
    subject = subject_of(bar_inputs())
    summary = subject.result.summary()

    seen = Seen(backtest_page(subject))

    body = seen.words[seen.words.index("This result loses money.") :]
    assert seen.words[1] == body[0]  # after the title
    for name in ("profit_krw", "buy_and_hold_krw", "realized_krw", "profit_pessimistic_krw"):
        assert f"{krw(summary[name], signed=True)} KRW" in body
    assert f"{summary['trades']:,}" in body
    assert any(f"mean {krw(summary['mean_profit_per_trade_krw'], signed=True)} KRW each" in word for word in body)
    assert f"{krw(summary['turnover_krw'])} KRW" in body


def test_marks_of_the_chart_count_every_fill_once() -> None:
    """However wide the candles are."""
    for minutes in (600, 4_500):
        subject = subject_of(bar_inputs(minutes))
        data = data_of(backtest_page(subject), "candles")

        filled = subject.result.orders["filled_at"].is_not_null().sum()
        assert filled > 50
        assert sum(row[2] for row in data["marks"]) == filled
        assert len(data["candles"]) <= 2_000
        times = [row[0] for row in data["candles"]]
        assert times == sorted(set(times))
        assert {row[0] for row in data["marks"]} <= set(times)


def test_parts_of_the_costs_add_up_to_the_profit() -> None:
    """And filling a tick worse costs what the ticks are worth."""
    result = subject_of(tick_inputs()).result
    costs = costs_of(result)

    assert costs.profit == pytest.approx(result.profit_krw, abs=1e-9)
    assert costs.fees == pytest.approx(result.summary()["fees_krw"], abs=1e-4)
    assert costs.filling > 0.0


def test_equity_and_drawdown_end_and_lie_where_the_summary_says() -> None:
    """Draw-down is measured from the budget on."""
    subject = subject_of(bar_inputs())
    page = backtest_page(subject)
    summary = subject.result.summary()

    equity, falls = data_of(page, "equity")["equity"], data_of(page, "drawdown")["drawdown"]

    assert equity[-1][1] == pytest.approx(CASH + summary["profit_krw"], abs=0.01)
    assert -min(row[1] for row in falls) == pytest.approx(summary["max_drawdown_krw"], abs=0.01)


def test_made_tape_shows_no_profit_anywhere() -> None:
    """What trades made from candles earn between ticks is invented."""
    subject = subject_of(tick_inputs("invented"))

    page = backtest_page(subject)

    seen = Seen(page)
    assert "what prices did inside a minute is invented" in seen.text
    assert 'id="data-equity"' not in page
    for word in ("Profit", "Win rate", "draw-down", "Where the profit went", "Buy and hold"):
        assert word not in seen.text.replace("No profit is shown", "")
    assert 'id="data-candles"' in page


def test_names_from_files_and_models_are_text_and_never_markup() -> None:
    """A strategy file may be called anything."""
    hostile = "<script>alert(1)</script>\"'&"
    inputs = replace(bar_inputs(), version=hostile)
    subject = replace(subject_of(inputs, name=hostile), verdict=("loss", hostile))

    page = backtest_page(subject)

    seen = Seen(page)
    assert page.count("<script") == backtest_page(subject_of(bar_inputs())).count("<script")
    assert seen.text.count(hostile) == 4  # title, verdict, heading, model


def test_policy_of_the_page_allows_its_own_scripts_and_nothing_else() -> None:
    """A page that is mailed around must not call anywhere."""
    page = backtest_page(subject_of(bar_inputs()))

    policy = next(attrs["content"] for tag, attrs in Seen(page).tags if attrs.get("http-equiv"))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    allowed = {f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts}
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert len(scripts) == 2
    assert set(policy.split("script-src ")[1].split()) == allowed
    assert [tag for tag, attrs in Seen(page).tags if "src" in attrs or tag in ("link", "iframe", "img")] == []


def test_run_without_an_order_is_a_page_too() -> None:
    """Figures that have no meaning are dashes."""
    params = SHIPPED["do_nothing"].presets["default"]
    subject = subject_of(bar_inputs(), SHIPPED["do_nothing"], params)

    seen = Seen(backtest_page(subject))

    assert "No order was sent." in seen.text
    assert "none was closed" in seen.text
    assert "\u2013" in seen.words


def test_long_list_of_orders_is_cut_and_says_so() -> None:
    """The page stays small."""
    subject = subject_of(bar_inputs(4_500))
    assert subject.result.orders.height > MAX_ORDERS

    page = backtest_page(subject)

    assert f"the first {MAX_ORDERS:,} of {subject.result.orders.height:,} orders" in Seen(page).text
    assert len(page) < 1_000_000


def test_every_drawing_has_words_for_those_who_cannot_see_it() -> None:
    """A label each."""
    tags = Seen(backtest_page(subject_of(bar_inputs()))).tags

    figures = [attrs for tag, attrs in tags if tag == "figure"]
    assert len(figures) == 5
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in figures)


def test_judgement_is_drawn_with_its_figures_and_the_reasons_for_what_is_missing() -> None:
    """Bars have no latency; too short a run is not resampled."""
    inputs = bar_inputs()
    result = subject_of(inputs).result
    judgement = judged(inputs, default, PRESETS["default"], SPREAD, CASH, result, trials=7, permutations=20)

    seen = Seen(judgement_section(judgement.as_dict()))

    told = judgement.as_dict()
    assert told["luck"] is not None
    assert f"{told['luck']['p_mean']:,.3f}" in seen.words
    assert "7" in seen.words
    assert any(word.startswith("Profit at other fees") for word in seen.words)
    assert not any("later" in word for word in seen.words)
    assert any(word.startswith("overfitting:") for word in seen.words)
