"""Every order log keeps what it has acknowledged, and gives it back in order."""

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tickloop.adapters.local.order_log import FileOrderLog
from tickloop.domain.market import Side
from tickloop.domain.orders import Cause, Execution, Intent, OrderEvent, OrderState
from tickloop.errors import DataError, HomeBusyError, HomeNotWritableError

INTENT = OrderEvent(
    "tl-b-1",
    OrderState.INTENT,
    1_000,
    intent=Intent(
        "tl-b-1",
        "KRW-BTC",
        Side.BUY,
        Decimal("6000"),
        Decimal("6003.00000000"),
        1_000,
        58e6,
        cause=Cause(60_000, "m-1", 5e7),
    ),
)
CLOSED = OrderEvent(
    "tl-b-1",
    OrderState.CLOSED,
    1_500,
    execution=Execution("v", Decimal("0.0001"), Decimal("5800.1"), Decimal("2.90005"), 1_400),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bot"


def test_events_come_back_as_they_were_written(folder: Path) -> None:
    """Decimals keep their digits."""
    log = FileOrderLog(folder)
    log.append(INTENT)
    log.append(CLOSED)

    events = log.read()
    log.close()

    assert events == [INTENT, CLOSED]
    assert str(events[0].intent.reserved) == "6003.00000000"  # type: ignore[union-attr]


def test_second_bot_on_the_same_folder_is_refused(folder: Path) -> None:
    """Two bots on one purse would spend it twice."""
    log = FileOrderLog(folder)

    with pytest.raises(HomeBusyError, match="in use by another bot"):
        FileOrderLog(folder)
    log.close()


def test_torn_last_line_is_no_event_and_stays_readable(folder: Path) -> None:
    """A write that never returned was never acted on."""
    log = FileOrderLog(folder)
    log.append(INTENT)
    log.close()
    path = folder / "orders.jsonl"
    path.write_bytes(path.read_bytes() + b'{"client_order_id":"tl-b-2","sta')

    log = FileOrderLog(folder)
    log.append(CLOSED)
    events = log.read()
    log.close()

    assert events == [INTENT, CLOSED]
    assert b'# torn: {"client_order_id":"tl-b-2","sta\n' in path.read_bytes()


def test_line_that_the_disk_took_only_in_part_spoils_no_later_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders under way are still written down after the disk was full for a moment."""
    log = FileOrderLog(folder)
    log.append(INTENT)
    real_write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, data[:20]))
        with pytest.raises(HomeNotWritableError, match="did not take that tl-b-1 is closed"):
            log.append(CLOSED)

    log.append(CLOSED)
    events = log.read()
    log.close()

    assert events == [INTENT, CLOSED]


def test_line_that_is_no_event_stops_the_bot_and_is_named(folder: Path) -> None:
    """Money is at stake: nothing is skipped."""
    log = FileOrderLog(folder)
    log.append(INTENT)
    log.close()
    path = folder / "orders.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())

    log = FileOrderLog(folder)
    with pytest.raises(DataError, match="line 1 is no order event"):
        log.read()
    log.close()


def test_event_survives_the_death_of_its_writer(folder: Path) -> None:
    """What append has returned for is there after kill -9."""
    program = (
        "import sys, time, pathlib\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from contract.test_order_log import INTENT\n"
        "from tickloop.adapters.local.order_log import FileOrderLog\n"
        "FileOrderLog(pathlib.Path(sys.argv[1])).append(INTENT)\n"
        "print('written', flush=True)\n"
        "sys.stdin.read()\n"
    )
    tests = str(Path(__file__).parents[1])
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), tests], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdin is not None
    assert writer.stdout.readline() == "written\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    writer.stdin.close()

    log = FileOrderLog(folder)
    events = log.read()
    log.close()

    assert events == [INTENT]
