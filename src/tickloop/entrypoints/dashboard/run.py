"""Runs the pages in this process: Streamlit's own server, headless, ended by an event of ours."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamlit import config
from streamlit.web import bootstrap
from streamlit.web.server import Server

from tickloop.entrypoints.dashboard.client import ApiClient, share
from tickloop.errors import PortInUseError, SettingsError

STOP_S = 1.0
"""Real seconds for open pages to be told that the server goes; then their sockets are cut."""


async def serve_dashboard(
    client: ApiClient, host: str, port: int, ready: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Serve the pages until `stop` is set.

    Signals belong to the process: Streamlit's `bootstrap.run` would take them over, so its server is run without it.

    Args:
        port: 0 takes a free one.
        ready: called once with the address, when the pages answer.

    Raises:
        PortInUseError: if another program has the port.
        SettingsError: if this machine cannot listen there.
    """
    check_port(host, port)
    share(client)
    bootstrap.load_config_options(_options(host, port))
    server = Server(str(Path(__file__).with_name("app.py")), is_hello=False)
    await server.start()
    bootstrap.prepare_streamlit_environment(server.main_script_path)
    ready(f"http://{host}:{config.get_option('server.port')}")
    await stop.wait()
    server.stop()
    with contextlib.suppress(TimeoutError):  # of a page that does not let go: the process ends all the same
        await asyncio.wait_for(server.stopped, STOP_S)


def check_port(host: str, port: int) -> None:
    """Pass an address that can be listened on: Streamlit itself would end the process without a word for ours.

    Raises:
        PortInUseError: if another program has the port.
        SettingsError: if this machine cannot listen there.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"dashboard.port = {port} of {host} is in use by another program; valid: a free one, or 0"
            ) from exc
        raise SettingsError(
            f"cannot listen on dashboard.host = {host!r}, port {port}: {exc}; valid: 127.0.0.1 and 1024 to 65535"
        ) from exc


def _options(host: str, port: int) -> dict[str, Any]:
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.allowedHosts": [host, "localhost"] if host.startswith("127.") else [],  # no page of another site
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "global.developmentMode": False,
        "logger.level": "warning",
        # The default is the red that means a fall here. Set per theme: a theme of one colour has no dark side.
        "theme.light.primaryColor": "#2f6fab",
        "theme.dark.primaryColor": "#6aa5dd",
    }
