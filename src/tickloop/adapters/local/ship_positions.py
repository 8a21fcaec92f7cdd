"""How far a journal was delivered, segment by segment: one small file that is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog

from tickloop.adapters.local.files import try_lock, write_whole, writing
from tickloop.errors import HomeBusyError

POSITIONS = "positions.json"


class _Saved(msgspec.Struct, frozen=True):
    target: str
    offsets: dict[str, int]


class ShipPositions:
    """Positions in the journal for one target; another target begins anew.

    Args:
        folder: where the file lies, and the lock of the one who writes it.
        target: names the sink: what one has got says nothing of another.
    """

    def __init__(self, folder: Path, target: str) -> None:
        self._path = folder / POSITIONS
        self._target = target

    def load(self) -> dict[str, int]:
        """Give segment -> offset. A file that is damaged, or of another target, gives none: all is delivered again."""
        log = structlog.get_logger(adapter="ship")
        try:
            saved = msgspec.json.decode(self._path.read_bytes(), type=_Saved)
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError as exc:
            log.warning("positions cannot be read; all is delivered again", path=str(self._path), reason=str(exc))
            return {}
        if saved.target != self._target:
            log.warning("positions are of another target; all is delivered", was=saved.target, now=self._target)
            return {}
        return dict(saved.offsets)

    def save(self, offsets: Mapping[str, int]) -> None:
        """Replace the file; it survives a loss of power.

        Raises:
            DiskFullError: there is no room; the old positions stand.
        """
        write_whole(self._path, msgspec.json.encode(_Saved(self._target, dict(offsets))))


def delivered_offsets(folder: Path) -> dict[str, int] | None:
    """Give segment -> offset as the shipper saved it for whatever target, None where none ever ran."""
    try:
        return dict(msgspec.json.decode((folder / POSITIONS).read_bytes(), type=_Saved).offsets)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        return {}


@contextmanager
def hold_shipping(folder: Path) -> Iterator[None]:
    """Be the one shipper of a home; the kernel frees the lock when the process dies.

    Raises:
        HomeBusyError: another shipper runs.
    """
    path = folder / ".lock"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not try_lock(descriptor):
            raise HomeBusyError(f"home {folder.parent} already has a shipper; stop it, or give this one another --home")
        yield
    finally:
        os.close(descriptor)
