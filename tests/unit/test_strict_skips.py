"""CI cannot pass by leaving tests out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODULES = {
    "a_test": "def test_it():\n    pytest.skip('of a test')\n",
    "a_fixture": "@pytest.fixture\ndef it():\n    pytest.skip('of a fixture')\n\n\ndef test_it(it):\n    pass\n",
    "a_module": "pytest.importorskip('not_there_at_all', reason='of a module')\n",
    "expected": "@pytest.mark.xfail(reason='known')\ndef test_it():\n    assert False\n",
}


def run(folder: Path, required: str) -> subprocess.CompletedProcess[str]:
    for name, source in MODULES.items():
        (folder / f"test_{name}.py").write_text(f"import pytest\n\n\n{source}")
    changed = {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "TICKLOOP_TEST_REQUIRE_SERVERS": required,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "strict_skips", "-p", "no:cacheprovider"]
    command += ["--continue-on-collection-errors"]
    return subprocess.run(command, cwd=folder, env=os.environ | changed, capture_output=True, text=True, timeout=120)


def test_skip_fails_where_servers_are_required_and_tells_its_reason(tmp_path: Path) -> None:
    """Whoever asks for it; a failure that was expected is none."""
    done = run(tmp_path, "1")

    assert done.returncode == 1
    assert "1 failed, 1 xfailed, 2 errors" in done.stdout
    for reason in ("of a test", "of a fixture", "of a module"):
        assert f"was left out where TICKLOOP_TEST_REQUIRE_SERVERS=1: Skipped: {reason}" in done.stdout


def test_skip_is_a_skip_elsewhere(tmp_path: Path) -> None:
    """On a laptop without servers."""
    done = run(tmp_path, "0")

    assert done.returncode == 0
    assert "3 skipped, 1 xfailed" in done.stdout
