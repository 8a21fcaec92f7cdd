"""The demo's hand on the simulator: its clock, its truth and its status."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

from tickloop.domain.window import Window
from tickloop.errors import OperatorError
from tickloop.services.reconcile import Truth


class SimulatorControl:
    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=5.0, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def run_clock(self, *, run: bool) -> int:
        """Let the market clock run, or hold it; give the market time, epoch ms."""
        answer = await self._call("POST", "/control/clock", json={"run": run})
        return int(answer["market_ms"])

    async def clock(self) -> dict[str, Any]:
        return await self._call("GET", "/control/clock")

    async def status(self) -> dict[str, Any]:
        return await self._call("GET", "/control/status")

    async def truth(self, window: Window) -> dict[str, Truth]:
        """Give what the simulator made and withheld in the window, by market."""
        answer = await self._call("GET", "/control/truth", params={"start": window.start_ms, "end": window.end_ms})
        return {market: _truth(hours["hours"]) for market, hours in answer["markets"].items()}

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            response = await self._client.request(method, path, **request)
            response.raise_for_status()
        except httpx.HTTPError as exc:
            raise OperatorError(f"the simulator did not answer {method} {path}: {exc}") from exc
        answer: dict[str, Any] = response.json()
        return answer


def _truth(hours: list[dict[str, Any]]) -> Truth:
    return Truth(
        made=sum(int(hour["made"]) for hour in hours),
        withheld=sum(int(hour["withheld"]) for hour in hours),
        repaired_minutes=tuple(sorted(minute for hour in hours for minute in hour["repaired"])),
        candle_minutes=tuple(sorted(minute for hour in hours for minute in hour["candle"])),
    )
