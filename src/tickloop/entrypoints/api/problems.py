"""Errors as JSON: which field, which value, what would be valid."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tickloop.errors import ExchangeError, TickloopError

MAX_SHOWN = 200
"""Characters of a wrong value that are shown."""


class Json(Response):
    """Plain values, times as ISO 8601 in UTC; a float that is not finite becomes null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


class ProblemError(Exception):
    """A request that cannot be answered."""

    def __init__(self, status: int, field: str, value: object, valid: object, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.errors = [problem(field, value, valid, message)]


def problem(field: str, value: object, valid: object, message: str) -> dict[str, Any]:
    return {"field": _printable(field), "value": _shown(value), "valid": valid, "message": _printable(message)}


def unknown_market(field: str, market: str, known: Sequence[str]) -> ProblemError:
    message = f"market {_shown(market)!r} is not served here; valid: {', '.join(known)}"
    return ProblemError(404, field, market, list(known), message)


class TokenGuard:
    """Let a request to /v1 through when it carries the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1"):
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._wanted):
                message = "this address needs a token; valid: the header Authorization: Bearer <token>"
                body = {"errors": [problem("Authorization", None, "Bearer <token>", message)]}
                await Json(body, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


def install_handlers(app: FastAPI) -> None:
    """Answer every error of the app in one form."""

    async def on_problem(_request: Request, exc: Exception) -> Response:
        assert isinstance(exc, ProblemError)
        return Json({"errors": exc.errors}, exc.status)

    async def on_invalid(_request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)
        return Json({"errors": [_from_pydantic(error) for error in exc.errors()]}, 422)

    async def on_http(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        value = f"{request.method} {request.url.path}"
        valid = "an address and method of /openapi.json, with a JSON body where one is asked for"
        body = {"errors": [problem("request", value, valid, str(exc.detail))]}
        return Json(body, exc.status_code, dict(exc.headers or {}))

    async def on_ours(request: Request, exc: Exception) -> Response:
        status = 503 if isinstance(exc, ExchangeError) else 500
        return Json({"errors": [problem("request", request.url.path, None, str(exc))]}, status)

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(TickloopError, on_ours)


def _from_pydantic(error: dict[str, Any]) -> dict[str, Any]:
    field = ".".join(str(part) for part in error["loc"] if part not in ("body", "query")) or "body"
    return problem(field, error.get("input"), _printable(error["msg"]), f"{field}: {error['msg']}")


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < 2**53 else str(value)[:MAX_SHOWN]
    return _printable(value if isinstance(value, str) else repr(value))


def _printable(text: str) -> str:
    # JSON may carry half a surrogate pair, which no answer can.
    return text[:MAX_SHOWN].encode("utf-8", "replace").decode()
