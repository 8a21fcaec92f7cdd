"""The index template, names of indices, and which of them are old."""

import hashlib
import json

import pytest

from fakes import START_MS
from tickloop.adapters.opensearch.errors import Place
from tickloop.adapters.opensearch.names import day_ms_of, index_of, indices_within, pattern_of
from tickloop.adapters.opensearch.prune import old_days
from tickloop.adapters.opensearch.template import KIND_OF, TRADE_SORT, VERSION, check_version, drift_of, template
from tickloop.adapters.upbit.simple import _LONG_OF
from tickloop.domain.window import DAY_MS, HOUR_MS, Window
from tickloop.errors import StoreError

DAYS = ["t-2024.01.21", "t-2024.01.22", "t-2024.01.23", "t-doctor-1", "t-2024.13.45", "tt-2024.01.22"]


def test_template_knows_every_field_of_the_messages_that_are_kept() -> None:
    """And our own five."""
    kept = {name for kind in ("trade", "ticker", "orderbook", "candle") for name in _LONG_OF[kind].values()}

    assert set(KIND_OF) == kept | {"ts_received", "arrival", "@timestamp", "doc_id", "source"}
    assert set(template("t")["template"]["mappings"]["properties"]) == set(KIND_OF)


def test_template_guesses_nothing_and_sorts_by_a_unique_key() -> None:
    """What is not known stays in the document."""
    body = template("tickloop", shards=2, replicas=1)

    index, mappings = body["template"]["settings"]["index"], body["template"]["mappings"]
    assert mappings["dynamic"] is False
    assert index["sort.field"] == list(TRADE_SORT)
    assert (index["number_of_shards"], index["number_of_replicas"], index["refresh_interval"]) == (2, 1, "30s")
    assert body["index_patterns"] == ["tickloop-2*"]
    assert body["version"] == VERSION
    assert mappings["properties"]["sequential_id"] == {"type": "long", "ignore_malformed": False}
    assert mappings["properties"]["trade_price"] == {"type": "double"}
    assert mappings["properties"]["best_ask_size"] == {"type": "double", "index": False}


def test_template_that_changes_gets_a_new_version() -> None:
    """Else servers keep the old one: after a change give VERSION one more, and put it here with the new digest."""
    body = template("t")["template"]
    body["mappings"].pop("_meta")

    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]

    assert (VERSION, digest) == (2, "ae8165b62e5a")


def test_drift_names_new_fields_and_values_of_another_kind() -> None:
    """Null may stand for any value: Upbit sends `delisting_date: null`."""
    fields = {"type": "ticker", "code": "KRW-BTC", "delisting_date": None, "level": 0, "trade_price": 5.8e7}

    assert list(drift_of(fields)) == []
    assert list(drift_of(fields | {"new": 1, "level": "0", "timestamp": 1.5})) == ["level", "new", "timestamp"]


@pytest.mark.parametrize(
    ("version", "words"), [(None, "ship --once"), (VERSION - 1, "ship --once"), (VERSION + 1, "newer")]
)
def test_template_of_another_version_is_told_with_the_remedy(version: int | None, words: str) -> None:
    """A missing or older one is put again; a newer one is left alone."""
    with pytest.raises(StoreError, match=words):
        check_version(Place("http://h:9200"), "tickloop", version)
    check_version(Place("http://h:9200"), "tickloop", VERSION)


def test_index_is_named_by_the_utc_day_of_the_event() -> None:
    """As fluentd names it."""
    assert index_of("tickloop", "2024-01-22T23:59:59.999Z") == "tickloop-2024.01.22"
    assert day_ms_of("tickloop", "tickloop-2024.01.22") == START_MS
    assert pattern_of("tickloop") == "tickloop-2*"


@pytest.mark.parametrize("name", ["t-2024.01.22x", "t-x-2024.01.22", "tt-2024.01.22", "t-2024.13.45", "t-doctor"])
def test_index_of_another_form_is_none_of_ours(name: str) -> None:
    """A longer prefix too."""
    assert day_ms_of("t", name) is None


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (0, HOUR_MS, ["t-2024.01.22"]),
        (-HOUR_MS, HOUR_MS, ["t-2024.01.21", "t-2024.01.22"]),
        (DAY_MS - HOUR_MS, DAY_MS, ["t-2024.01.22"]),
        (5 * DAY_MS, 6 * DAY_MS, []),
    ],
    ids=["within a day", "over midnight", "up to midnight", "none there"],
)
def test_window_is_looked_for_in_the_days_that_it_touches(start: int, end: int, days: list[str]) -> None:
    """`[start, end)`."""
    assert list(indices_within("t", Window(START_MS + start, START_MS + end), DAYS)) == days


def test_day_is_old_when_it_has_been_over_for_longer_than_kept() -> None:
    """The boundary itself is old; other indices never are."""
    names = [f"t-2024.01.{day}" for day in range(10, 23)]

    old = old_days("t", [*names, "t-doctor-1", "tt-2024.01.01"], START_MS + DAY_MS, keep_days=10)

    assert list(old) == ["t-2024.01.10", "t-2024.01.11", "t-2024.01.12"]
    assert old["t-2024.01.12"] == START_MS - 9 * DAY_MS


@pytest.mark.parametrize("keep_days", [1, 30])
def test_day_that_is_not_over_is_never_old(keep_days: int) -> None:
    """Today and tomorrow (the exchange's clock may be ahead) stay, and yesterday with `keep_days` 1."""
    names = ["t-2024.01.21", "t-2024.01.22", "t-2024.01.23"]

    assert list(old_days("t", names, START_MS + HOUR_MS, keep_days)) == []


def test_clock_that_jumps_ahead_costs_nothing() -> None:
    """Days are counted back from the newest one that is there."""
    names = ["t-2024.01.21", "t-2024.01.22"]

    assert old_days("t", names, START_MS + 4000 * DAY_MS, keep_days=1) == {"t-2024.01.21": START_MS}
    assert old_days("t", names, START_MS + 4000 * DAY_MS, keep_days=2) == {}
