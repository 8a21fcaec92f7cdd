"""Which window a DAG run is for, and how much of it is left to the run ledger. No Airflow is needed for that."""

from __future__ import annotations

import pytest

from tickloop.domain.backtest_job import Job
from tickloop.domain.search import Search
from tickloop.domain.window import parse_window, slots_ended_in, slots_in
from tickloop.entrypoints.dags.windows import asked_search, key_of, window_of, wish_of
from tickloop.errors import UsageError, WindowError


@pytest.mark.parametrize(
    ("key", "conf", "expected"),
    [
        ("2024-01-02T03", None, "2024-01-02T03"),
        ("2024-01-02T03:00:00", None, "2024-01-02T03"),
        ("2024-01-02T03:00:00+00:00", None, "2024-01-02T03"),
        ("2024-01-02T00..T06", None, "2024-01-02T00..2024-01-02T06"),
        ("2024-01-02T00..T24", None, "2024-01-02T00..2024-01-03T00"),
        ("2024-01-02T03", {"window": "2024-01-05T03"}, "2024-01-02T03"),
        (None, {"window": "2024-01-02T03"}, "2024-01-02T03"),
        (None, {"window": "2024-01-02T03..T05"}, "2024-01-02T03..2024-01-02T05"),
    ],
)
def test_window_is_that_of_the_partition_key_else_of_the_configuration(
    key: str | None, conf: dict[str, str] | None, expected: str
) -> None:
    """Airflow's own form of a key is an hour too."""
    assert str(window_of(key, conf)) == expected


@pytest.mark.parametrize(
    ("key", "conf", "words"),
    [
        (None, None, ["no partition key", '{"window": "2024-01-02T03"}']),
        (None, {}, ["no partition key"]),
        (None, {"window": "yesterday"}, ['"window" of the configuration', "'yesterday'", "valid: 2024-01-02T03"]),
        (None, {"window": 5}, ['"window" of the configuration', "5", "valid: 2024-01-02T03"]),
        (None, {"window": "2024-01-02T22:30"}, ["'2024-01-02T22:30'", "valid: 2024-01-02T03"]),
        (None, {"window": "2024-02-30T01"}, ["day that does not exist"]),
        ("krw|btc", None, ["partition key", "'krw|btc'", "valid: 2024-01-02T03"]),
        ("2024-13-02T03:00:00", None, ["partition key", "2024-13-02"]),
    ],
)
def test_nonsense_window_is_named_with_a_valid_one(
    key: str | None, conf: dict[str, object] | None, words: list[str]
) -> None:
    """Whoever triggered the run reads it in the log of the task."""
    with pytest.raises(WindowError) as raised:
        window_of(key, conf)

    assert [word for word in words if word not in str(raised.value)] == []


@pytest.mark.parametrize("text", ["2024-01-02T03", "2024-01-02T00..2024-01-02T06", "2024-01-02T18..2024-01-03T00"])
def test_key_of_a_window_is_read_as_that_window(text: str) -> None:
    """The key that one DAG announces is the one that the next one reads."""
    window = window_of(text, None)

    assert window_of(key_of(window), None) == window


@pytest.mark.parametrize(
    ("run_type", "repeated", "ordered"),
    [("scheduled", False, True), ("asset_triggered", False, True), ("backfill", True, True), ("manual", True, False)],
)
def test_scheduled_runs_do_what_is_due_and_people_get_what_they_ask_for(
    run_type: str, repeated: bool, ordered: bool
) -> None:
    """A back-fill is asked for, but its hours still go one after the other."""
    assert wish_of(run_type) == (repeated, ordered)


@pytest.mark.parametrize(
    ("text", "whole", "ended"),
    [
        ("2024-01-02T05", [], ["2024-01-02T00..2024-01-02T06"]),
        ("2024-01-02T04", [], []),
        ("2024-01-02T00..T06", ["2024-01-02T00..2024-01-02T06"], ["2024-01-02T00..2024-01-02T06"]),
        (
            "2024-01-02T05..T12",
            ["2024-01-02T06..2024-01-02T12"],
            ["2024-01-02T00..2024-01-02T06", "2024-01-02T06..2024-01-02T12"],
        ),
    ],
)
def test_slots_of_a_window_are_those_inside_it_or_ended_in_it(text: str, whole: list[str], ended: list[str]) -> None:
    """The hour that ends a slot stands for it."""
    window = window_of(text, None)

    assert [str(slot) for slot in slots_in(window, 6)] == whole
    assert [str(slot) for slot in slots_ended_in(window, 6)] == ended


def test_search_of_a_run_is_that_of_its_configuration() -> None:
    """A person writes the window as text; a scheduler may hand on the numbers."""
    job = Job("KRW-BTC", parse_window("2024-01-02T00..T06"), strategy="grid", values={"max_lots": 4})
    conf = {"job": {"market": "KRW-BTC", "window": "2024-01-02T00..T06", "strategy": "grid", "values": {"max_lots": 4}}}

    assert asked_search(conf) == Search(job)
    assert asked_search(Search(job).as_dict()) == Search(job)
    assert asked_search({**conf, "method": "random", "trials": 5, "axes": ["fall_bp=10:50"]}) == Search(
        job, ("fall_bp=10:50",), "random", 5
    )


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        (None, ['has no "job"', '"window": "2024-01-02T00..2024-01-04T00"']),
        ({"job": "KRW-BTC"}, ['has no "job"']),
        ({"job": {"market": "KRW-BTC", "window": "today"}}, ['"window" of the job', "'today'", "valid: 2024-01-02T03"]),
        ({"job": {"market": "KRW-BTC"}}, ["cannot be read", "window"]),
        ({"job": {"market": "KRW-BTC", "window": "2024-01-02T00"}, "trial": 5}, ["cannot be read", "trial"]),
        ({"job": {"market": "KRW-BTC", "window": "2024-01-02T00"}, "trials": 0}, ["0 trials; valid: from 1"]),
    ],
)
def test_search_that_is_none_is_named(conf: dict[str, object] | None, words: list[str]) -> None:
    """Whoever triggered the run reads it in the log of its first task."""
    with pytest.raises(UsageError) as raised:
        asked_search(conf)

    assert [word for word in words if word not in str(raised.value)] == []
