"""The file of collected markets: replaced whole, and never taken for empty when it is damaged."""

from pathlib import Path

import pytest

from tickloop.adapters.local.markets import FileMarketLog
from tickloop.domain.universe import Span
from tickloop.errors import DataError, HomeNotWritableError


def test_saved_spans_are_loaded_by_other_processes(tmp_path: Path) -> None:
    """The last save counts; before the first there are none."""
    path = tmp_path / "journal" / "markets.json"
    assert FileMarketLog(path).load() == {}

    FileMarketLog(path).save({"KRW-BTC": Span(1)})
    FileMarketLog(path).save({"KRW-BTC": Span(1, 5), "KRW-XRP": Span(3)})

    assert FileMarketLog(path).load() == {"KRW-BTC": Span(1, 5), "KRW-XRP": Span(3)}


@pytest.mark.parametrize("content", [b"", b"{", b'{"KRW-BTC":1}', b"\xff"])
def test_damaged_file_is_told_with_its_remedy(tmp_path: Path, content: bytes) -> None:
    """Taken for empty, hours of many markets would go without a label."""
    (tmp_path / "markets.json").write_bytes(content)

    with pytest.raises(DataError, match=r"markets\.json is damaged.*remove it"):
        FileMarketLog(tmp_path / "markets.json").load()


def test_folder_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    """The collector goes on and tries again."""
    (tmp_path / "journal").write_text("a file where the folder should be")

    with pytest.raises(HomeNotWritableError, match="cannot be written"):
        FileMarketLog(tmp_path / "journal" / "markets.json").save({})
