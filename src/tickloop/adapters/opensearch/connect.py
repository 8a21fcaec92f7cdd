"""The one door to OpenSearch: requests in, text of answers out, failures in our words."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from opensearchpy import OpenSearch
from opensearchpy.exceptions import ImproperlyConfigured, NotFoundError, OpenSearchException
from opensearchpy.serializer import JSONSerializer

from tickloop.adapters.opensearch.errors import Place, not_understood, refusal
from tickloop.errors import StoreError

_PARSED = (msgspec.MsgspecError, UnicodeError)


class _AsItIs(JSONSerializer):
    """Leaves decoding to us: the types of an answer are known where it is asked for."""

    def loads(self, s: str) -> Any:
        return s


@dataclass(frozen=True)
class Server:
    """OpenSearch at one address. Safe from several threads.

    Nothing is sent twice here: who asks knows whether that is right.
    """

    place: Place
    client: OpenSearch = field(repr=False)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        timeout_s: float | None = None,
        **params: str,
    ) -> str:
        """Send one request; give the text of the answer.

        Args:
            path: of the address, beginning with `/`, quoted.
            body: bytes are sent as they are, anything else as JSON.
            params: of the query.

        Raises:
            StoreError: refused, see `errors.refusal`; `StoreAwayError` when the same request may succeed later.
        """
        try:
            return self._send(method, path, body, params, timeout_s)
        except OpenSearchException as exc:
            raise refusal(exc, self.place) from exc

    def look(self, method: str, path: str, body: Any = None, **params: str) -> str | None:
        """The same for what may be absent: None when the server has no such thing.

        That any other server has no such thing says nothing: nothing would be read and all would look well.
        """
        try:
            return self._send(method, path, body, params, None)
        except NotFoundError as exc:
            if not isinstance(exc.info, Mapping):
                raise refusal(exc, self.place) from exc
            return None
        except OpenSearchException as exc:
            raise refusal(exc, self.place) from exc

    def decode(self, text: str, decoder: msgspec.json.Decoder[Any]) -> Any:
        """Read an answer; `StoreError` when it is not what OpenSearch answers."""
        try:
            return decoder.decode(text)
        except _PARSED as exc:
            raise not_understood(self.place, text, exc) from exc

    def close(self) -> None:
        self.client.close()

    def _send(self, method: str, path: str, body: Any, params: Mapping[str, str], timeout_s: float | None) -> str:
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        # Not as `params`: of these the client takes some, such as `timeout`, for itself.
        query = f"?{urlencode(params)}" if params else ""
        answer = self.client.transport.perform_request(method, path + query, body=data, timeout=timeout_s)
        return "" if answer is None else str(answer)


def open_server(
    url: str,
    *,
    user: str | None = None,
    password: str | None = None,
    ca_file: Path | None = None,
    timeout_s: float = 30.0,
) -> Server:
    """Give the server at an address; nothing is sent yet.

    Raises:
        StoreError: an address, certificate or user that cannot be used at all.
    """
    place = Place(url, user, timeout_s)
    # Each failure is told where it is handled; the client's log would tell it once more, with whole requests.
    logging.getLogger("opensearch").setLevel(logging.CRITICAL)
    if ca_file is not None and not ca_file.is_file():
        raise StoreError(f"{place} (opensearch.ca_file): there is no file {ca_file}; valid: a certificate in PEM form")
    if (user is None) != (password is None):
        missing, given = ("user", "password") if user is None else ("password", "user")
        raise StoreError(f"{place}: opensearch.{given} is set and opensearch.{missing} is not; valid: both, or none")
    try:
        client = OpenSearch(
            hosts=[url],
            http_auth=None if user is None else (user, password),
            ca_certs=None if ca_file is None else str(ca_file),
            timeout=timeout_s,
            max_retries=0,
            serializer=_AsItIs(),
        )
    except (ImproperlyConfigured, ValueError, OSError) as exc:
        raise StoreError(f"{place} (opensearch.url) cannot be used: {exc}; valid: such as https://host:9200") from exc
    return Server(place, client)
