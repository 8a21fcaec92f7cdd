"""kill -9 while the bot trades: its session can be replayed up to where its files go."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tickloop.adapters.local.bot_session_read import BotSessionFiles
from tickloop.services.replay_session import replay_session

# A bot that trades over files and is killed: it tells its folder, then each order that has ended.
PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tickloop.adapters.local.bot_session import BotSessionWriter
from trading_fakes import Stage, at, trade

stage = Stage({at(minute): 60_000_000.0 for minute in range(4000)}, budget=50_000_000)
sessions = BotSessionWriter(Path(sys.argv[1]), stage.clock, interval_s=0.001)
stage.open_session = lambda: sessions
print(sessions.folder, flush=True)

async def tell():
    await stage.settled()
    print(len(stage.bot.purse.orders), flush=True)

script = [item for minute in range(1, 4000) for item in (trade(at(minute, 2000), 5e7), tell)]
asyncio.run(stage.play(*script))
"""


@pytest.mark.parametrize("orders", [1, 7, 23])
async def test_session_of_a_killed_bot_is_replayed_up_to_where_its_files_go(
    orders: int, tmp_path: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    """kill -9 in the middle of trading: what is there is equal."""
    process = start_python(PROGRAM, tmp_path, Path(__file__).parents[1])
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    while int(process.stdout.readline()) < orders:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)

    result = replay_session(BotSessionFiles(folder))

    assert result.is_equal, result.difference
    assert not result.has_ended
    assert len(result.orders) >= orders - 1
