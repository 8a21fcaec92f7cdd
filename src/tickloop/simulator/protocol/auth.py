"""Who is asking: JWTs of the private side, and what each client library hashes into them."""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus, urlencode

import jwt
import msgspec
from jwt.types import Options
from jwt.warnings import InsecureKeyLengthWarning

from tickloop.simulator.refusal import RefusedError

ALGORITHMS = ("HS256", "HS384", "HS512")

NONCES_KEPT = 100_000
"""A nonce is refused while it is among this many last ones; an older one would be taken again."""

_OPTIONS: Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


class Nonces:
    """The nonces seen last, at most `limit` of them; the oldest goes first."""

    def __init__(self, limit: int = NONCES_KEPT) -> None:
        self._limit = limit
        self._seen: OrderedDict[str, None] = OrderedDict()

    def use(self, nonce: str) -> bool:
        """Take a nonce; False when it was used before."""
        if nonce in self._seen:
            return False
        self._seen[nonce] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return True


class Gatekeeper:
    """Checks tokens of one account."""

    def __init__(self, access_key: str, secret_key: str, nonces: Nonces | None = None) -> None:
        self._access_key = access_key
        self._secret = secret_key.encode()
        self._nonces = nonces or Nonces()

    def check(self, authorization: str | None, hashable: frozenset[str], *, is_nonce_free: bool = False) -> None:
        """Pass a request of the account's owner.

        Args:
            authorization: the header, `Bearer <JWT>`.
            hashable: the texts whose SHA-512 the token may carry, from `hashable_texts`; empty for a request
                without parameters.
            is_nonce_free: a nonce may come again: on handshakes a common client sends the same token at each
                reconnection, and whether the exchange minds is not known.

        Raises:
            RefusedError: 401 with the exchange's name for what is wrong.
        """
        claims = self._claims(authorization)
        if claims.get("access_key") != self._access_key:
            raise RefusedError(401, "invalid_access_key", "The access key is not known.")
        _check_hash(claims, hashable)
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not nonce:
            raise RefusedError(401, "jwt_verification", "The token has no nonce.")
        if not self._nonces.use(nonce) and not is_nonce_free:
            raise RefusedError(401, "nonce_used", "The nonce was used before.")

    def _claims(self, authorization: str | None) -> Mapping[str, Any]:
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise RefusedError(401, "no_authorization_token", "The request has no bearer token.")
        if not token.isascii():
            raise RefusedError(401, "jwt_verification", "The token is no JWT.")
        try:
            with warnings.catch_warnings():
                # The exchange hands out keys of 40 characters, shorter than the standard wants for HS512.
                warnings.simplefilter("ignore", InsecureKeyLengthWarning)
                claims: dict[str, Any] = jwt.decode(token, self._secret, algorithms=ALGORITHMS, options=_OPTIONS)
        except jwt.InvalidTokenError as exc:
            raise RefusedError(401, "jwt_verification", f"The token does not hold: {exc}") from exc
        return claims


def hash_of(text: str) -> str:
    """Give the hex SHA-512 that a token carries as `query_hash`."""
    return hashlib.sha512(text.encode()).hexdigest()


def hashable_texts(raw_query: str, body: bytes, content_type: str) -> frozenset[str]:
    """Give every text that a known client hashes for such a request.

    ccxt hashes the unencoded query or body pairs, the official SDK the unquoted query, pyupbit the urlencoded
    parameters of whatever body it sends with `[]` left as it is; so each form counts.

    Args:
        raw_query: as in the request line, without `?`.
        content_type: tells a JSON body from a form.
    """
    texts = _forms(raw_query)
    if body:
        text = body.decode("utf-8", "replace")
        texts |= _json_forms(body) if "json" in content_type else _forms(text)
    return frozenset(texts)


def _forms(query: str) -> set[str]:
    if not query:
        return set()
    brackets = query.replace("%5B", "[").replace("%5D", "]").replace("%5b", "[").replace("%5d", "]")
    return {query, unquote(query), unquote_plus(query), brackets}


def _json_forms(body: bytes) -> set[str]:
    pairs = json_pairs(body)
    if not pairs:
        return set()
    return {"&".join(f"{name}={value}" for name, value in pairs)} | _forms(urlencode(pairs))


def json_pairs(body: bytes) -> list[tuple[str, str]]:
    """Give the pairs of a JSON object in its order, values as they stand in the text; empty when it is none.

    A list gives one pair `name[]` per item; nulls are left out.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        return [pair for name, raw in fields.items() for pair in _pairs_of(name, bytes(raw))]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def _pairs_of(name: str, raw: bytes) -> list[tuple[str, str]]:
    text = raw.strip()
    if text.startswith(b"["):
        key = name if name.endswith("[]") else f"{name}[]"
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
        return [(key, value) for item in items for _, value in _pairs_of(name, bytes(item))]
    if text == b"null":
        return []
    return [(name, msgspec.json.decode(text, type=str) if text.startswith(b'"') else text.decode())]


def _check_hash(claims: Mapping[str, Any], hashable: frozenset[str]) -> None:
    if not hashable:
        return
    algorithm = claims.get("query_hash_alg", "SHA512")
    given = claims.get("query_hash")
    if algorithm != "SHA512" or not isinstance(given, str):
        raise RefusedError(401, "invalid_query_payload", "The token has no SHA512 query_hash of the parameters.")
    if given.lower() not in {hash_of(text) for text in hashable}:
        raise RefusedError(401, "invalid_query_payload", "The query_hash is not that of the parameters.")
