"""Real servers for tests: those that `scripts/servers/with.sh` has started, or ones of their own.

A test that needs a server says so by `required`: where it is absent the test is skipped with the reason, or fails
when TICKLOOP_TEST_REQUIRE_SERVERS=1. Servers are shared: a test uses a database, bucket or index prefix of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts" / "servers"

_DEADLINE_S = 180.0
_LOOK_S = 0.05


def required(name: str) -> None:
    """Skip, or fail where servers are required, unless the server is installed or was started for us."""
    if shared_address(name) is not None or _is_installed(name):
        return
    reason = f"{name} is not installed: sh scripts/servers/{name}.sh install"
    if os.environ.get("TICKLOOP_TEST_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def shared_address(name: str) -> str | None:
    """Give the address of the server that was started for all tests, if there is one."""
    return os.environ.get(f"TICKLOOP_TEST_{name.upper().replace('-', '_')}")


@contextmanager
def address_of(name: str, folder: Path) -> Iterator[str]:
    """Give the address of the shared server, or of one that runs as long as the block."""
    required(name)
    address = shared_address(name)
    if address is not None:
        yield address
        return
    with running(name, folder) as server:
        yield server.address


@dataclass
class Server:
    """A server of the test's own, which it may stop and start again at the same address with the same state."""

    name: str
    folder: Path
    address: str
    process: subprocess.Popen[bytes]

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, by default in order; SIGKILL kills the script and, with it, the server."""
        self.process.send_signal(number)
        self.process.wait(_DEADLINE_S)

    def start(self) -> None:
        """Start it again where it was."""
        port = self.address.rsplit(":", 1)[1].split("/")[0]
        self.process, self.address = _start(self.name, self.folder, port)


@contextmanager
def running(name: str, folder: Path) -> Iterator[Server]:
    """Start a server with its state in this folder; it ends with the block."""
    required(name)
    folder.mkdir(parents=True, exist_ok=True)
    process, address = _start(name, folder, "0")
    server = Server(name, folder, address, process)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def _start(name: str, folder: Path, port: str) -> tuple[subprocess.Popen[bytes], str]:
    published = folder / "address"
    published.unlink(missing_ok=True)
    with (folder / "script.log").open("ab") as log:
        command = ["setpriv", "--pdeathsig", "TERM", "sh", str(SCRIPTS / f"{name}.sh"), "run", str(folder), port]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + _DEADLINE_S
    while not published.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"{name} did not start: {(folder / 'script.log').read_text()[-2000:]}")
        time.sleep(_LOOK_S)
    return process, published.read_text().strip()


def _is_installed(name: str) -> bool:
    script = SCRIPTS / f"{name}.sh"
    if not script.exists() or shutil.which("setpriv") is None:
        return False
    return subprocess.run(["sh", str(script), "installed"], capture_output=True).returncode == 0
