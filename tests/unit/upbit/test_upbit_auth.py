"""Tokens that the exchange accepts, and keys that nobody sees."""

import jwt
import pytest

from tickloop.adapters.upbit.auth import Credentials, query_hash

SECRET = "s" * 64


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (
            [("market", "KRW-BTC"), ("states[]", "wait"), ("states[]", "watch"), ("limit", "10")],
            "e3cfc649139c595e1c26a8aa2b3c8504f4b15011fc2b819081451e5e845172bd"
            "5dbbb5110ec5d7a3d1d32ff71f46a78323a040e8bedf8672021fd2206190a3a8",
        ),
        (
            [
                ("market", "KRW-BTC"),
                ("side", "bid"),
                ("ord_type", "limit"),
                ("price", "131250000"),
                ("volume", "0.0002"),
            ],
            "506d8c69c7e02fef6dab3bd354c87784e80215d0312c62a211a94a2d7e188ccc"
            "1b70e7411a5dbed41b44820c2ec8c6b85ff88bed827b2e700af299cfcac6564b",
        ),
    ],
)
def test_query_hash_is_over_the_unencoded_pairs_in_order(pairs: list[tuple[str, str]], expected: str) -> None:
    """Vectors computed outside this code."""
    assert query_hash(pairs) == expected


def test_token_is_a_jwt_bound_to_the_request_with_a_fresh_nonce() -> None:
    """Checked by an independent library."""
    credentials = Credentials("access", SECRET)
    pairs = [("identifier", "tl-bot-1")]

    first, second = (
        jwt.decode(credentials.authorization(pairs).removeprefix("Bearer "), SECRET, algorithms=["HS512"])
        for _ in range(2)
    )

    assert (first["access_key"], first["query_hash"]) == ("access", query_hash(pairs))
    assert first["nonce"] != second["nonce"]


def test_request_without_parameters_has_no_query_hash() -> None:
    """The exchange refuses a hash of nothing."""
    token = Credentials("access", SECRET).authorization().removeprefix("Bearer ")

    assert sorted(jwt.decode(token, SECRET, algorithms=["HS512"])) == ["access_key", "nonce"]


def test_keys_do_not_show() -> None:
    """Not in a repr, so not in a log or a traceback."""
    assert repr(Credentials("access", SECRET)) == "Credentials()"
