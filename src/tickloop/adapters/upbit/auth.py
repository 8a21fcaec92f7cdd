"""How Upbit knows us: a signed token per request, bound to what the request asks for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

Pairs = Sequence[tuple[str, str]]
"""Parameters in the order in which they are sent; an array repeats its name, such as `states[]`."""


@dataclass(frozen=True)
class Credentials:
    """An API key. Neither part shows in a repr, a log or an error."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def authorization(self, pairs: Pairs = ()) -> str:
        """Give the `Authorization` header of one request, with a nonce of its own.

        Source: Upbit developer centre, authentication: JWT, HS512, `query_hash` over the unencoded query or body.
        """
        claims = {"access_key": self.access_key, "nonce": str(uuid.uuid4())}
        if pairs:
            claims |= {"query_hash": query_hash(pairs), "query_hash_alg": "SHA512"}
        return f"Bearer {_sign(claims, self.secret_key)}"


def query_hash(pairs: Pairs) -> str:
    """Give the hex SHA-512 of `k=v&k=v`, in order and not URL-encoded."""
    text = "&".join(f"{name}={value}" for name, value in pairs)
    return hashlib.sha512(text.encode()).hexdigest()


def _sign(claims: dict[str, str], secret: str) -> str:
    # Not through PyJWT: it warns at each use of a key as short as those that Upbit hands out (40 bytes).
    signed = _base64url(b'{"alg":"HS512","typ":"JWT"}') + b"." + _base64url(msgspec.json.encode(claims))
    signature = hmac.digest(secret.encode(), signed, "sha512")
    return (signed + b"." + _base64url(signature)).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
