"""Tokens of the private side."""

from __future__ import annotations

import uuid
import warnings

import jwt
import pytest
from jwt.warnings import InsecureKeyLengthWarning

from tickloop.simulator.protocol.auth import Gatekeeper, Nonces, hash_of, hashable_texts
from tickloop.simulator.refusal import RefusedError

ACCESS, SECRET = "test-access", "test-secret-of-forty-characters-0123456789"

QUERY = "market=KRW-BTC&states[]=wait&states[]=watch&limit=10"
QUERY_HASH = (
    "e3cfc649139c595e1c26a8aa2b3c8504f4b15011fc2b819081451e5e845172bd"
    "5dbbb5110ec5d7a3d1d32ff71f46a78323a040e8bedf8672021fd2206190a3a8"
)
BODY = b'{"market":"KRW-BTC","side":"bid","ord_type":"limit","price":"131250000","volume":"0.0002"}'
BODY_HASH = (
    "506d8c69c7e02fef6dab3bd354c87784e80215d0312c62a211a94a2d7e188ccc"
    "1b70e7411a5dbed41b44820c2ec8c6b85ff88bed827b2e700af299cfcac6564b"
)


def bearer(query_hash: str | None = None, *, secret: str = SECRET, algorithm: str = "HS256", **claims: str) -> str:
    payload = {"access_key": ACCESS, "nonce": str(uuid.uuid4()), **claims}
    if query_hash is not None:
        payload |= {"query_hash": query_hash, "query_hash_alg": "SHA512"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        return "Bearer " + jwt.encode(payload, secret, algorithm=algorithm)


def refusal_of(authorization: str | None, hashable: frozenset[str] = frozenset()) -> str | int:
    with pytest.raises(RefusedError) as caught:
        Gatekeeper(ACCESS, SECRET).check(authorization, hashable)
    assert caught.value.status == 401
    return caught.value.name


@pytest.mark.parametrize(
    ("raw_query", "body", "content_type", "expected"),
    [
        (QUERY, b"", "", QUERY_HASH),
        ("market=KRW-BTC&states%5B%5D=wait&states%5B%5D=watch&limit=10", b"", "", QUERY_HASH),
        ("", QUERY.encode(), "application/x-www-form-urlencoded", QUERY_HASH),
        ("", b"market=KRW-BTC&states%5B%5D=wait&states%5B%5D=watch&limit=10", "application/x-www-form", QUERY_HASH),
        ("", b'{"market":"KRW-BTC","states":["wait","watch"],"limit":10}', "application/json", QUERY_HASH),
        ("", BODY, "application/json", BODY_HASH),
        ("", BODY.replace(b",", b" ,\n "), "application/json; charset=utf-8", BODY_HASH),
    ],
)
def test_published_hash_is_among_those_of_the_request(
    raw_query: str, body: bytes, content_type: str, expected: str
) -> None:
    """Query, encoded query, form and JSON body of the reference give its two hashes."""
    texts = hashable_texts(raw_query, body, content_type)

    assert expected in {hash_of(text) for text in texts}


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_token_of_the_owner_passes(algorithm: str) -> None:
    """The three algorithms that clients sign with are taken."""
    gate = Gatekeeper(ACCESS, SECRET)

    gate.check(bearer(algorithm=algorithm), frozenset())
    gate.check(bearer(QUERY_HASH, algorithm=algorithm), frozenset({QUERY}))


def test_each_fault_of_a_token_has_its_own_name() -> None:
    """Clients branch on the name of the error."""
    assert refusal_of(None) == "no_authorization_token"
    assert refusal_of("Bearer") == "no_authorization_token"
    assert refusal_of("Bearer not.a.token") == "jwt_verification"
    assert refusal_of(bearer(secret="another-secret-of-forty-characters-012345")) == "jwt_verification"
    assert refusal_of(bearer(nonce="")) == "jwt_verification"
    assert refusal_of(bearer(access_key="somebody")) == "invalid_access_key"
    assert refusal_of(bearer(), frozenset({QUERY})) == "invalid_query_payload"
    assert refusal_of(bearer(BODY_HASH), frozenset({QUERY})) == "invalid_query_payload"


def test_nonce_is_taken_once() -> None:
    """The same token sent twice is refused the second time."""
    gate, token = Gatekeeper(ACCESS, SECRET), bearer()
    gate.check(token, frozenset())

    with pytest.raises(RefusedError) as caught:
        gate.check(token, frozenset())

    assert (caught.value.status, caught.value.name) == (401, "nonce_used")


def test_nonces_forget_the_oldest_when_full() -> None:
    """The memory is bounded: what fell out of it would be taken again."""
    nonces = Nonces(limit=2)

    taken = [nonces.use(nonce) for nonce in ("a", "b", "a", "c", "a", "c")]

    assert taken == [True, True, False, True, True, False]
