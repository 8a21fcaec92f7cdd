"""fluentd's configuration: each setting that keeps lines from being lost or doubled is there, for the reason given."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tickloop.adapters.fluentd.config import FluentdPaths, fluentd_config
from tickloop.adapters.fluentd.state import dead_lines, given_up, read_offsets
from tickloop.errors import SettingsError

ROOT = Path(__file__).parents[2]
PATHS = FluentdPaths(Path("/data/journal"), Path("/data/ship/fluentd"), Path("/data/dead"))
DEPLOYED = FluentdPaths(
    Path("/var/lib/tickloop/journal"), Path("/var/lib/tickloop/ship/fluentd"), Path("/var/lib/tickloop/dead")
)


@dataclass
class Section:
    """One section of fluentd's format: `<name argument>`, values by key, sections inside."""

    name: str
    argument: str = ""
    values: dict[str, str] = field(default_factory=dict)
    inner: list[Section] = field(default_factory=list)

    def one(self, name: str) -> Section:
        (found,) = (section for section in self.inner if section.name == name)
        return found


def parse(text: str) -> Section:
    """Read the format as far as it is used here; an unknown line or an open section is an error."""
    root = Section("root")
    open_sections = [root]
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if end := re.fullmatch(r"</(\w+)>", line):
            assert open_sections.pop().name == end[1]
        elif begin := re.fullmatch(r"<(\w+)(?: +(\S+))?>", line):
            section = Section(begin[1], begin[2] or "")
            open_sections[-1].inner.append(section)
            open_sections.append(section)
        else:
            key, value = line.split(None, 1)
            assert key not in open_sections[-1].values, f"{key} stands twice"
            open_sections[-1].values[key] = value
    assert open_sections == [root]
    return root


def conf(url: str = "https://opensearch:9200", **more: Path) -> Section:
    return parse(fluentd_config(PATHS, url, "tickloop", **more))


TAIL = {
    "@type": ("tail", "the journal's segments"),
    "path": ("'/data/journal/*.jsonl'", "segments of all writers; sessions.log, gaps.json and locks are none"),
    "pos_file": ("'/data/ship/fluentd/journal.pos'", "on the volume: a new container goes on where the old one was"),
    "read_from_head": ("true", "a segment is found after its first lines were written"),
    "refresh_interval": ("5", "seconds until a new segment is seen; 60 by default"),
    "follow_inodes": ("false", "names are unique and never change"),
    "pos_file_compaction_interval": ("1h", "the janitor removes segments, their entries must go too"),
    "emit_unmatched_lines": ("true", "a line that is no JSON reaches the dead letter"),
}
OPENSEARCH = {
    "@type": ("opensearch", "fluent-plugin-opensearch"),
    "user": ("\"#{ENV['FLUENT_OPENSEARCH_USER'] || use_nil}\"", "from the environment of the worker"),
    "password": ("\"#{ENV['FLUENT_OPENSEARCH_PASSWORD'] || use_nil}\"", "never in a file"),
    "ssl_verify": ("true", "a server that anybody may play is no server"),
    "logstash_format": ("true", "an index a day"),
    "logstash_prefix": ("tickloop", "opensearch.index_prefix"),
    "logstash_dateformat": ("%Y.%m.%d", "the names that the raw store reads"),
    "utc_index": ("true", "days of UTC"),
    "template_name": ("tickloop", "the name that `tickloop ship` gives it"),
    "template_file": ("'/data/ship/fluentd/index-template.json'", "written with the configuration"),
    "template_overwrite": ("false", "a newer one is left alone"),
    "use_legacy_template": ("false", "a composable template, as ours is"),
    "id_key": ("doc_id", "the same for every delivery of an event"),
    "write_operation": ("create", "what is there already is answered by 409 and stays"),
    "emit_error_for_missing_id": ("true", "otherwise such a line is dropped in silence"),
    "verify_os_version_at_startup": ("false", "tailing must begin while the server is down"),
    "default_opensearch_version": ("3", "not asked, the plugin takes it for 1 and every request is refused"),
    "suppress_type_name": ("true", "the same: no `_type` since OpenSearch 2"),
    "reload_connections": ("false", "addresses of nodes are not those of a service"),
    "reload_on_failure": ("false", "the same"),
    "reconnect_on_error": ("true", "a server that comes back at another address"),
    "request_timeout": ("30s", "requests reach 12 MB"),
    "unrecoverable_error_types": ('["out_of_memory_error"]', "back-pressure (429) is no loss"),
    "log_os_400_reason": ("true", "why a line was refused"),
}
BUFFER = {
    "@type": ("file", "survives a kill"),
    "path": ("'/data/ship/fluentd/buffer'", "on the volume"),
    "flush_interval": ("5s", "a line waits so long for others"),
    "flush_mode": ("interval", "not by size alone"),
    "chunk_limit_size": ("8MB", "one request"),
    "retry_forever": ("true", "an outage of a day must not drop a chunk"),
    "overflow_action": ("block", "when it is full tailing waits; the journal keeps the rest"),
    "retry_max_interval": ("30s", "by default the pauses grow without end"),
    "total_limit_size": ("2000000000", "below the size of the volume"),
}
DEAD = {
    "@type": ("file", "dead letters are files"),
    "path": ("'/data/dead/fluentd'", "beside those of the collector, counted by doctor"),
    "append": ("true", "one file, not one a flush"),
}


