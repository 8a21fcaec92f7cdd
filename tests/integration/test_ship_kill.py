"""The real `tickloop ship` and the real OpenSearch: kills, an outage, a second shipper; every line counts once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import START_MS
from servers import Server, address_of, running
from shipping import trade_line
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.local.status import StatusBoard, StatusFile
from tickloop.domain.window import DAY_MS, HOUR_MS

pytestmark = pytest.mark.server

DEADLINE_S = 120.0
LINES_A_ROUND, ROUNDS, PORTION = 4_000, 6, 250


class Shipping:
    """A home whose journal the test writes, and the shipper as a process of its own."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url, self.prefix = home, url, f"t{uuid.uuid4().hex[:12]}"
        self.board = StatusBoard(home / "run")
        self._process: subprocess.Popen[bytes] | None = None
        self.segment: Path | None = None
        home.mkdir()
        (home / ".tickloop-home").touch()
        (home / "tickloop.toml").write_text(f'[opensearch]\nurl = "{url}"\nindex_prefix = "{self.prefix}"\n')

    def begin(self, hour: int, writer: str = "collector") -> None:
        """Begin a segment; what is torn at the end of the one before stays so."""
        segment = OpenSegment(self.home / "journal", writer, (START_MS + hour * HOUR_MS) * 1_000_000)
        segment.close()
        self.segment = segment.path

    def append(self, data: bytes) -> None:
        assert self.segment is not None
        with self.segment.open("ab") as file:
            file.write(data)

    def start(self) -> None:
        self.board.remove("shipper")
        with (self.home / "shipper.log").open("ab") as log:
            command = [sys.executable, "-m", "tickloop", "ship", "--home", str(self.home)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(DEADLINE_S)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(DEADLINE_S)

    def once(self) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "tickloop", "ship", "--once", "--json", "--home", str(self.home)]
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=False)
        return done.returncode, json.loads(done.stdout or b"{}")

    def status(self) -> StatusFile | None:
        return self.board.read("shipper")

    def figure(self, name: str) -> Any:
        status = self.status()
        return None if status is None else status.detail.get(name)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            log = (self.home / "shipper.log").read_text()[-1500:]
            assert time.monotonic() < deadline, f"{what} was not reached: {self.status()}; {log}"
            time.sleep(0.02)

    def stored(self) -> int:
        """Count the documents, after a refresh."""
        query = "refresh?allow_no_indices=true", "count?allow_no_indices=true"
        for path in query:
            with urllib.request.urlopen(f"{self.url}/{self.prefix}-*/_{path}", timeout=DEADLINE_S) as answer:
                found = json.load(answer)
        return int(found["count"])


@pytest.fixture
def shipping(tmp_path: Path, opensearch_for_ship: str) -> Iterator[Shipping]:
    made = Shipping(tmp_path / "home", opensearch_for_ship)
    yield made
    made.close()


@pytest.fixture(scope="module")
def opensearch_for_ship(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with address_of("opensearch", tmp_path_factory.mktemp("opensearch")) as url:
        yield url


def test_shipper_that_is_killed_stores_every_line_once(shipping: Shipping) -> None:
    """24,000 lines over two days, in portions that end within lines, a segment each round; six kills -9 on the way."""
    number = 0
    for round_ in range(ROUNDS):
        before = shipping.stored()
        shipping.begin(round_ * 7, "repair" if round_ % 3 == 2 else "collector")
        shipping.start()
        ts_ms = START_MS + round_ * 7 * HOUR_MS
        lines = b"".join(trade_line(number + one, ts_ms + one) for one in range(LINES_A_ROUND))
        number += LINES_A_ROUND
        size = len(lines) // PORTION + 1
        portions = [lines[at : at + size] for at in range(0, len(lines), size)]
        for portion in portions[: PORTION // 2]:
            shipping.append(portion)
        if round_ % 2:
            shipping.until(lambda before=before: shipping.stored() > before, "the first documents")
        else:
            shipping.until(lambda: bool(shipping.figure("delivered")), "the first delivery")
        for portion in portions[PORTION // 2 :]:
            shipping.append(portion)
        shipping.end(signal.SIGKILL)
        if round_ % 2:
            shipping.append(lines[:100])  # what a killed collector leaves: a line that never ends

    code, figures = shipping.once()

    assert code == 0
    assert (figures["refused"], figures["behind_bytes"]) == (0, 0)
    assert shipping.stored() == number == LINES_A_ROUND * ROUNDS


def test_refused_line_is_told_by_the_exit_code(shipping: Shipping) -> None:
    """3: a check that did not hold; the others are stored."""
    shipping.begin(0)
    shipping.append(trade_line(1) + b"no json\n" + trade_line(2, START_MS + DAY_MS))

    code, figures = shipping.once()
    again, more = shipping.once()

    assert (code, figures["delivered"], figures["refused"]) == (3, 2, 1)
    assert (again, more["delivered"], more["known"], more["refused"]) == (0, 0, 0, 0)
    assert len(list((shipping.home / "dead").glob("ship-*.jsonl"))) == 1


def test_second_shipper_is_turned_away_and_the_first_stops_in_order(shipping: Shipping) -> None:
    """One per home; SIGTERM ends it with 0, all delivered."""
    shipping.begin(0)
    shipping.append(trade_line(1))
    shipping.start()
    shipping.until(lambda: shipping.figure("delivered") == 1, "the delivery")

    code, _ = shipping.once()

    assert code == 1
    assert shipping.end(signal.SIGTERM) == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running("opensearch", tmp_path / "opensearch") as made:
        yield made


def test_server_that_is_stopped_gets_everything_when_it_is_back(tmp_path: Path, server: Server) -> None:
    """Meanwhile the status says what is away; lines that came in between are not lost, none is stored twice."""
    shipping = Shipping(tmp_path / "home", server.address)
    try:
        shipping.begin(0)
        shipping.append(b"".join(trade_line(number) for number in range(1_000)))
        shipping.start()
        shipping.until(lambda: shipping.figure("delivered") == 1_000, "the first lines")

        server.stop()
        shipping.append(b"".join(trade_line(number) for number in range(1_000, 3_000)))
        shipping.until(lambda: shipping.status().state == "blocked", "the outage")  # type: ignore[union-attr]
        assert server.address in shipping.status().message  # type: ignore[union-attr]
        server.start()
        shipping.until(lambda: shipping.status().state == "ready", "the recovery")  # type: ignore[union-attr]
        shipping.until(lambda: shipping.figure("behind_bytes") == 0, "the end")

        assert shipping.stored() == 3_000
    finally:
        shipping.close()
