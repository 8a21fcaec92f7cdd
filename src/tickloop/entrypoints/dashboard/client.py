"""The dashboard's only live source: the API, read over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from tickloop.errors import RetryableError

TIMEOUT_S = 3.0

Row = dict[str, Any]


class ApiClient:
    def __init__(self, url: str, client: httpx.Client | None = None) -> None:
        self.url = url
        self._client = client or httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)

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

    def decisions(self, market: str) -> list[Row]:
        return self._rows("/v1/decisions", market=market)

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
            answer = self._client.get(path, params=query)
            answer.raise_for_status()
        except httpx.HTTPError as exc:
            raise RetryableError(f"the API at {self.url} did not answer {path}: {exc}") from exc
        return answer.json()