@pytest.mark.parametrize(("key", "value", "reason"), [(key, *said) for key, said in TAIL.items()])
def test_tail(key: str, value: str, reason: str) -> None:
    assert conf().one("source").values[key] == value, reason


@pytest.mark.parametrize(("key", "value", "reason"), [(key, *said) for key, said in OPENSEARCH.items()])
def test_output(key: str, value: str, reason: str) -> None:
    assert conf().one("match").values[key] == value, reason


@pytest.mark.parametrize(("key", "value", "reason"), [(key, *said) for key, said in BUFFER.items()])
def test_buffer(key: str, value: str, reason: str) -> None:
    assert conf().one("match").one("buffer").values[key] == value, reason


@pytest.mark.parametrize(("key", "value", "reason"), [(key, *said) for key, said in DEAD.items()])
def test_dead_letter(key: str, value: str, reason: str) -> None:
    label = conf().one("label")
    assert label.argument == "@ERROR"
    assert label.one("match").argument == "**"
    assert label.one("match").values[key] == value, reason


def test_nothing_of_the_output_is_set_that_would_lose_or_misplace_lines() -> None:
    """`time_key` reads milliseconds as seconds; cut requests get the answers of other lines."""
    values = conf().one("match").values

    assert "time_key" not in values
    assert "bulk_message_request_threshold" not in values
    assert "hosts" not in values


def test_nothing_of_the_tail_is_set_that_would_skip_lines() -> None:
    """Long lines would be dropped, and segments that were not written to during a long outage."""
    values = conf().one("source").values

    assert not {"max_line_size", "limit_recently_modified", "skip_refresh_on_startup"} & values.keys()


def test_record_keeps_its_own_time_and_every_field() -> None:
    """The parser would take a field `time` out of the record; the ISO time stays as it is."""
    values = conf().one("source").one("parse").values

    assert (values["@type"], values["time_key"], values["keep_time_key"]) == ("json", "@timestamp", "true")
    assert (values["time_type"], values["time_format"]) == ("string", "%Y-%m-%dT%H:%M:%S.%L%z")


def test_dead_letters_show_within_seconds_and_wait_for_room() -> None:
    """By default they are cut by the day and written when it is over."""
    buffer = conf().one("label").one("match").one("buffer")

    assert buffer.argument == "[]"
    assert (buffer.values["flush_mode"], buffer.values["flush_interval"]) == ("interval", "5s")
    assert (buffer.values["retry_forever"], buffer.values["overflow_action"]) == ("true", "block")


def test_source_goes_to_the_output_by_its_tag() -> None:
    """And the chunks of the output are cut by it, as the plugin asks."""
    match = conf().one("match")

    assert match.argument == conf().one("source").values["tag"] == "journal"
    assert match.one("buffer").argument == "tag"


