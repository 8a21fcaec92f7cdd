"""The file of gaps: replaced whole, and no reason to fall when it is damaged."""

from pathlib import Path

import pytest

from tickloop.adapters.local.gaps import FileGapLog
from tickloop.domain.gaps import Gap
from tickloop.errors import HomeNotWritableError


def test_saved_gaps_are_loaded_by_the_next_process(tmp_path: Path) -> None:
    """The last save counts; before the first there are none."""
    log = FileGapLog(tmp_path / "journal" / "gaps.json")
    assert log.load() == []

    log.save([Gap("KRW-BTC", 1, 2), Gap("KRW-ETH", 3, 4)])
    log.save([Gap("KRW-ETH", 3, 4)])

    assert FileGapLog(tmp_path / "journal" / "gaps.json").load() == [Gap("KRW-ETH", 3, 4)]


@pytest.mark.parametrize("content", [b"", b"[{", b'{"market":1}', b"\xff"])
def test_damaged_file_holds_no_gap(tmp_path: Path, content: bytes) -> None:
    """The hourly verify finds what it forgot."""
    (tmp_path / "gaps.json").write_bytes(content)

    assert FileGapLog(tmp_path / "gaps.json").load() == []


def test_folder_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    """Repair goes on without the file."""
    (tmp_path / "journal").write_text("a file where the folder should be")

    with pytest.raises(HomeNotWritableError, match="cannot be written"):
        FileGapLog(tmp_path / "journal" / "gaps.json").save([])
