"""The real collector on a real disk that is full: it waits, says so, and goes on with nothing lost."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collecting import Collecting
from tickloop.adapters.local.dead_letter import DeadLetter


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    path = folder / "filler"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1_000_000, 4_096):
            try:
                while True:
                    os.write(descriptor, b"x" * size)
            except OSError:
                continue
    finally:
        os.close(descriptor)
    return path


@pytest.mark.parametrize(("min_free_bytes", "is_killed"), [(1_000_000, True), (1_000_000, False), (0, False)])
def test_full_disk_blocks_the_collector_until_there_is_room(
    tmp_path: Path, small_disk: Path, min_free_bytes: int, is_killed: bool
) -> None:
    """With a reserve and without one, where lines are cut off; also across a kill while the disk is full."""
    home = small_disk / "home"
    settings = f"[collect]\nmin_free_bytes = {min_free_bytes}\n"
    with Collecting(tmp_path, home, settings) as world:
        world.run_to(5)
        filler = fill(small_disk)
        world.until(lambda: world.status().state == "blocked", "the block")  # type: ignore[union-attr]
        disk, told = world.figure("disk"), world.command("status")
        world.run_to(10)
        if is_killed:
            world.kill_collector()
            world.start_collector()
        waiting = world.status()
        world.run_to(15)
        filler.unlink()
        world.until(lambda: world.status().state == "ready", "the room")  # type: ignore[union-attr]
        world.run_to(25)
        world.until(lambda: world.figure("repairs")["pending"] == 0, "the end of the repairs")
        world.hold()
        world.until(lambda: world.kept() >= world.made(), "the last trade")

        assert world.kept() == world.made()
        assert waiting is not None
        assert waiting.state == "blocked"
        assert disk["free_bytes"] < disk["needed_bytes"]
        assert told.returncode == 3
        assert "blocked" in told.stdout
        assert world.log("collector").count("subject=disk_full") == 2 + is_killed
    for segment in (home / "journal").glob("*.jsonl"):
        whole = segment.read_bytes().split(b"\n")[:-1]
        assert all(json.loads(line)["doc_id"] for line in whole)
    assert DeadLetter(home / "dead" / "feed-collector.jsonl").read() == []
