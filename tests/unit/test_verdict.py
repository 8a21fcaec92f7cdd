"""The first line of a report, in each case that there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.verdict import Evidence, Kind, verdict
from tickloop.errors import DataError

GOOD = Evidence(
    profit_krw=12_345.0,
    trades=400,
    losses=120,
    path="recorded",
    trials=190,
    p_mean=0.004,
    interval_krw=(3_000.0, 21_000.0),
    deflated_sharpe=0.981,
    overfitting=0.07,
    p_signal=0.005,
    buy_and_hold_krw=-2_000.0,
)


def test_result_without_a_doubt_is_unlikely_to_be_luck() -> None:
    """With every figure that says so, and no promise."""
    found = verdict(GOOD)

    assert found.kind is Kind.UNLIKELY_LUCK
    assert found.text == (
        "This result is unlikely to be luck: +12,345 KRW after fees in 400 round trips, 95 % between +3,000 and +21,000"
        " (holding the market: -2,000 KRW), p 0.004, best of 190 trials with deflated Sharpe 0.981, probability of"
        " over-fitting 0.07, p 0.005 against shuffled forecasts; that is no promise for other times."
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trades": 29, "losses": 9}, "fewer than 30 round trips say little"),
        ({"losses": 4}, "only 4 of them lost, so that the size of rare losses is not known"),
        ({"p_mean": 0.051}, "a strategy worth nothing does as well in 5.1 % of cases"),
        ({"p_mean": None}, "how far chance could move it was not measured"),
        ({"p_signal": 0.4}, "its forecasts put at other minutes earn as much in 40 % of cases"),
        ({"deflated_sharpe": 0.62}, "it is the best of 190 trials, and the chance that it is better than the best of"),
        ({"deflated_sharpe": None}, "it is the best of 190 trials, and what that choice alone brings was not measured"),
        ({"overfitting": None}, "it is the best of 190 trials, and what that choice alone brings was not measured"),
        ({"overfitting": 0.45}, "a trial chosen like this is not above the median afterwards in 45 % of cases"),
    ],
)
def test_each_doubt_alone_makes_it_luck_and_is_named(change: dict[str, float | None], says: str) -> None:
    """A measure that is missing is a doubt too."""
    found = verdict(replace(GOOD, **change))

    assert found.kind is Kind.LUCK
    assert found.text.startswith("This result cannot be told from luck: +12,345 KRW after fees in ")
    assert f", but {says}" in found.text


def test_trials_whose_profits_are_not_known_are_held_against_the_best_of_as_many() -> None:
    """By the p of the best; over-fitting cannot be measured then."""
    unknown = replace(GOOD, overfitting=None)

    good, bad = verdict(replace(unknown, p_best=0.03)), verdict(replace(unknown, p_best=0.4))

    assert good.kind is Kind.UNLIKELY_LUCK
    assert "best of 190 trials with deflated Sharpe 0.981, p 0.03 for the best of so many," in good.text
    assert bad.kind is Kind.LUCK
    assert "but the best of 190 worthless strategies does as well in up to 40 % of cases." in bad.text


def test_signals_are_called_signals() -> None:
    """Where a strategy makes its own."""
    good, bad = (verdict(replace(GOOD, p_signal=p, signal_of="signals")) for p in (0.01, 0.4))

    assert "p 0.01 against shuffled signals;" in good.text
    assert "but its signals put at other minutes earn as much in 40 % of cases." in bad.text


def test_all_doubts_are_said() -> None:
    """Not only the first."""
    found = verdict(replace(GOOD, trades=7, losses=2, p_mean=0.3, deflated_sharpe=0.5, overfitting=0.5, p_signal=0.5))

    assert found.text.count("; ") == 4


def test_loss_is_called_a_loss() -> None:
    """Whether or not luck could explain it; 0 KRW in round trips earned nothing either."""
    sure = verdict(replace(GOOD, profit_krw=-800.0, interval_krw=(-1_500.0, -100.0), buy_and_hold_krw=None))
    bad_luck = verdict(replace(GOOD, profit_krw=-800.0, interval_krw=(-1_500.0, 90.0), trades=1, losses=1))

    assert sure.text == (
        "This result loses money: -800 KRW after fees in 400 round trips, 95 % between -1,500 and -100."
    )
    assert "in 1 round trip, " in bad_luck.text
    assert bad_luck.text.endswith("; a loss of that size can be bad luck, which is no reason to expect a profit.")
    assert {sure.kind, bad_luck.kind, verdict(replace(GOOD, profit_krw=0.0)).kind} == {Kind.LOSS}


def test_one_trial_asks_for_no_deflation() -> None:
    """A result that was not searched for needs no figures of a search."""
    found = verdict(replace(GOOD, trials=1, deflated_sharpe=None, overfitting=None, p_signal=None))

    assert found.kind is Kind.UNLIKELY_LUCK
    assert found.text.endswith("(holding the market: -2,000 KRW), p 0.004; that is no promise for other times.")


def test_bar_mode_says_what_it_took() -> None:
    """Its profit may be claimed, for a bar's doubt is against us."""
    assert verdict(replace(GOOD, path="bars")).text.endswith(" What a bar cannot tell was taken against it.")


def test_nothing_traded_is_nothing_judged() -> None:
    """No orders is not a loss."""
    found = verdict(Evidence(profit_krw=0.0, trades=0, losses=0, path="recorded"))

    assert found == (Kind.NOTHING, "Nothing was traded: there is no result to judge.")


SHARES = st.none() | st.floats(0.0, 1.0)


@given(
    profit=st.floats(-1e9, 1e9),
    trades=st.integers(0, 10**6),
    trials=st.integers(1, 10**6),
    shares=st.tuples(SHARES, SHARES, SHARES, SHARES),
)
def test_invented_path_never_makes_a_profit(
    profit: float, trades: int, trials: int, shares: tuple[float | None, float | None, float | None, float | None]
) -> None:
    """Whatever the figures are, none of them is shown; and no loss is called anything but a loss elsewhere."""
    evidence = Evidence(profit, trades, trades // 2, "invented", trials, shares[0], None, *shares[1:])

    found, elsewhere = verdict(evidence), verdict(replace(evidence, path="recorded"))

    assert found.kind is Kind.INVENTED
    assert "KRW" not in found.text
    assert profit > 0 or elsewhere.kind in (Kind.LOSS, Kind.NOTHING)


@pytest.mark.parametrize("change", [{"p_mean": 1.1}, {"overfitting": float("nan")}, {"trials": 0}, {"losses": 401}])
def test_figures_that_cannot_be_are_refused(change: dict[str, float]) -> None:
    """Before a sentence is made of them."""
    with pytest.raises(DataError, match="valid:"):
        replace(GOOD, **change)


def test_profit_that_is_no_number_is_refused() -> None:
    """A NaN is neither above 0 nor below, and would pass for a profit."""
    with pytest.raises(DataError, match="valid:"):
        replace(GOOD, profit_krw=float("nan"))
