"""The dashboard's only live source: the API, read over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from tickloop.errors import RetryableError

TIMEOUT_S = 3.0

Row = dict[str, Any]


class ApiClient:
    """Reads the API. Every method raises `RetryableError` when it does not answer, or not with what was asked for."""

    def __init__(self, url: str, token: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=TIMEOUT_S,
            transport=transport,
            trust_env=False,  # a proxy of the environment has no business between two programs of one home
        )

    def status(self) -> Row:
        found: Row = self._get("/v1/status")
        return found

    def bars(self, market: str, last: int) -> list[Row]:
        return self._rows("/v1/bars", market=market, last=last)

    def forecasts(self, market: str, last: int) -> list[Row]:
        return self._rows("/v1/forecasts", market=market, last=last)

    def orders(self, market: str | None = None, last: int = 200) -> list[Row]:
        chosen = {"market": market} if market is not None else {}
        return self._rows("/v1/orders", last=last, **chosen)

    def equity(self, last: int = 1_440) -> list[Row]:
        return self._rows("/v1/equity", last=last)

    def models(self, market: str) -> list[Row]:
        return self._rows("/v1/models", market=market)

    def decisions(self, market: str, last: int = 20) -> list[Row]:
        return self._rows("/v1/decisions", market=market, last=last)

    def backtests(self, market: str) -> list[Row]:
        return self._rows("/v1/backtests", market=market)

    def ledger(self, market: str) -> Row:
        found: Row = self._get("/v1/ledger", market=market)
        return found

    def _rows(self, path: str, **query: Any) -> list[Row]:
        found: list[Row] = self._get(path, **query)
        return found

    def _get(self, path: str, **query: Any) -> Any:
        try:
            answer = self._http.get(path, params=query)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as exc:
            reason = str(exc) or type(exc).__name__
            raise RetryableError(f"the API at {self.url} did not answer {path}: {reason}") from exc


class _Shared:
    """The client that the pages use. Streamlit runs the script by its path, so nothing can be passed to it."""

    client: ApiClient | None = None


def share(client: ApiClient) -> None:
    """Give the pages of this process their client."""
    _Shared.client = client


def shared() -> ApiClient:
    """Give the client of this process; `serve_dashboard` or a test has set it."""
    assert _Shared.client is not None, "share() comes before the first page"
    return _Shared.client
