"""Requests made of lines, and the server's answers read item by item."""

from typing import Any

import msgspec
import pytest

from fakes import START_MS
from shipping import trade_line
from tickloop.adapters.opensearch.bulk import BULK_ANSWER, Action, action_of, parts_of, read_answer
from tickloop.adapters.opensearch.errors import Place, refused
from tickloop.domain.window import DAY_MS
from tickloop.errors import CorruptLineError, StoreAwayError, StoreError


def said(status: int, kind: str = "", reason: str = "", cause: str = "") -> dict[str, Any]:
    error = {"type": kind, "reason": reason, "caused_by": {"reason": cause}} if kind else None
    return {"create": {"status": status, "error": error} if error else {"status": status}}


def actions(count: int) -> list[Action]:
    return [Action(number + 10, "tickloop-2024.01.22", b"x") for number in range(count)]


def read(*items: dict[str, Any]) -> Any:
    answer = BULK_ANSWER.decode(msgspec.json.encode({"errors": True, "items": items}))
    return read_answer(actions(len(items)), answer)


def test_line_goes_into_the_index_of_its_utc_day_under_its_doc_id() -> None:
    """The document is the line's own bytes."""
    line = trade_line(7, START_MS + DAY_MS - 1)

    action = action_of(line, 3, "tickloop")

    head, document, end = action.body.split(b"\n")
    assert head == b'{"create":{"_index":"tickloop-2024.01.22","_id":"trade:KRW-BTC:7"}}'
    assert document + b"\n" == line
    assert end == b""
    assert (action.position, action.index, list(action.drift)) == (3, "tickloop-2024.01.22", [])


def test_missing_last_line_break_is_put_there() -> None:
    """One that is missing fails the whole request."""
    assert action_of(trade_line(7).rstrip(b"\n"), 0, "t").body == action_of(trade_line(7), 0, "t").body


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((b'"trade_price":', b'"trade_price":null,"x":'), "trade_price"),
        ((b'"trade_volume":', b'"trade_volume":null,"x":'), "trade_volume"),
        ((b'"doc_id":"trade:KRW-BTC:7"', b'"doc_id":"trade:KRW-BTC:8"'), "doc_id"),
        ((b'"doc_id":"trade:KRW-BTC:7"', b'"doc_id":7'), "doc_id"),
        ((b'"@timestamp":"2024', b'"@timestamp":"last'), "@timestamp"),
        ((b'"@timestamp"', b'"time"'), "@timestamp"),
        ((b'"@timestamp":"2024-01-22', b'"@timestamp":"2024-02-30'), "calendar"),
        ((b'"type":"trade"', b'"x":18446744073709551616,"type":"trade"'), "18446744073709551616"),
        ((b'"type":"trade"', b'"x":[{"y":18446744073709551616}],"type":"trade"'), "18446744073709551616"),
    ],
    ids=["price", "volume", "id of another", "id no text", "no moment", "no time", "no day", "too large", "inside"],
)
def test_line_that_the_server_would_take_but_nobody_could_read_is_refused(
    change: tuple[bytes, bytes], words: str
) -> None:
    """A strict double takes null, and a wrong id hides another trade."""
    line = trade_line(7)
    assert change[0] in line

    with pytest.raises(CorruptLineError, match=words):
        action_of(line.replace(*change), 0, "tickloop")


def test_integer_up_to_2_64_passes() -> None:
    """Of a field that is not known here."""
    line = trade_line(7, new=2**64 - 1)

    assert list(action_of(line, 0, "t").drift) == ["new"]


def test_requests_are_cut_by_bytes_and_a_longer_line_goes_alone() -> None:
    """No line is lost, none comes twice."""
    sizes = [40, 40, 40, 500, 10, 10]
    lines = [Action(number, "i", b"x" * size) for number, size in enumerate(sizes)]

    parts = [[action.position for action in part] for part in parts_of(lines, most_bytes=100)]

    assert parts == [[0, 1], [2], [3], [4, 5]]
    assert list(parts_of([], 100)) == []


def test_each_item_is_judged_for_itself() -> None:
    """201 is stored, 409 was, 400 never will be; 429 and 5xx go again."""
    verdict = read(
        said(201),
        said(409, "version_conflict_engine_exception"),
        said(400, "mapper_parsing_exception", "failed to parse [level]", "not a number"),
        said(429, "rejected_execution_exception", "queue full"),
        said(503, "unavailable_shards_exception", "primary shard is not active"),
    )

    assert (verdict.created, verdict.known) == (1, 1)
    assert verdict.refused == {
        12: "OpenSearch refused the document: mapper_parsing_exception (400): failed to parse [level]: not a number"
    }
    assert [action.position for action in verdict.again] == [13, 14]
    assert verdict.hindrance is None


@pytest.mark.parametrize(
    ("item", "error", "words"),
    [
        (said(400, "validation_exception", "[1000]/[1000] maximum shards open"), StoreError, "max_shards_per_node"),
        (said(404, "index_not_found_exception", "no such index"), StoreError, "auto_create_index"),
        (said(401, "security_exception", ""), StoreError, "opensearch.password"),
        (said(403, "security_exception", "no permissions for bulk"), StoreError, "opensearch.user"),
        (
            said(403, "cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)]"),
            StoreError,
            "blocks.write",
        ),
        (
            said(
                429, "cluster_block_exception", "disk usage exceeded flood-stage watermark, index has read-only-allow-"
            ),
            StoreAwayError,
            "make room",
        ),
    ],
    ids=["shards", "no index", "user", "rights", "lock", "disk"],
)
def test_what_is_not_the_fault_of_a_document_refuses_none(
    item: dict[str, Any], error: type[StoreError], words: str
) -> None:
    """It hinders all, and the message says what to do."""
    verdict = read(said(201), item)

    assert verdict.refused == {}
    assert verdict.again == []
    problem = refused(verdict.hindrance, Place("http://h:9200", "writer"))
    assert type(problem) is error
    assert words in str(problem)
    assert "http://h:9200" in str(problem)


def test_drift_is_counted_where_a_line_is_stored() -> None:
    """Not again when it is delivered again."""
    answer = BULK_ANSWER.decode(msgspec.json.encode({"errors": True, "items": [said(201), said(409), said(429)]}))

    verdict = read_answer([Action(number, "i", b"x", ["new"]) for number in range(3)], answer)

    assert verdict.drift == {"new": 1}


def test_answer_of_another_length_is_none() -> None:
    """Which item is whose could not be told."""
    answer = BULK_ANSWER.decode(b'{"errors":false,"items":[]}')

    with pytest.raises(ValueError):
        read_answer(actions(1), answer)
