"""The machine's clock, and the reader of a market clock that the simulator owns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec

from tickloop.domain.marketclock import ClockAnchor, decode_anchor
from tickloop.errors import OperatorError

_ACK_TIMEOUT_S = 10.0

_ASK_AGAIN_S = 0.25
"""Real seconds until a simulator that did not answer is told again. In the teller's own thread, and no wait on its
condition: every message that is finished would end that."""


def _nothing() -> None:
    pass


class SystemClock:
    """Market time is the machine's own time: the clock for the real exchange."""

    def now_ns(self) -> int:
        return time.time_ns()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def elapsed_s(self) -> float:
        return time.monotonic()

    def real_seconds_until(self, ts_ms: int) -> float:
        return max(0.0, ts_ms / 1000 - time.time())

    def finished(self, frames: int) -> None:
        pass

    def under_way(self) -> Callable[[], None]:
        return _nothing


class SharedClock:
    """Market time as written by its owner, the simulator, into one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._anchor = self._read()

    def now_ns(self) -> int:
        return self._read().at(time.monotonic_ns())

    def now_ms(self) -> int:
        return self.now_ns() // 1_000_000

    def elapsed_s(self) -> float:
        # Budgets run on while the market stands: a back-fill before the start would otherwise wait for ever.
        return time.monotonic() * self._read().speed

    def real_seconds_until(self, ts_ms: int) -> float:
        return self._read().real_seconds_until(ts_ms * 1_000_000, time.monotonic_ns())

    def finished(self, frames: int) -> None:
        pass

    def under_way(self) -> Callable[[], None]:
        return _nothing

    def _read(self) -> ClockAnchor:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._anchor = decode_anchor(self._path.read_bytes())
                self._stamp = stamp
        except FileNotFoundError as exc:
            raise OperatorError(f"market clock {self._path} is not there; start the simulator first") from exc
        return self._anchor


class SteppedClock(SharedClock):
    """A market clock that waits for this program: it moves on when every message told so far is dealt with.

    What it tells is told from a thread of its own, as the caller's event loop may be the one that the simulator
    answers in. A simulator that is not there, or no more, is told again until it answers.

    Args:
        name: the User-Agent of this program's connections, by which the simulator counts what it was told.
        acknowledge: tells the simulator the name and how many messages were dealt with. An OSError means that there was
            no answer; an `OperatorError` ends the telling, and `finished` raises it.
    """

    def __init__(self, path: Path, name: str, acknowledge: Callable[[str, int], object]) -> None:
        super().__init__(path)
        self._name = name
        self._acknowledge = acknowledge
        self._done = 0
        self._told = -1
        self._under_way = 0
        self._refusal: OperatorError | None = None
        self._news = threading.Condition()
        threading.Thread(target=self._tell, name="stepped-clock", daemon=True).start()

    def finished(self, frames: int) -> None:
        with self._news:
            if self._refusal is not None:
                raise self._refusal
            self._done += frames
            self._news.notify()

    def under_way(self) -> Callable[[], None]:
        with self._news:
            self._under_way += 1
        return self._is_done

    def _is_done(self) -> None:
        with self._news:
            self._under_way -= 1
            self._news.notify()

    def _tell(self) -> None:
        while self._refusal is None:
            with self._news:
                self._news.wait_for(lambda: self._told != self._done and not self._under_way)
                done = self._done
            try:
                self._acknowledge(self._name, done)
            except OperatorError as exc:
                self._refusal = exc
            except OSError:
                time.sleep(_ASK_AGAIN_S)
            else:
                self._told = done


def acknowledger(control_url: str) -> Callable[[str, int], None]:
    """Give what tells a simulator how many messages a program has dealt with.

    Raises (when called):
        OSError: the simulator does not answer.
        OperatorError: it answers that its clock is not stepped.
    """

    def acknowledge(name: str, frames: int) -> None:
        body = msgspec.json.encode({"name": name, "frames": frames})
        request = Request(f"{control_url}/control/ack", body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urlopen(request, timeout=_ACK_TIMEOUT_S) as answer:  # noqa: S310 (the simulator on this machine)
                answer.read()
        except HTTPError as exc:
            told = exc.read(1_000).decode("utf-8", "replace")
            raise OperatorError(
                f"clock = 'stepped', and {control_url}/control/ack answers {exc.code}: {told}; valid: a simulator with"
                " --stepped"
            ) from exc
        except HTTPException as exc:  # it went away in the middle
            raise ConnectionAbortedError(str(exc)) from exc

    return acknowledge
