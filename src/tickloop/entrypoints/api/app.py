"""The HTTP side: routes over a serving runtime, answers as lists of plain rows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from tickloop import __version__
from tickloop.domain.tables import BACKTEST, EQUITY, FORECAST, ORDER, Table
from tickloop.entrypoints.api import schemas, views
from tickloop.entrypoints.api.live import Answer, LiveMarket
from tickloop.entrypoints.api.metrics import Metrics, RequestTimer
from tickloop.entrypoints.api.problems import Json, ProblemError, TokenGuard, install_handlers, unknown_market
from tickloop.entrypoints.api.runtime import ServingRuntime
from tickloop.errors import DataError

DESCRIPTION = """
Forecasts of the next minute's volume-weighted price for Upbit KRW markets, and what they were made from.

Times are UTC; a minute is named by its start. Lists are oldest first. Every error is
`{"errors": [{"field", "value", "valid", "message"}]}`. Where a token is set, every /v1 address needs the header
`Authorization: Bearer <token>`.
"""

MAX_ROWS = 50_000

Market = Annotated[str, Query(description="A market that is served here.", examples=["KRW-BTC"])]
AnyMarket = Annotated[str | None, Query(description="One market; all when absent.", examples=["KRW-BTC"])]
Last = Annotated[int, Query(ge=1, le=MAX_ROWS, description="How many of the newest rows.")]


def create_app(runtime: ServingRuntime, token: str | None) -> FastAPI:
    """Build the API over a runtime; with a token every /v1 address asks for it."""
    app = FastAPI(title="Tickloop", version=__version__, description=DESCRIPTION)
    metrics = Metrics(runtime)
    errors: dict[int | str, dict[str, Any]] = {code: {"model": schemas.Problems} for code in (401, 404, 422)}
    app.include_router(_forecast_routes(runtime), prefix="/v1", tags=["forecasts"], responses=errors)
    app.include_router(_row_routes(runtime), prefix="/v1", tags=["rows"], responses=errors)
    app.include_router(_health_routes(runtime, metrics), tags=["health"])
    install_handlers(app)
    if token is not None:
        app.add_middleware(TokenGuard, token=token)
    app.add_middleware(RequestTimer, metrics=metrics)
    return app


def _forecast_routes(runtime: ServingRuntime) -> APIRouter:
    routes = APIRouter()

    @routes.post("/forecasts", response_model=list[schemas.ForecastOut], summary="Forecast the next minute")
    async def forecast(request: schemas.ForecastRequest) -> Response:
        """Answer one item per market, in the order asked: from the newest bars of the server, or those given."""
        if request.strategy not in schemas.STRATEGIES:
            valid = list(schemas.STRATEGIES)
            message = f"strategy {request.strategy!r} is not offered; valid now: {', '.join(valid)}"
            raise ProblemError(422, "strategy", request.strategy, valid, message)
        for market in request.bars.keys() - set(request.markets):
            raise ProblemError(422, "bars", market, request.markets, f"bars of {market!r}, which is not asked for")
        now_ms = runtime.clock.now_ms()
        lives = [_live(runtime, "markets", market) for market in request.markets]
        return Json([views.answer_row(_answer(live, request, now_ms)) for live in lives])

    @routes.get("/forecasts", response_model=schemas.FORECAST_ROWS, summary="Stored forecasts")
    async def stored(market: AnyMarket = None, last: Last = 60) -> Response:
        """List what champion and shadows forecast, by minute and version; of two for one key the first was kept."""
        return await _rows(runtime, FORECAST, market, last)

    @routes.get("/models", response_model=list[schemas.ModelOut], summary="Registered models")
    async def models(market: AnyMarket = None) -> Response:
        """List all versions with aliases and metrics, and which are loaded here."""
        lives = runtime.all_live() if market is None else (_live(runtime, "market", market),)
        serving = {live.market: live.forecaster.serving.names for live in lives}
        return Json(await run_in_threadpool(views.model_rows, runtime.registry, serving))

    @routes.get("/decisions", response_model=list[schemas.DecisionOut], summary="Why the champion is the champion")
    async def decisions(market: Market, last: Last = 20) -> Response:
        _live(runtime, "market", market)
        return Json(await run_in_threadpool(views.decision_rows, runtime.registry, market, last))

    return routes


def _row_routes(runtime: ServingRuntime) -> APIRouter:
    routes = APIRouter()

    @routes.get("/bars", response_model=schemas.BAR_ROWS, summary="One-minute bars, the open one included")
    async def bars(market: Market, last: Last = 240) -> Response:
        """List the newest bars; the minute under way comes last with `is_closed` false."""
        live = _live(runtime, "market", market).bars
        closed, still_open = live.frame(), live.open_bars()
        return Json(await run_in_threadpool(views.bar_rows, runtime.warehouse, market, last, closed, still_open))

    @routes.get("/orders", response_model=schemas.ORDER_ROWS, summary="Orders of the bots")
    async def orders(market: AnyMarket = None, last: Last = 200) -> Response:
        return await _rows(runtime, ORDER, market, last)

    @routes.get("/equity", response_model=schemas.EQUITY_ROWS, summary="Cash and lots of the bots over time")
    async def equity(last: Last = 1_440) -> Response:
        return await _rows(runtime, EQUITY, None, last)

    @routes.get("/backtests", response_model=schemas.BACKTEST_ROWS, summary="Results of back-tests")
    async def backtests(market: AnyMarket = None, last: Last = 50) -> Response:
        return await _rows(runtime, BACKTEST, market, last)

    @routes.get("/ledger", response_model=schemas.LedgerOut, summary="Completeness of the data")
    async def ledger(market: Market, last: Last = 200) -> Response:
        """Count minutes by state; list the newest that are not verified."""
        _live(runtime, "market", market)
        return Json(await run_in_threadpool(views.ledger_view, runtime.warehouse, market, last))

    @routes.get("/status", response_model=schemas.StatusOut, summary="What is live")
    async def status() -> Response:
        return Json(views.status_view(runtime))

    return routes


def _health_routes(runtime: ServingRuntime, metrics: Metrics) -> APIRouter:
    routes = APIRouter()

    @routes.get("/healthz", summary="The process answers")
    async def healthz() -> Response:
        return Json({"is_alive": True})

    @routes.get("/readyz", summary="Forecasts can be made from fresh data", responses={503: {}})
    async def readyz() -> Response:
        """Answer 503 with the reasons when data is stale, the stream is not open, or a champion is missing."""
        reasons = runtime.problems()
        return Json({"is_ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    @routes.get("/metrics", summary="Figures for Prometheus")
    async def figures() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes


def _live(runtime: ServingRuntime, field: str, market: str) -> LiveMarket:
    if market not in runtime.markets:
        raise unknown_market(field, market, runtime.markets)
    return runtime.live(market)


def _answer(live: LiveMarket, request: schemas.ForecastRequest, now_ms: int) -> Answer:
    try:
        return views.answer_for(live, request.bars.get(live.market), now_ms)
    except DataError as exc:
        if live.market not in request.bars:
            raise
        valid = "finite prices above 0 with low <= open, close <= high"
        raise ProblemError(422, f"bars.{live.market}", None, valid, str(exc)) from exc


async def _rows(runtime: ServingRuntime, table: Table, market: str | None, last: int) -> Response:
    if market is not None:
        _live(runtime, "market", market)
    frame = await run_in_threadpool(runtime.warehouse.read, table, market, last=last)
    return Json(frame.to_dicts())
