"""The record of sessions: who was connected when, through kills, several connections and a full disk."""

import errno
import os
from pathlib import Path

import pytest

from tickloop.adapters.local.sessions import FileSessionLog, Session

BTC, ETH = ("KRW-BTC",), ("KRW-ETH",)


async def test_session_log_pairs_starts_with_ends(tmp_path: Path) -> None:
    """A session whose process was killed has no end; a half-written line is skipped."""
    path = tmp_path / "sessions" / "collector.jsonl"
    log = FileSessionLog(path)
    assert log.sessions() == []

    await log.connected(100)
    await log.disconnected(120, "reset")
    await log.connected(180)
    with path.open("ab") as file:
        file.write(b'{"event":"disc')
    await log.connected(300)

    assert log.sessions() == [Session(100, 120, "reset"), Session(180, None, None), Session(300, None, None)]


async def test_markets_of_several_connections_have_sessions_of_their_own(tmp_path: Path) -> None:
    """The loss of one connection ends nothing of the others'."""
    log = FileSessionLog(tmp_path / "sessions.log")
    await log.connected(100, BTC)
    await log.connected(101, ETH)
    await log.disconnected(120, "reset", ETH)
    await log.connected(150, ETH)
    await log.disconnected(200, "stopped", BTC + ETH)

    assert log.sessions("KRW-BTC") == [Session(100, 200, "stopped", BTC)]
    assert log.sessions("KRW-ETH") == [Session(101, 120, "reset", ETH), Session(150, 200, "stopped", ETH)]
    assert log.sessions("KRW-XRP") == []


async def test_market_that_leaves_ends_its_part_of_a_session(tmp_path: Path) -> None:
    """The others stay connected."""
    log = FileSessionLog(tmp_path / "sessions.log")
    await log.connected(100, BTC + ETH)
    await log.disconnected(150, "delisted", ETH)

    assert log.sessions() == [Session(100, 150, "delisted", ETH), Session(100, None, None, BTC)]


async def test_end_of_what_was_received_is_told_by_market(tmp_path: Path) -> None:
    """A session that was killed lasted to the journal's last line at least; the answer does not change later."""
    log = FileSessionLog(tmp_path / "sessions.log")
    await log.connected(100, BTC + ETH)
    await log.disconnected(150, "delisted", ETH)
    ends = log.ends(400)
    await log.connected(500, ETH)

    assert (ends("KRW-BTC"), ends("KRW-ETH"), ends("KRW-XRP")) == (400, 150, None)
    assert log.ends(None)("KRW-BTC") == 100


async def test_record_without_markets_counts_for_every_market(tmp_path: Path) -> None:
    """As written before markets were named."""
    log = FileSessionLog(tmp_path / "sessions.log")
    await log.connected(100)
    await log.disconnected(130, "stopped")

    assert log.ends(999)("KRW-BTC") == 130
    assert log.sessions("KRW-BTC") == [Session(100, 130, "stopped")]


async def test_line_that_finds_no_room_is_written_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk does not end the collector, nor does it leave half a line."""
    log, real = FileSessionLog(tmp_path / "sessions.log"), os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) > 20:
            return real(descriptor, bytes(data)[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    await log.connected(100)
    before = (tmp_path / "sessions.log").read_bytes()
    monkeypatch.setattr(os, "write", half)
    await log.disconnected(120, "reset")
    during = (tmp_path / "sessions.log").read_bytes()
    monkeypatch.setattr(os, "write", real)
    await log.connected(180)

    assert during == before
    assert log.sessions() == [Session(100, 120, "reset"), Session(180, None, None)]
