"""Byte strings in one buffer are the strings they were made of."""

from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.packed import HEAD_BYTES, Packed

STRINGS = st.lists(st.binary(max_size=2 * HEAD_BYTES), max_size=12)


@given(STRINGS)
def test_packed_strings_are_those_that_were_packed(strings: list[bytes]) -> None:
    """One by one, all together, and their beginnings."""
    packed = Packed.of(strings)

    assert list(packed) == strings
    assert [packed[place] for place in range(len(packed))] == strings
    assert packed.heads == {one[:HEAD_BYTES] for one in strings}


@given(STRINGS, st.integers(0, 12), st.integers(0, 12))
def test_slice_of_packed_strings_is_the_slice_of_the_strings(strings: list[bytes], start: int, end: int) -> None:
    """And its beginnings are its own."""
    part = Packed.of(strings)[start:end]

    assert list(part) == strings[start:end]
    assert part.heads == {one[:HEAD_BYTES] for one in strings[start:end]}


@given(st.lists(STRINGS, min_size=1, max_size=4))
def test_joined_parts_hold_all_strings_in_order(parts: list[list[bytes]]) -> None:
    """Whatever lies between them in their buffers."""
    packed = [Packed.of([b"left out", *strings])[1:] for strings in parts]

    joined = Packed.joined(packed)

    assert list(joined) == [one for strings in parts for one in strings]
    assert joined.heads == {one[:HEAD_BYTES] for strings in parts for one in strings}
