"""Settings: what is wrong is named, the environment wins over the file, secrets do not show."""

import subprocess
import sys
from pathlib import Path

import pytest

from tickloop.errors import SettingsError
from tickloop.settings import SETTINGS_FILE, Settings, load_settings, settings_text

TEXT = settings_text()
ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TICKLOOP_HOME", raising=False)
    return tmp_path


def write(home: Path, text: str) -> None:
    (home / SETTINGS_FILE).write_text(text, encoding="utf-8")


def test_environment_wins_over_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One section may come from both; what the environment does not name stays."""
    write(home, "[serve]\nport = 9001\n[training]\nslot_hours = 12\nseed = 5\n")
    monkeypatch.setenv("TICKLOOP_TRAINING__SEED", "7")

    settings = load_settings(home)

    assert (settings.serve.port, settings.training.slot_hours, settings.training.seed) == (9001, 12, 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 'red'", "colour"),
        ("[promotion]\nmetrik = 'mae_bp'", "promotion.metrik"),
        ("markets = ['BTC']", "valid: ['KRW-BTC', 'KRW-ETH']"),
        ("[serve]\nport = 70000", "serve.port"),
        ("[serve]\nhost = '0.0.0.0'", "valid: a token, or 127.0.0.1"),
        ("[promotion]\nmetric = 'profit_krw'", "valid: 'maximize'"),
        ("[strategy]\nbudget = -1", "strategy.budget"),
        ("[serve\n", "not valid TOML"),
    ],
)
def test_wrong_setting_is_named_with_what_is_valid(home: Path, text: str, words: str) -> None:
    """No traceback, no silent default."""
    write(home, text)

    with pytest.raises(SettingsError) as caught:
        load_settings(home)
    assert words in str(caught.value)


def test_secrets_do_not_show(home: Path) -> None:
    """Neither in a repr nor in the message about another wrong key of their section."""
    write(home, "[exchange]\naccess_key = 'AAA111'\nsecret_key = 'BBB222'\n")
    assert "BBB222" not in repr(load_settings(home))
    write(home, "[exchange]\naccess_key = 'AAA111'\nsecret_key = 222\n")

    with pytest.raises(SettingsError) as caught:
        load_settings(home)
    assert "AAA111" not in str(caught.value)
    assert "secret_key" in str(caught.value)
    assert "222" not in str(caught.value)


def test_written_settings_are_the_defaults(home: Path) -> None:
    """With every line taken out of its comment the file changes nothing; absent values stay comments."""
    lines = [line.removeprefix("# ") if " = " in line and ' = ""' not in line else line for line in TEXT.splitlines()]

    write(home, "\n".join(lines))

    assert load_settings(home) == Settings(home=home)
    assert sum(" = " in line and not line.startswith("#") for line in lines) > 20


def test_reference_page_lists_every_setting_and_command() -> None:
    """`make docs` writes it; here nothing is written."""
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "write_reference.py"), "--check"], check=False)

    assert done.returncode == 0, "docs/reference.md is out of date: run `make docs`"
