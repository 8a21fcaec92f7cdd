"""Write docs/reference.md: every setting with its default, and every command with its options.

`python scripts/write_reference.py --check` writes nothing and ends with 1 when the page is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel
from typer.main import get_command

from tickloop.entrypoints.cli import app
from tickloop.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"


def setting_rows(model: type[BaseModel], prefix: str = "") -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            rows += setting_rows(type(field.default), f"{prefix}{name}.")
            continue
        assert field.description, f"{prefix}{name} has no description"
        rows.append(f"| `{prefix}{name}` | {shown(field.default)} | {field.description} |")
    return rows


def shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{one}"' for one in value) + "]`"
    return f"`{value}`"


def command_rows() -> list[str]:
    rows = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        options = ", ".join(
            f"`{parameter.opts[0]}`" if parameter.param_type_name == "option" else f"`{parameter.name.upper()}`"
            for parameter in command.params
            if parameter.name != "help"
        )
        rows.append(f"| `{name}` | {command.help.splitlines()[0]} | {options} |")
    return rows


def page() -> str:
    return "\n".join(
        [
            "# Reference",
            "",
            "Written by `make docs`; a test fails when it is out of date.",
            "",
            "## Settings",
            "",
            "`tickloop.toml` in the home; a dotted name is a key of a section (`[serve]`, `port = 8000`).",
            "The environment overrides the file: `TICKLOOP_SERVE__PORT=8000`. Unknown keys fail.",
            "",
            "| setting | default | what it is |",
            "|---|---|---|",
            *setting_rows(Settings),
            "",
            "## Commands",
            "",
            "Exit codes: 0 done, 1 a failure that the message explains, 2 wrong use, 3 a check that did not hold.",
            "",
            "| command | what it does | options |",
            "|---|---|---|",
            *command_rows(),
            "",
        ]
    )


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