def test_chunks_that_are_given_up_stay_on_the_volume() -> None:
    """By default they go to /tmp of the container, and with it."""
    assert conf().one("system").values["root_dir"] == "'/data/ship/fluentd'"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://opensearch:9200", ("https", "opensearch", "9200", None)),
        ("http://127.0.0.1", ("http", "127.0.0.1", "9200", None)),
        ("https://search.example.org/os/", ("https", "search.example.org", "443", "/os")),
    ],
)
def test_address_is_cut_into_what_the_plugin_asks_for(url: str, parts: tuple[str, str, str, str | None]) -> None:
    """The ports are those that the Python client takes."""
    values = conf(url).one("match").values

    assert (values["scheme"], values["host"], values["port"], values.get("path")) == parts


def test_certificate_of_the_authority_is_named_where_there_is_one() -> None:
    """Absent otherwise."""
    assert conf(ca_file=Path("/certs/ca.pem")).one("match").values["ca_file"] == "'/certs/ca.pem'"
    assert "ca_file" not in conf().one("match").values


@pytest.mark.parametrize(
    ("url", "paths", "words"),
    [
        ("opensearch:9200", PATHS, "opensearch.url"),
        ("https://me:secret@opensearch:9200", PATHS, "FLUENT_OPENSEARCH_PASSWORD"),
        ("https://opensearch:9200", FluentdPaths(Path("/a,b"), Path("/c"), Path("/d")), "','"),
        ("https://opensearch:9200", FluentdPaths(Path("/%Y"), Path("/c"), Path("/d")), "'%'"),
        ("https://opensearch:9200", FluentdPaths(Path("/#{exit}"), Path("/c"), Path("/d")), "'#'"),
        ("https://opensearch:9200", FluentdPaths(Path("data"), Path("/c"), Path("/d")), "not absolute"),
    ],
)
def test_what_fluentd_would_misread_is_refused(url: str, paths: FluentdPaths, words: str) -> None:
    """A comma begins another path, `#{..}` is run as a program; a password never shows."""
    with pytest.raises(SettingsError) as caught:
        fluentd_config(paths, url, "tickloop")

    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_configuration_of_the_cluster_is_the_rendered_one() -> None:
    """`deploy/fluentd/fluent.conf` is for readers and for the pod; its source is the template."""
    text = fluentd_config(DEPLOYED, "https://opensearch:9200", "tickloop", Path("/etc/tickloop/ca.pem"))

    assert (ROOT / "deploy" / "fluentd" / "fluent.conf").read_text(encoding="utf-8") == text


def test_positions_of_fluentd_are_read_by_the_name_of_the_segment(tmp_path: Path) -> None:
    """It may see the folder elsewhere; entries that it no longer watches say nothing."""
    positions = tmp_path / "journal.pos"
    positions.write_text(
        "/elsewhere/a.jsonl\t00000000000000ff\t0000000000000001\n"
        "/elsewhere/b.jsonl\tffffffffffffffff\t0000000000000002\n"
        "torn\t0000"
    )

    assert read_offsets(positions) == {"a.jsonl": 255}
    assert read_offsets(tmp_path / "none") is None


def test_dead_letters_and_chunks_given_up_are_counted(tmp_path: Path) -> None:
    """Rotated files too; what a repeated chunk wrote again counts once."""
    (tmp_path / "fluentd.log").write_text(json.dumps({"type": "trade"}) + "\n" + '{"unmatched_line":"x"}\n')
    (tmp_path / "fluentd.20240122.log").write_text('{"type": "trade"}\n{"type": "ticker"}\n')
    chunk = tmp_path / "state" / "backup" / "worker0" / "opensearch" / "61f.log"
    chunk.parent.mkdir(parents=True)
    chunk.write_bytes(b"\x93")

    assert dead_lines(tmp_path, "fluentd") == 3
    assert dead_lines(tmp_path / "none", "fluentd") == 0
    assert given_up(tmp_path / "state") == [chunk]
