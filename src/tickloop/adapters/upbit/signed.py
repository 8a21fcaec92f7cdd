"""Signed requests to Upbit's private REST: reads are repeated, what changes something goes out once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from tickloop.adapters.upbit.answers import decode
from tickloop.adapters.upbit.auth import Credentials, Pairs
from tickloop.adapters.upbit.budget import Budget
from tickloop.adapters.upbit.budget_state import EXCHANGE_GROUPS
from tickloop.adapters.upbit.errors import LIMITED, TOO_MANY, error_of, error_of_sent, lost
from tickloop.errors import ExchangeError, RejectedError, RetryableError
from tickloop.ports import Clock

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=5.0)
_KEEP_ALIVE_S = 55.0
_DONE = (200, 201)
_NOT_SENT = "not_sent"

_TRIES = 4
_FIRST_DELAY_S = 0.2

_WORTH_S = 3.0
"""Market seconds that an order may wait for its turn: longer, as in a lock-out, and what it was decided on is old."""

_PATIENCE_S = 30.0
"""Market seconds that a read waits; who asks for an order has a deadline of its own."""

_Row = TypeVar("_Row")


class SignedRest:
    """One account's pool of warm connections, opened at the first request, within its rate limits.

    Args:
        budgets: folder of the files that processes of the same key share their budgets in; None shares with nobody.
    """

    def __init__(self, rest_url: str, credentials: Credentials, clock: Clock, budgets: Path | None = None) -> None:
        self._rest_url = rest_url.rstrip("/")
        self._credentials = credentials
        self._budgets = {
            group: Budget(clock, limit, None if budgets is None else budgets / group)
            for group, limit in EXCHANGE_GROUPS.items()
        }
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
        for budget in self._budgets.values():
            budget.close()

    async def read(self, path: str, pairs: Pairs = ()) -> bytes:
        """Read with GET, repeating what may be repeated, each time with a token of its own.

        Between tries it waits 0.2 s x 2^n, of that a random half to whole; 429 and 418 wait in the budget as well.
        """
        for number in range(_TRIES):
            try:
                return await self._read_once(path, pairs)
            except RetryableError:
                if number == _TRIES - 1:
                    raise
                await asyncio.sleep(_FIRST_DELAY_S * 2**number * random.uniform(0.5, 1.0))  # noqa: S311
        raise AssertionError("unreachable: the last try returns or raises")

    async def _read_once(self, path: str, pairs: Pairs) -> bytes:
        try:
            if (wait_s := await self._budgets["default"].wait_async(_PATIENCE_S)) > 0:
                raise RetryableError(f"GET {path} would wait {wait_s:.0f} s for its turn", wait_s)
            status, body, headers = await self._ask("GET", path, pairs, "default")
        except (aiohttp.ClientError, OSError) as exc:
            raise RetryableError(f"no answer to GET {path} from {self._rest_url}: {exc!r}") from exc
        if status in _DONE:
            return body
        raise error_of(status, body, headers)

    async def send(self, method: str, path: str, pairs: Pairs, group: str, what: str) -> bytes:
        """Send what changes something, once.

        Args:
            group: whose budget it counts against.
            what: names the request in errors.

        Raises:
            RejectedError: refused, or never sent (no connection, or no turn soon); nothing was changed.
            AuthError: the same, and a person must act.
            UnknownOutcomeError: the answer was lost, or does not say clearly "done" or "refused".
        """
        if (wait_s := await self._budgets[group].wait_async(_WORTH_S)) > 0:
            raise RejectedError(LIMITED, f"{what} would wait {wait_s:.1f} s for its turn; nothing was sent", 0)
        try:
            status, body, headers = await self._ask(method, path, pairs, group)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise RejectedError(_NOT_SENT, f"no connection to {self._rest_url}, nothing was sent", 0) from exc
        except (aiohttp.ClientError, OSError) as exc:  # a time-out is an OSError too
            raise lost(what, repr(exc)) from exc
        if status in _DONE:
            return body
        raise error_of_sent(status, body, headers, what)

    async def _ask(self, method: str, path: str, pairs: Pairs, group: str) -> tuple[int, bytes, Mapping[str, str]]:
        headers = {"Authorization": self._credentials.authorization(pairs)}
        url, data = URL(f"{self._rest_url}{path}"), None
        if method == "POST":
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(dict(pairs))
        elif pairs:
            # Encoded by hand: brackets stay as they are, as the exchange wants, and nothing is encoded twice.
            query = "&".join(f"{quote(name, safe='[]')}={quote(value, safe='')}" for name, value in pairs)
            url = URL(f"{self._rest_url}{path}?{query}", encoded=True)
        # A redirect would repeat a POST.
        async with self._session().request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
            body = await answer.read()
        budget = self._budgets[group]
        if answer.status not in TOO_MANY:
            budget.learn(answer.headers.get("Remaining-Req"))
        elif isinstance(error := error_of(answer.status, body, answer.headers), RetryableError):
            budget.refused(answer.status, error.retry_after_s)
        return answer.status, body, answer.headers

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=_KEEP_ALIVE_S),
                timeout=_TIMEOUT,
                middlewares=(_once,),
                headers={"Accept": "application/json", "User-Agent": "tickloop"},
            )
        return self._http


class _CutOffError(aiohttp.ClientError):
    """The connection ended before an answer came."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending again what a stale connection lost: it would do so with GET and DELETE.

    A cancel is the caller's to repeat, and a second request needs a token of its own.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _CutOffError(str(exc) or type(exc).__name__) from exc


def decode_sent(body: bytes, form: type[_Row], what: str) -> _Row:
    """Read the answer to what changed something; one that cannot be read leaves the outcome unknown."""
    try:
        return decode(body, form, what)
    except ExchangeError as exc:
        raise lost(what, str(exc)) from exc
