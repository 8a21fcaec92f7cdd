"""What deploy/compose promises, and the secrets that it makes; nothing is started but make_secrets.py and a shell."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel

from tickloop.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"
OURS = ("app", "airflow", "mlflow", "fluentd")

# Services that do their work and end, before others begin.
ONCE = {
    "secrets", "postgres-setup", "opensearch-settings", "dashboards-import", "s3-setup", "index-template",
    "airflow-migrate",
}  # fmt: skip


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def _environment(service: dict[str, Any]) -> dict[str, str]:
    """Give what a service is told by files and by itself."""
    found: dict[str, str] = {}
    for name in service.get("env_file", []):
        lines = (COMPOSE / name).resolve().read_text(encoding="utf-8").splitlines()
        found |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return found | {name: str(value) for name, value in service.get("environment", {}).items()}


def _known_settings() -> set[str]:
    known = {"TICKLOOP_HOME"}
    for name, field in Settings.model_fields.items():
        section = field.default
        if isinstance(section, BaseModel):
            known |= {f"TICKLOOP_{name}__{one}".upper() for one in type(section).model_fields}
        else:
            known.add(f"TICKLOOP_{name}".upper())
    return known


def _volumes(service: dict[str, Any]) -> dict[str, str]:
    """Give what is mounted by the place where it is, `:ro` kept."""
    return {one.split(":", 1)[1]: one.split(":", 1)[0] for one in service.get("volumes", [])}


def test_images_are_ours_by_tag_or_pinned_ones_and_never_latest(services: dict[str, dict[str, Any]]) -> None:
    lines = (ROOT / "deploy" / "images" / "pins.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split()[1] for line in lines if not line.startswith("#")}
    ours = {f"${{REGISTRY:-}}tickloop/{name}:${{IMAGE_TAG:-local}}" for name in OURS}

    used = {service["image"] for service in services.values()}

    assert ours <= used
    assert used - ours <= pinned
    assert not any("latest" in image for image in used)


def test_ours_are_built_where_they_are_missing(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        found = re.search(r"tickloop/(\w+):", service["image"])
        if found:
            assert service["build"]["dockerfile"] == f"deploy/images/Containerfile.{found[1]}", name
            assert (COMPOSE / service["build"]["context"]).resolve() == ROOT, name


def test_every_variable_of_ours_is_a_known_setting_with_a_value_that_holds(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = _known_settings()
    for name, service in services.items():
        told = {key: value for key, value in _environment(service).items() if key.startswith("TICKLOOP_")}
        assert set(told) <= known, name
        with monkeypatch.context() as patch:
            for key, value in {**told, "TICKLOOP_SERVE__TOKEN": "x"}.items():
                patch.setenv(key, value)
            Settings()


def test_a_service_goes_on_by_health_and_nothing_waits_for_less(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert ("healthcheck" in service) == (name not in ONCE), name
        assert service["restart"] == ("on-failure:5" if name in ONCE else "unless-stopped"), name
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            # Figures are asked of the API whether it is well or not.
            assert how["condition"] == wanted or (name, other) == ("prometheus", "api"), (name, other)


def test_the_order_of_start_has_no_circle_and_begins_with_the_secrets(services: dict[str, dict[str, Any]]) -> None:
    done: list[str] = []
    while len(done) < len(services):
        free = [
            name for name, one in services.items() if name not in done and set(one.get("depends_on", {})) <= set(done)
        ]
        assert free
        done += free
    assert [name for name, one in services.items() if not one.get("depends_on")] == ["secrets"]


def test_ports_are_open_to_this_machine_alone(services: dict[str, dict[str, Any]]) -> None:
    opened = {port: name for name, service in services.items() for port in service.get("ports", [])}

    assert opened
    for port in opened:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port), port
    assert len({re.findall(r":-(\d+)", port)[0] for port in opened}) == len(opened)


def test_nothing_may_gain_rights_or_write_its_root_and_one_service_alone_is_root(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert (service["user"].split(":")[0] == "0") == (name == "secrets"), name
        assert ("cap_add" in service) == (name == "secrets"), name
        assert "privileged" not in service, name
        assert not any("docker.sock" in one for one in service.get("volumes", [])), name
    assert services["secrets"]["network_mode"] == "none"


def test_a_service_sees_its_own_secrets_and_cannot_change_them(services: dict[str, dict[str, Any]]) -> None:
    allowed = {
        "secrets-stores": {
            "api",
            "airflow-migrate",
            "airflow-api-server",
            "airflow-scheduler",
            "airflow-dag-processor",
        },
        "secrets-api": {"api", "dashboard"},
        "secrets-postgres": {"postgres", "postgres-setup"},
        "secrets-opensearch": {"opensearch", "opensearch-settings"},
        "secrets-all": set(),
    }
    for name, service in services.items():
        if name == "secrets":
            continue
        for place, volume in _volumes(service).items():
            if volume.startswith("secrets-"):
                assert place.endswith(":ro"), (name, volume)
                assert name in allowed.get(volume, {name}), (name, volume)


def test_what_is_mounted_from_the_checkout_is_there_and_read_only(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for place, source in _volumes(service).items():
            if source.startswith("."):
                assert (COMPOSE / source).exists(), (name, source)
                assert place.endswith(":ro"), (name, source)


def test_every_volume_that_is_named_is_used_and_the_other_way_round(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    used = {one for service in services.values() for one in _volumes(service).values() if not one.startswith(".")}

    assert used == set(compose["volumes"])


def test_secret_files_that_are_read_are_written(services: dict[str, dict[str, Any]], made: Path) -> None:
    for name, service in services.items():
        places = {place.removesuffix(":ro"): volume for place, volume in _volumes(service).items()}
        for file in (one for one in service.get("entrypoint", []) if one.endswith("/env")):
            volume = places[str(Path(file).parent)]
            assert (made / volume.removeprefix("secrets-") / "env").is_file(), (name, file)


def test_servers_have_no_way_out_and_publish_nothing(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    assert compose["networks"]["stores"]["internal"] is True
    for name in ("postgres", "opensearch", "s3"):
        assert services[name]["networks"] == ["stores"]
        assert "ports" not in services[name]
    for name, service in services.items():  # of an internal network Docker publishes no port
        assert not service.get("ports") or set(service["networks"]) - {"stores"}, name


def test_names_that_settings_ask_for_are_services_they_can_reach(services: dict[str, dict[str, Any]]) -> None:
    for name in ("api", "airflow-scheduler", "fluentd", "mlflow"):
        told = _environment(services[name])
        text = " ".join([*told.values(), *(["https://opensearch:9200"] if name == "fluentd" else [])])
        for host in set(re.findall(r"https?://([a-z0-9-]+):\d+", text)) | (
            {"postgres"} if name != "fluentd" else set()
        ):
            assert set(services[host]["networks"]) & set(services[name]["networks"]), (name, host)


def test_commands_and_health_checks_of_our_programs_exist(services: dict[str, dict[str, Any]]) -> None:
    told = subprocess.run(
        [str(Path(sys.executable).with_name("tickloop")), "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = {line.split()[0] for line in told.partition("Commands:")[2].splitlines() if line.strip()}
    for service in services.values():
        for found in re.findall(r"tickloop ([a-z-]+)", " ".join(service.get("command", []))):
            assert found in commands


def test_airflow_runs_all_tasks_on_this_host(services: dict[str, dict[str, Any]]) -> None:
    for name in ("airflow-scheduler", "airflow-dag-processor", "airflow-api-server"):
        told = _environment(services[name])
        assert told["AIRFLOW__CORE__EXECUTOR"] == told["TICKLOOP_AIRFLOW__TRAIN_EXECUTOR"] == "LocalExecutor"


def test_no_secret_stands_in_the_files() -> None:
    for path in COMPOSE.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?i)(password|token|secret_key)['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9+/]{16,}", text), path


# The secrets.


def _make(folder: Path, *words: str, tickloop: bool = True) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin" if tickloop else "/usr/bin:/bin"
    return subprocess.run(
        [sys.executable, str(COMPOSE / "make_secrets.py"), *words[:1], str(folder), *words[1:]],
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    told = _make(folder, "make")
    assert told.returncode == 0, told.stderr
    return folder


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_secrets", COMPOSE / "make_secrets.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_start_changes_nothing_but_the_salt_of_the_sql(made: Path) -> None:
    before = _all(made)

    assert _make(made, "make").returncode == 0

    after = _all(made)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == ["postgres/setup.sql"]


def test_each_file_belongs_to_its_reader_and_nobody_else_can_read_it(made: Path, module: ModuleType) -> None:
    for name, owner in module.OWNERS.items():
        for path in (made / name).iterdir():
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o444 if path.name == "ca.pem" else 0o400), path
            if os.geteuid() == 0:
                assert path.stat().st_uid == owner, path


def test_all_secrets_differ_and_are_long(made: Path) -> None:
    known = json.loads((made / "all" / "secrets.json").read_text(encoding="utf-8"))

    assert len(set(known.values())) == len(known)
    assert all(len(value) >= 44 for value in known.values())


def test_users_of_the_database_get_the_passwords_that_the_programs_use(made: Path) -> None:
    passwords = tomllib.loads((made / "all" / "passwords.toml").read_text(encoding="utf-8"))
    sql = (made / "postgres" / "setup.sql").read_text(encoding="utf-8")

    assert set(passwords) == {"tickloop", "mlflow", "airflow"}
    assert f"TICKLOOP_POSTGRES__PASSWORD='{passwords['tickloop']}'" in (made / "stores" / "env").read_text()
    assert f"//mlflow:{passwords['mlflow']}@postgres/mlflow" in (made / "mlflow" / "env").read_text()
    assert f"//airflow:{passwords['airflow']}@postgres/airflow" in (made / "airflow" / "env").read_text()
    assert not any(password in sql for password in passwords.values())


def test_certificates_are_of_the_authority_and_name_their_server(made: Path) -> None:
    authority = x509.load_pem_x509_certificate((made / "ca" / "ca.pem").read_bytes())
    for place, file, name in (
        ("postgres", "tls", "postgres"),
        ("opensearch", "tls", "opensearch"),
        ("opensearch", "admin", "opensearch-admin"),
    ):
        one = x509.load_pem_x509_certificate((made / place / f"{file}.crt").read_bytes())
        one.verify_directly_issued_by(authority)
        names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert name in names.get_values_for_type(x509.DNSName)
        assert one.subject.rfc4514_string() == f"CN={name}"
        assert isinstance(one.public_key(), ec.EllipticCurvePublicKey)
        assert one.not_valid_after_utc > datetime(2030, 1, 1, tzinfo=UTC)
        assert (made / place / f"{file}.key").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_openssl_takes_the_chain_for_the_server(made: Path) -> None:
    told = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-verify_hostname",
            "postgres",
            "-CAfile",
            "ca/ca.pem",
            "postgres/tls.crt",
        ],
        cwd=made,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr


def test_the_server_names_the_certificates_by_what_they_say(made: Path) -> None:
    text = (ROOT / "deploy" / "kubernetes" / "base" / "opensearch" / "opensearch.yml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text)

    for key, file in (("plugins.security.nodes_dn", "tls"), ("plugins.security.authcz.admin_dn", "admin")):
        one = x509.load_pem_x509_certificate((made / "opensearch" / f"{file}.crt").read_bytes())
        assert settings[key] == [one.subject.rfc4514_string()]


def test_a_renewed_secret_changes_everywhere_and_no_other_does(tmp_path: Path) -> None:
    assert _make(tmp_path, "make").returncode == 0
    before = json.loads((tmp_path / "all" / "secrets.json").read_text(encoding="utf-8"))

    assert _make(tmp_path, "rotate", "api_token", "s3_mlflow").returncode == 0

    after = json.loads((tmp_path / "all" / "secrets.json").read_text(encoding="utf-8"))
    assert {name for name in before if before[name] != after[name]} == {"api_token", "s3_mlflow"}
    assert after["api_token"] in (tmp_path / "api" / "env").read_text(encoding="utf-8")
    for name in ("mlflow", "s3-setup"):
        assert after["s3_mlflow"] in (tmp_path / name / "env").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "told"), [("postgres", "ALTER ROLE"), ("airflow_fernet", "rotate-fernet-key"), ("nothing", "valid: ")]
)
def test_what_cannot_be_renewed_is_refused_with_the_remedy(made: Path, name: str, told: str) -> None:
    before = _all(made)

    answer = _make(made, "rotate", name)

    assert answer.returncode == 1
    assert told in answer.stderr
    assert _all(made) == before


def test_a_start_that_was_broken_off_is_ended_by_the_next(tmp_path: Path) -> None:
    assert _make(tmp_path, "make", tickloop=False).returncode != 0
    known = (tmp_path / "all" / "secrets.json").read_text(encoding="utf-8")

    assert _make(tmp_path, "make").returncode == 0

    assert (tmp_path / "all" / "secrets.json").read_text(encoding="utf-8") == known
    assert (tmp_path / "postgres" / "setup.sql").is_file()


def test_a_command_gets_the_variables_of_its_files_and_no_others(made: Path) -> None:
    told = subprocess.run(
        ["sh", str(COMPOSE / "with-secrets.sh"), str(made / "api" / "env"), str(made / "s3" / "env"), "--", "env"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    names = {line.partition("=")[0] for line in told.stdout.splitlines()} - {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}
    assert names == {"TICKLOOP_SERVE__TOKEN", "ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"}


def test_a_file_that_is_missing_is_said_and_nothing_is_run(tmp_path: Path) -> None:
    told = subprocess.run(
        ["sh", str(COMPOSE / "with-secrets.sh"), str(tmp_path / "env"), "--", "echo", "ran"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (told.returncode, told.stdout) == (1, "")
    assert "docker compose up secrets" in told.stderr


def test_a_person_is_shown_what_they_sign_in_with_and_no_more(made: Path) -> None:
    known = json.loads((made / "all" / "secrets.json").read_text(encoding="utf-8"))

    told = _make(made, "show").stdout

    shown = {name for name, value in known.items() if value in told}
    assert shown == {"airflow_admin", "opensearch_admin", "opensearch_reader", "grafana_admin", "api_token"}
