"""Processes under measure: CPU and memory as the kernel counts them, all threads and children included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ENVIRONMENTS = Path(
    os.environ.get("TICKLOOP_ENVS") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "tickloop" / "envs"
).expanduser()

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_END_S = 30.0


def python_of(name: str) -> Path | None:
    """Give the interpreter of a peer's environment, None when `scripts/envs.sh` did not make it."""
    path = ENVIRONMENTS / name / "bin" / "python"
    return path if path.exists() else None


def cpu_s(pid: int) -> float:
    """Give user and system seconds so far of a process with all its threads, and of its living and ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(field) for field in fields[11:15]) * _TICK_S
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(cpu_s(int(child)) for child in children)


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def running(*command: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a program of ours or a peer's in a group of its own, and see that the whole group is gone at the end.

    A peer's children outlive it otherwise: pyupbit's process connects again and again. What it says on stderr is in
    `log`.
    """
    pipe = subprocess.PIPE
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True, start_new_session=True) as process,
    ):
        try:
            yield process
        except Exception as exc:
            exc.add_note(f"{command[:4]} said: {log.read_text()[-2_000:]}")
            raise
        finally:
            _end_group(process)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Ask the process to end, then end whatever is left of its group; the group's number is the process's own."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def sender(count: int, rate: float, log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the sending process; give it and its address."""
    with running(sys.executable, "-m", "bench.sender", str(count), str(rate), log=log) as process:
        yield process, f"ws://127.0.0.1:{said(process, 'port')}/websocket/v1"


def said(process: subprocess.Popen[str], word: str) -> str:
    """Read the next line of a process, which begins with this word; give the rest."""
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith(word):
        raise RuntimeError(f"the process said {line!r} instead of {word!r}")
    return line.removeprefix(word).strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def wait_until(is_done: Callable[[], bool], deadline_s: float, what: str) -> None:
    end = time.monotonic() + deadline_s
    while not is_done():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not done after {deadline_s:g} s")
        time.sleep(0.05)
