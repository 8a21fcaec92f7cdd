"""Compiled cutting gives what the other one gives."""

from hypothesis import given
from hypothesis import strategies as st

from tickloop.adapters.upbit.wire import take_messages
from tickloop.adapters.upbit.wire_kernel import take_packed
from tickloop.domain.packed import HEAD_BYTES

MOST = 70_000

SIZES = st.one_of(st.integers(HEAD_BYTES, 200), st.sampled_from([125, 126, 127, 65_535, 65_536, MOST, MOST + 1]))


def wire(size: int, fill: int, first: int) -> bytes:
    """Write one unmasked frame (RFC 6455, section 5.2)."""
    head = bytes((first, size)) if size <= 125 else bytes((first, 126)) + size.to_bytes(2) if size <= 65_535 else b""
    return (head or bytes((first, 127)) + size.to_bytes(8)) + bytes((fill,)) * size


@given(
    st.lists(st.tuples(SIZES, st.integers(0, 20), st.sampled_from([0x81, 0x82, 0x82, 0x01, 0x89])), max_size=12),
    st.integers(0, 300),
)
def test_compiled_cutting_takes_the_same_messages(frames: list[tuple[int, int, int]], cut_off: int) -> None:
    """Short and long lengths, an end in the middle, other frames and messages over the limit."""
    data = b"".join(wire(*frame) for frame in frames)
    data = data[: len(data) - cut_off]
    expected: list[bytes] = []
    expected_at = take_messages(data, 0, expected, MOST)

    packed, at = take_packed(data, 0, MOST)

    assert (list(packed), at) == (expected, expected_at)
    assert packed.heads == {one[:HEAD_BYTES] for one in expected}


@given(st.binary(max_size=400), st.integers(0, 5))
def test_any_bytes_are_cut_as_far_as_the_other_cutter_goes(data: bytes, at: int) -> None:
    """It may stop earlier, at a short message, and never later or elsewhere."""
    expected: list[bytes] = []
    take_messages(data, min(at, len(data)), expected, MOST)

    packed, _ = take_packed(data, min(at, len(data)), MOST)

    assert list(packed) == expected[: len(packed)]


def test_short_message_is_left_and_what_follows_too() -> None:
    """The loop that takes frame by frame goes on there."""
    long, short = wire(100, 1, 0x81), wire(3, 2, 0x81)

    packed, at = take_packed(long + short + long, 0, MOST)

    assert (len(packed), at) == (1, len(long))
