"""Prometheus figures of the API process, in a registry of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickloop.entrypoints.api.runtime import ServingRuntime

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class RuntimeCollector(Collector):
    """Read the runtime's own counts when asked, so that nothing is counted twice."""

    def __init__(self, runtime: ServingRuntime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        counts, markets = self._runtime.counts, self._runtime.all_live()
        forecasts = CounterMetricFamily("tickloop_forecasts", "Forecasts made, all versions.", labels=["market"])
        late = CounterMetricFamily("tickloop_late_trades", "Trades after their minute was closed.", labels=["market"])
        repeats = CounterMetricFamily("tickloop_repeated_trades", "Trades that had come before.", labels=["market"])
        silence = GaugeMetricFamily("tickloop_silent_minutes", "Market minutes since a trade.", labels=["market"])
        now_ms = self._runtime.clock.now_ms()
        for live in markets:
            forecasts.add_metric([live.market], counts.forecasts[live.market])
            late.add_metric([live.market], live.bars.late)
            repeats.add_metric([live.market], live.bars.duplicates)
            silent = live.silent_min(now_ms)
            if silent is not None and not live.has_ended:
                silence.add_metric([live.market], silent)
        yield from (forecasts, late, repeats, silence)
        yield CounterMetricFamily("tickloop_stored_forecasts", "Forecasts new in the warehouse.", value=counts.stored)
        yield CounterMetricFamily("tickloop_skipped_minutes", "Minutes not forecast.", value=counts.skipped_minutes)
        yield CounterMetricFamily("tickloop_reconnects", "Times the stream was away.", value=counts.reconnects)
        yield CounterMetricFamily("tickloop_corrupt_frames", "Frames left out.", value=counts.corrupt_frames)
        failures = CounterMetricFamily("tickloop_failures", "What was tried in vain.", labels=["what"])
        for what, count in counts.failures.items():
            failures.add_metric([what], count)
        yield failures


class Metrics:
    """The registry of one app, and the histogram of its answers."""

    def __init__(self, runtime: ServingRuntime) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(RuntimeCollector(runtime))
        self.requests = Histogram(
            "tickloop_request_seconds",
            "Real seconds from request to answer.",
            ["route", "status"],
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )

    def text(self) -> bytes:
        return generate_latest(self._registry)


class RequestTimer:
    """Time every answer by address; those that no route knows are one series, so that their number stays bounded."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = scope["path"] if "route" in scope else "other"  # no address of ours has a variable part
            self._metrics.requests.labels(route, status).observe(time.perf_counter() - began)
