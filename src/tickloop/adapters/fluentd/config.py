"""fluentd's configuration for the sidecar, from one template. Pure, but for reading the template."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from tickloop.errors import SettingsError

BUFFER_BYTES = 2_000_000_000
"""What fluentd may buffer. The journal holds all of it anyway, so there is no need for more."""

DEAD_NAME = "fluentd"
"""fluentd adds `.log`."""

_PORTS = {"http": 9200, "https": 443}
_NOT_IN_PATHS = frozenset(",*?[]{}%$'\"\\#\n\r")
"""What fluentd gives a meaning of its own in the path of a file."""


@dataclass(frozen=True)
class FluentdPaths:
    """Where fluentd finds and keeps things, as its process sees them.

    Attributes:
        journal: folder of the segments.
        state: folder of positions, buffers and what was given up.
        dead_letters: folder of the dead letters.
    """

    journal: Path
    state: Path
    dead_letters: Path

    @property
    def positions(self) -> Path:
        return self.state / "journal.pos"

    @property
    def template(self) -> Path:
        return self.state / "index-template.json"


def fluentd_config(
    paths: FluentdPaths, url: str, index_prefix: str, ca_file: Path | None = None, buffer_bytes: int = BUFFER_BYTES
) -> str:
    """Render the configuration. Neither user nor password are part of it: fluentd takes them from its environment.

    Args:
        url: address of OpenSearch, as of `opensearch.url`.

    Raises:
        SettingsError: the address or a path cannot stand in fluentd's configuration.
    """
    address = urlsplit(url)
    if address.scheme not in _PORTS or not address.hostname:
        raise SettingsError(f"opensearch.url {address.hostname or url!r} is no address; valid: https://opensearch:9200")
    if address.username or address.password:
        raise SettingsError(
            "opensearch.url holds user or password; valid: FLUENT_OPENSEARCH_USER and FLUENT_OPENSEARCH_PASSWORD"
        )
    path = address.path.rstrip("/")
    template = Template(files(__package__).joinpath("fluent.conf.template").read_text(encoding="utf-8"))
    return template.substitute(
        journal=_file(paths.journal / "*.jsonl", "home", pattern=True),
        positions=_file(paths.positions, "home"),
        state=_file(paths.state, "home"),
        buffer=_file(paths.state / "buffer", "home"),
        dead_buffer=_file(paths.state / "dead-buffer", "home"),
        dead=_file(paths.dead_letters / DEAD_NAME, "home"),
        template=_file(paths.template, "home"),
        scheme=address.scheme,
        host=address.hostname,
        port=address.port or _PORTS[address.scheme],
        path_line=f"  path {path}\n" if path else "",
        ca_line=f"  ca_file {_file(ca_file, 'opensearch.ca_file')}\n" if ca_file is not None else "",
        prefix=index_prefix,
        buffer_bytes=buffer_bytes,
    )


def _file(path: Path, setting: str, *, pattern: bool = False) -> str:
    """Give a path in single quotes, within which fluentd looks for nothing but the quote."""
    fixed = str(path.parent if pattern else path)
    wrong = sorted(_NOT_IN_PATHS & set(fixed))
    if wrong or not path.is_absolute():
        found = f"holds {' '.join(map(repr, wrong))}" if wrong else "is not absolute"
        raise SettingsError(
            f"{setting}: {fixed} {found}, which fluentd would not take for a file; valid: /data/tickloop"
        )
    return f"'{path}'"
