"""A page that compiled code reads gives the rows that are read by types, and nothing passes that they refuse."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import START_MS
from shipping import trade_line
from tickloop.adapters.common.stored_line import repair_line
from tickloop.adapters.common.trade_rows import CHANGE_OF, SIDE_OF, SOURCE_OF
from tickloop.adapters.opensearch.connect import open_server
from tickloop.adapters.opensearch.page_kernel import read_page
from tickloop.adapters.opensearch.trade_pages import TradePages
from tickloop.domain.market import Change, Side, Source, Trade

SERVER = open_server("http://127.0.0.1:9")  # never asked
REPAIR = repair_line(
    Trade("KRW-BTC", 7, START_MS, 0, 0, 5.8e7, 124_000, Side.SELL, Change.EVEN, Source.REST),
    1_705_881_600_000_000_000,
    9,
).strip()


def page_of(sources: list[bytes]) -> str:
    hits = [
        b'{"_index":"t-2024.01.22","_id":"trade:KRW-BTC:%d","_score":null,"_source":%b,"sort":["KRW-BTC",%d,%d]}'
        % (number, source, START_MS, number)
        for number, source in enumerate(sources)
    ]
    head = b'{"took":1,"timed_out":false,"hits":{"total":{"value":9,"relation":"eq"},"max_score":null,"hits":['
    return (head + b",".join(hits) + b"]}}").decode(errors="surrogateescape")


def source_of(number: int, **more: object) -> bytes:
    return trade_line(number, START_MS + number, **more).strip()


def check_same(sources: list[bytes]) -> bool:
    """Tell whether compiled code reads the page; it must read it as the types do."""
    text = page_of(sources)
    found = read_page(text, "KRW-BTC")
    if found is None:
        return False
    by_types = TradePages(SERVER).read(text, "KRW-BTC")
    assert not by_types.unreadable
    assert found[0].tolist() == by_types.items.tolist()
    assert found[1] == list(by_types.last)
    return True


NUMBERS = b"""0 -1 1e3 1E-8 1.5e+2 0.00000001 0.000000001 92233720368.54775807 92233720368.54775808 1e400 -0.0 0e5 01
1. .5 1e +1 123456789012345678 1234567890123456789 9223372036854775807 9223372036854775808 18446744073709551617
0.1 1e22 1e23 9007199254740993 900719925474099.3 253402300799999 253402300800000 9999999999999999999""".split()
WORDS = [
    b'"RISE"',
    b'"EVEN"',
    b'"KRW-BTC"',
    b'"KRW-ETH"',
    b'"BID"',
    b'"ASK"',
    b'"rest"',
    b'"stream"',
    b'""',
    b"null",
    b"true",
]
ODD = [b'"a\\u0041"', b'"\xea\xb0\x80"', b'"\x7f"', b'"\x01"', b"[]", b"{}", b'{"a":1}', b'"]}}"', b'",\\"sort\\":["']
TEXTS = st.one_of(
    st.sampled_from([*NUMBERS, *WORDS, *ODD]),
    st.integers(-(10**20), 10**20).map(lambda number: str(number).encode()),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: str(number).encode()),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: repr(number).encode()),
    st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False).encode()),
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """A line of the stream or of a repair, with values replaced, fields left out, doubled, moved or renamed."""
    line = draw(st.sampled_from([source_of(5), source_of(6, trade_price=58, trade_volume=12.5), REPAIR]))
    fields = line[1:-1].split(b",")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(fields) - 1))
        change = draw(st.sampled_from(["value", "value", "drop", "double", "move", "name"]))
        name, _, value = fields[at].partition(b":")
        if change == "value":
            fields[at] = name + b":" + draw(TEXTS)
        elif change == "drop":
            del fields[at]
        elif change == "double":
            fields.append(fields[at])
        elif change == "move":
            fields.append(fields.pop(at))
        else:
            fields[at] = (
                draw(st.sampled_from([b'"new_field"', b'"type"', b'"code"', b'"source"', b'"arrival"'])) + b":" + value
            )
    return b"{" + b",".join(fields) + b"}"


@settings(max_examples=1_500, deadline=None)
@given(st.lists(documents(), min_size=1, max_size=5))
def test_what_compiled_code_reads_is_what_the_types_read(sources: list[bytes]) -> None:
    """Whatever the document before it looked like; the rest is left to the types."""
    check_same(sources)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), st.integers(1, 10**12), st.integers(1, 10**13), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_usual_pages_are_all_read_by_compiled_code(values: list[tuple[int, int, int, bool]]) -> None:
    """Prices of any size and quantities to the last of eight decimals; repairs among trades of the stream."""
    sources = []
    for trade_id, tenths, qty, is_buy in values:
        line = source_of(trade_id, trade_price=tenths / 10, ask_bid="BID" if is_buy else "ASK")
        sources.append(line.replace(b'"trade_volume":0.00124', b'"trade_volume":%d.%08d' % (qty // 10**8, qty % 10**8)))
        sources.append(REPAIR)

    assert check_same(sources)


def test_row_holds_what_stands_in_its_document() -> None:
    """Written out once, not by another reader."""
    found = read_page(page_of([source_of(5), REPAIR]), "KRW-BTC")

    assert found is not None
    stream, repair = found[0].tolist()
    received = START_MS * 1_000_000 + 5_000_000
    assert stream == (
        5,
        START_MS + 5,
        received,
        received + 5,
        58_000_000.0,
        124_000,
        SIDE_OF["BID"],
        CHANGE_OF["RISE"],
        SOURCE_OF["stream"],
    )
    assert repair == (
        7,
        START_MS,
        1_705_881_600_000_000_000,
        9,
        58_000_000.0,
        124_000,
        SIDE_OF["ASK"],
        CHANGE_OF["EVEN"],
        SOURCE_OF["rest"],
    )
    assert found[1] == ["KRW-BTC", START_MS, 1]


@pytest.mark.parametrize(
    "unusual",
    [
        source_of(1).replace(b'"code":"KRW-BTC"', b'"code":"KRW-ETH"'),
        source_of(1).replace(b'"BID"', b'"bid"'),
        source_of(1).replace(b"0.00124", b"0"),
        source_of(1).replace(b"0.00124", b"0.000000001"),
        source_of(1).replace(b'"sequential_id":1', b'"sequential_id":9223372036854775808'),
        source_of(1).replace(b'"trade_price":58000000.0', b'"trade_price":null'),
        source_of(1).replace(b'"trade_price":58000000.0', b'"trade_price":9007199254740993'),
        source_of(1, note="Ä"),
        source_of(1, units=[1]),
        b'{"code":"KRW-BTC","type":"trade"}',
        b"{}",
    ],
)
def test_page_with_something_unusual_is_left_to_the_types(unusual: bytes) -> None:
    """All of it: such pages are few."""
    assert read_page(page_of([source_of(1), unusual, source_of(2)]), "KRW-BTC") is None


@pytest.mark.parametrize("text", ["", "{}", page_of([]), page_of([source_of(1)])[:-1], page_of([source_of(1)]) + " "])
def test_answer_of_another_form_is_left_to_the_types(text: str) -> None:
    """A page without documents, and one that was cut off."""
    assert read_page(text, "KRW-BTC") is None


@pytest.mark.parametrize("typed", [0, 2, 100])
def test_pages_hold_the_same_however_they_are_read(typed: int) -> None:
    """Documents that are no trades are told by either way."""
    pages = TradePages(SERVER, typed_documents=typed)
    bad = source_of(3).replace(b'"BID"', b'"BAD"')

    first, second = [
        pages.read(page_of(sources), "KRW-BTC") for sources in ([source_of(1), source_of(2)], [source_of(4), bad])
    ]

    assert first.items["trade_id"].tolist() == [1, 2]
    assert second.items["trade_id"].tolist() == [4]
    assert [one.doc_id for one in second.unreadable] == ["trade:KRW-BTC:1"]
    assert list(second.last) == ["KRW-BTC", START_MS, 1]
