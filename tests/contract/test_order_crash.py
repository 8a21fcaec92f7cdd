"""kill -9 between the synced intent and the send: the next start settles it, and nothing is sent twice."""

import os
import signal
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from fakes import FixedClock
from tickloop.adapters.local.order_log import FileOrderLog
from tickloop.domain.market import Side
from tickloop.domain.orders import OrderState
from tickloop.domain.purse import Purse
from tickloop.ports import OrderRequest
from tickloop.services.order_path import OrderPath
from trading_fakes import FakeBroker

# A bot that decides on a buy and hangs in the placement, which it tells on stdout.
PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tickloop.adapters.local.order_log import FileOrderLog
from trading_fakes import Stage, at, trade

async def place(request):
    print("sending", request.client_order_id, flush=True)
    await asyncio.Event().wait()

stage = Stage({at(0): 60_000_000.0})
stage.broker.place = place
stage.order_log = FileOrderLog(Path(sys.argv[1]))
asyncio.run(stage.play(trade(at(0, 1_000), 50_000_000.0), asyncio.Event().wait))
"""
ORDER_ID = "tl-b-1705881601000-1"


@pytest.mark.parametrize(("arrived", "end"), [(True, OrderState.CLOSED), (False, OrderState.REJECTED)])
async def test_killed_between_intent_and_answer(
    arrived: bool, end: OrderState, tmp_path: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    """The exchange is asked for the id; the purse is that of what really happened."""
    process = start_python(PROGRAM, tmp_path, Path(__file__).parents[1])
    assert process.stdout is not None
    assert process.stdout.readline() == f"sending {ORDER_ID}\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)

    order_log = FileOrderLog(tmp_path)
    purse = Purse(Decimal(50_000))
    for event in order_log.read():
        purse.apply(event)
    intents = [order.intent for order in purse.open_orders()]
    assert [intent.client_order_id for intent in intents] == [ORDER_ID]
    broker = FakeBroker(FixedClock())
    if arrived:
        await broker.place(OrderRequest(ORDER_ID, "KRW-BTC", Side.BUY, krw=Decimal(6_000)))
        broker.placed.clear()
    path = OrderPath(broker, order_log, purse, FixedClock(), lambda order: None, absent_s=0.05)
    await path.settle_open()
    states = [event.state for event in order_log.read()]
    order_log.close()

    assert states == [OrderState.INTENT, end]
    assert broker.placed == []
    assert purse.free_cash() == (Decimal(43_997) if arrived else Decimal(50_000))
    assert list(purse.lots) == ([ORDER_ID] if arrived else [])
