"""Run the API on a port until it is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable, Generator, Iterator

import uvicorn
from fastapi import FastAPI

from tickloop.entrypoints.api.app import create_app
from tickloop.entrypoints.api.runtime import ServingRuntime
from tickloop.errors import PortInUseError, SettingsError, TickloopError

DRAIN_S = 0.5
"""Real seconds for answers under way when the process stops."""

BACKLOG = 128

Ready = Callable[[str], None]
"""Called once with the address, when it listens and forecasts can come."""


async def serve_api(
    runtime: ServingRuntime, host: str, port: int, token: str | None, ready: Ready, stop: asyncio.Event
) -> None:
    """Run feed, forecasts and HTTP in one loop until `stop` is set.

    Args:
        port: 0 takes a free one.
        ready: called with the address when it listens, the stream is open and the first bars and models were looked
            for.

    Raises:
        PortInUseError: if another program has the port.
        SettingsError: if the host is no address of this machine, or not loopback and without a token.
    """
    if token is None and not is_loopback(host):
        raise SettingsError(f"serve.host = {host!r} is open to other machines; valid: a token, or host 127.0.0.1")
    app = create_app(runtime, token)
    with listening(host, port) as sock:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(runtime.run(stop))
                group.create_task(run_api(app, sock, stop))
                telling = group.create_task(_tell(runtime, url_of(sock), ready))
                await stop.wait()
                telling.cancel()
        except ExceptionGroup as failed:  # not `except*`: Python 3.11.2 wraps what is raised in it in another group
            ours, others = failed.split(TickloopError)
            if ours is None or others is not None:
                raise
            raise ours.exceptions[0] from failed


async def run_api(app: FastAPI, sock: socket.socket, stop: asyncio.Event) -> None:
    """Answer on a listening socket until `stop` is set; answers under way get `DRAIN_S` to end."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,  # type: ignore[arg-type]  # passed on to asyncio.wait_for, which takes it
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Hold a listening socket.

    Raises:
        PortInUseError: if another program has the port.
        SettingsError: if this machine cannot listen there.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named asyncio sets TCP_NODELAY; without it each answer waits 40 ms for the client's ACK.
        sock = socket.socket(family, kind, proto)
    except OSError as exc:
        raise SettingsError(f"serve.host = {host!r} is no address of this machine: {exc}; valid: 127.0.0.1") from exc
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    f"port {port} of {host} is in use by another program; valid: a free one, or 0"
                ) from exc
            raise SettingsError(
                f"cannot listen on {host} port {port}: {exc}; valid: 127.0.0.1 and 1024 to 65535"
            ) from exc
        yield sock


def url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if sock.family == socket.AF_INET6 else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a listener on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _tell(runtime: ServingRuntime, url: str, ready: Ready) -> None:
    await runtime.started()
    ready(url)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # Signals belong to the process, which sets `stop`; uvicorn would take them over.
        yield
