"""Runs the pages in this process: Streamlit's own server, headless, on loopback."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from tickloop.errors import PortInUseError

API_VARIABLE = "TICKLOOP_DASHBOARD_API"
"""How the script that Streamlit runs learns where the API is; set by `run_dashboard` alone."""

_HEALTH_DEADLINE_S = 30.0


def run_dashboard(api_url: str, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve the pages until SIGTERM or SIGINT, which Streamlit turns into an orderly stop.

    Args:
        ready: called once, from another thread, with the address of the pages when they answer.

    Raises:
        PortInUseError: if the port is taken.
    """
    check_port(host, port)
    os.environ[API_VARIABLE] = api_url
    from streamlit.web import bootstrap

    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
        "global.developmentMode": False,
        "client.toolbarMode": "minimal",
        "logger.level": "warning",
    }
    script = str(Path(__file__).with_name("app.py"))
    bootstrap.load_config_options(flag_options={name.replace(".", "_"): value for name, value in options.items()})
    url = f"http://{host}:{port}"
    threading.Thread(target=_tell_when_healthy, args=(url, ready), daemon=True).start()
    bootstrap.run(script, False, [], {})


def check_port(host: str, port: int) -> None:
    """Pass a port that nobody listens on; `PortInUseError` otherwise."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise PortInUseError(
                f"dashboard.port = {port} on {host} cannot be used: {exc.strerror}; valid: a free port (0 is not one)"
            ) from exc


def _tell_when_healthy(url: str, ready: Callable[[str], None]) -> None:
    transport = httpx.HTTPTransport(retries=0)
    pause = threading.Event()
    with httpx.Client(transport=transport, timeout=1.0, trust_env=False) as client:
        for _ in range(int(_HEALTH_DEADLINE_S / 0.1)):
            try:
                if client.get(f"{url}/_stcore/health").is_success:
                    ready(url)
                    return
            except httpx.TransportError:
                pass  # not listening yet: asked again until the deadline
            pause.wait(0.1)
