"""The digest by which homes are compared sees every bit and nothing else."""

from __future__ import annotations

import polars as pl
import pytest

from digests import digest, model_digests
from slot_world import MARKET, SLOT, filled_ports
from tickloop.domain.tables import TIME
from tickloop.services.promote import promote
from tickloop.services.train import train

FRAME = pl.DataFrame(
    {"at": [1, 2, 3], "price": [0.1, None, -0.0], "name": ["a", "bc", None], "flag": [True, None, False]}
).with_columns(pl.col("at").cast(TIME), pl.Series("bytes", [b"x", b"", b"yz"]))


def test_digest_does_not_see_how_a_frame_lies_in_memory() -> None:
    """Chunks and slices of the same rows are the same."""
    parts = pl.concat([FRAME[:1], FRAME[1:]], rechunk=False)

    assert parts.n_chunks() == 2
    assert digest(parts) == digest(FRAME)


@pytest.mark.parametrize(
    "other",
    [
        FRAME[::-1],
        FRAME[:2],
        FRAME.rename({"name": "title"}),
        FRAME.with_columns(pl.col("price").fill_null(0.0)),
        FRAME.with_columns(pl.Series("price", [0.1, None, 0.0])),
        FRAME.with_columns(pl.Series("price", [0.10000000000000002, None, -0.0])),
        FRAME.with_columns(pl.Series("name", ["ab", "c", None])),
        FRAME.with_columns(pl.Series("flag", [True, False, None])),
        FRAME.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC"))),
    ],
)
def test_digest_sees_every_difference(other: pl.DataFrame) -> None:
    """Order, length, names, types, nulls, signs of zero, the last bit."""
    assert digest(other) != digest(FRAME)


def test_order_in_which_candidates_were_registered_does_not_count() -> None:
    """Fitted side by side, either may be first: numbers differ, bytes and scores do not."""
    one, other = filled_ports(), filled_ports()
    one.training = one.training.model_copy(update={"families": ("ridge", "persistence")})
    other.training = other.training.model_copy(update={"families": ("persistence", "ridge")})
    for ports in (one, other):
        train(ports, MARKET, SLOT)  # type: ignore[arg-type]
        promote(ports, MARKET, SLOT)  # type: ignore[arg-type]

    assert [version.name for version in one.registry.versions(MARKET)][1:] == ["ridge-2", "persistence-3"]
    assert model_digests(one.registry, MARKET) == model_digests(other.registry, MARKET)
    assert "ridge@" in model_digests(one.registry, MARKET)["decisions"][-1]["reason"]
