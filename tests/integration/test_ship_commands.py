"""`tickloop janitor` and `tickloop fluentd-config` as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fakes import START_MS
from shipping import trade_line
from tickloop.adapters.local.segments import OpenSegment
from tickloop.domain.window import HOUR_MS


def call(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tickloop", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def home_with_segments(folder: Path) -> Path:
    for hour in range(2):
        segment = OpenSegment(folder / "journal", "collector", (START_MS + hour * HOUR_MS) * 1_000_000)
        segment.write(trade_line(hour, START_MS + hour * HOUR_MS))
        segment.close()
    return folder


def test_janitor_tells_what_stays_and_why(tmp_path: Path) -> None:
    """Nothing was ever loaded on this home, so nothing goes."""
    home = home_with_segments(tmp_path / "home")

    shown = call(home, "janitor")
    as_json = json.loads(call(home, "janitor", "--dry-run", "--json").stdout)

    assert shown.returncode == 0
    assert "0 segments removed" in shown.stdout
    assert "extract of KRW-BTC 2024-01-22T00 is not done" in shown.stdout
    assert (as_json["removed"], as_json["dry_run"], as_json["young"]) == ([], True, 1)
    assert len(list((home / "journal").glob("*.jsonl"))) == 2


def test_fluentd_config_is_printed_and_its_template_written(tmp_path: Path) -> None:
    """No secret is in either, whatever the settings hold."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "tickloop.toml").write_text(
        '[opensearch]\nurl = "https://search:9200"\nuser = "writer"\npassword = "TOPSECRET"\nindex_prefix = "mine"\n'
    )

    done = call(home, "fluentd-config")

    template = home / "ship" / "fluentd" / "index-template.json"
    assert done.returncode == 0, done.stderr
    assert f"template_file '{template}'" in done.stdout
    assert f"path '{home}/journal/*.jsonl'" in done.stdout
    assert "TOPSECRET" not in done.stdout + done.stderr + template.read_text()
    assert json.loads(template.read_text())["index_patterns"] == ["mine-2*"]


def test_json_of_a_shipper_that_runs_on_is_wrong_use(tmp_path: Path) -> None:
    """It would never be printed."""
    done = call(tmp_path / "home", "ship", "--json")

    assert done.returncode == 2
    assert "--once" in done.stderr


def test_ship_once_without_a_server_says_which_and_ends(tmp_path: Path) -> None:
    """After some attempts; nothing is forgotten."""
    home = home_with_segments(tmp_path / "home")
    (home / ".tickloop-home").touch()
    (home / "tickloop.toml").write_text('[opensearch]\nurl = "http://127.0.0.1:9"\n')

    done = call(home, "ship", "--once")

    assert done.returncode == 1
    assert "http://127.0.0.1:9" in done.stderr
    assert not (home / "ship" / "positions.json").exists()
