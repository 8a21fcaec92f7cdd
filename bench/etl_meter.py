"""What one run of either way costs, in its own process: time, time spent on OpenSearch, memory, by stages.

Our way and the peer's import this file, each in its own environment, and both ask OpenSearch by `opensearch-py`: its
connection is where the time is taken, from a request to the whole text of its answer. Decoding comes after that. Time
in which several requests are under way counts once.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opensearchpy import Urllib3HttpConnection

_TOOK = re.compile(r'"took":(\d+)')
_HEAD = 8_192  # a scroll's id, which comes before `took`, may be long


class Meter:
    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._server_s = 0.0
        self._under_way = 0
        self._busy_since = 0.0
        self._lock = threading.Lock()
        self._took_ms = 0
        self._bytes = 0
        self._base_mb = _peak_mb()
        self._began = time.perf_counter()
        self._began_cpu = time.process_time()
        self._watch()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - began

    def tell(self, rows: int) -> None:
        """Print what was measured since this meter was made, as the last line of the process."""
        figures = {
            "rows": rows,
            "wall_s": time.perf_counter() - self._began,
            "cpu_s": time.process_time() - self._began_cpu,
            "server_s": self._server_s,
            "took_s": self._took_ms / 1000,
            "megabytes": self._bytes / 1e6,
            "base_mb": self._base_mb,
            "peak_mb": _peak_mb(),
            "stages": self.stages,
        }
        print(json.dumps(figures), flush=True)

    def _watch(self) -> None:
        ask = Urllib3HttpConnection.perform_request

        def timed(connection: Any, *args: Any, **options: Any) -> Any:
            self._count(1)
            try:
                answer = ask(connection, *args, **options)
            finally:
                self._count(-1)
            took = _TOOK.search(answer[2], 0, _HEAD)
            self._took_ms += int(took[1]) if took else 0
            self._bytes += len(answer[2])
            return answer

        Urllib3HttpConnection.perform_request = timed

    def _count(self, change: int) -> None:
        with self._lock:
            now = time.perf_counter()
            if self._under_way:
                self._server_s += now - self._busy_since
            self._busy_since = now
            self._under_way += change


def _peak_mb() -> float:
    # Not getrusage: that counts the process which started this one, too.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
