"""What the files of deploy/images promise; the images themselves are built and run by deploy/images/check.sh."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
NAMES = ("app", "airflow", "mlflow", "fluentd")


def _pins() -> dict[str, tuple[str, str]]:
    lines = (IMAGES / "pins.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {name: (image, digest) for name, image, digest in rows}


def _steps(name: str) -> list[tuple[str, str]]:
    """Give the instructions of a Containerfile as word and rest, continued lines joined, comments left out."""
    text = (IMAGES / f"Containerfile.{name}").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(word, rest) for word, _, rest in found]


def _final(name: str) -> list[tuple[str, str]]:
    steps = _steps(name)
    last = max(at for at, (word, _) in enumerate(steps) if word == "FROM")
    return steps[last:]


def test_there_is_one_containerfile_for_each_image() -> None:
    assert sorted(path.name for path in IMAGES.glob("Containerfile.*")) == sorted(f"Containerfile.{n}" for n in NAMES)


def test_every_pin_has_an_exact_tag_and_a_digest_or_says_that_none_is_known() -> None:
    for name, (image, digest) in _pins().items():
        tag = image.rpartition(":")[2]
        assert image.startswith("docker.io/"), name
        assert tag != "latest", name
        assert re.search(r"\d+\.\d+", tag), name
        assert digest == "-" or re.fullmatch(r"sha256:[0-9a-f]{64}", digest), name


@pytest.mark.parametrize("name", NAMES)
def test_bases_are_those_of_the_pins(name: str) -> None:
    bases = {word: rest for word, _, rest in (rest.partition("=") for step, rest in _steps(name) if step == "ARG")}
    images = {f"{kind.upper()}_BASE": image for kind, (image, _) in _pins().items()}

    assert bases
    for argument, default in bases.items():
        assert default == images[argument]


@pytest.mark.parametrize("name", NAMES)
def test_the_last_stage_runs_as_our_user_under_an_init_with_a_health_check(name: str) -> None:
    said: dict[str, str] = dict(_final(name))

    assert said["USER"] == "10001:10001"
    assert said["ENTRYPOINT"] == '["tini", "--"]'
    assert "CMD" in said["HEALTHCHECK"]
    assert json.loads(said["CMD"])


@pytest.mark.parametrize("name", NAMES)
def test_compilers_and_installers_stay_in_the_stage_that_builds(name: str) -> None:
    stages = " ".join(f"{word} {rest}" for word, rest in _final(name))

    assert len([word for word, _ in _steps(name) if word == "FROM"]) >= 2
    assert not re.search(r"build-essential|\bgcc\b|pip install|gem install|\bgit\b", stages)


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_given_to_a_build(name: str) -> None:
    for word, rest in _steps(name):
        if word in ("ARG", "ENV"):
            assert not re.search(r"(?i)password|token|secret|access_key", rest), rest


@pytest.mark.parametrize("name", NAMES)
def test_every_image_carries_its_bill(name: str) -> None:
    assert any("/usr/share/sbom/sbom.cdx.json" in rest for _, rest in _final(name))


def test_what_a_build_copies_is_let_through_and_nothing_else_is() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for name in NAMES
        for word, rest in _steps(name)
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }

    assert lines[1] == "*"
    assert all((ROOT / source).exists() for source in copied)
    for source in copied:
        assert any(source == one or source.startswith(f"{one}/") for one in let_through), source
    assert not any(re.match(r"static|\.git|.*secret", one) for one in let_through)


def test_the_airflow_image_has_what_its_settings_name() -> None:
    lines = (ROOT / "deploy" / "airflow" / "airflow.env").read_text(encoding="utf-8").splitlines()
    asked = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    text = (IMAGES / "Containerfile.airflow").read_text(encoding="utf-8")

    assert f"dags {asked['AIRFLOW__CORE__DAGS_FOLDER']}" in text
    assert f"train-pod.yaml {asked['TICKLOOP_AIRFLOW__TRAIN_POD_TEMPLATE']}" in text
    assert asked["AIRFLOW__LOGGING__BASE_LOG_FOLDER"] in text


def test_images_of_others_in_the_manifests_are_those_of_the_pins() -> None:
    pinned = {image.removeprefix("docker.io/").removeprefix("library/") for image, _ in _pins().values()}
    used = {
        found.removeprefix("docker.io/").removeprefix("library/")
        for path in (ROOT / "deploy" / "kubernetes").rglob("*.yaml")
        for found in re.findall(r"^\s*(?:- )?image: ([^\s#]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if not found.startswith("tickloop/")
    }

    assert used <= pinned


# The scripts, with stand-ins for the tools that they call.


def _tool(folder: Path, name: str, body: str = "exit 0") -> None:
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >>"$CALLS"\n{body}\n', encoding="utf-8")
    path.chmod(0o755)


def _build(tmp_path: Path, *names: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    calls = tmp_path / "calls"
    calls.write_text("", encoding="utf-8")
    told = subprocess.run(
        ["bash", str(IMAGES / "build.sh"), *names],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(calls), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return told, calls.read_text(encoding="utf-8").splitlines()


def test_a_docker_without_its_daemon_is_passed_over(tmp_path: Path) -> None:
    _tool(tmp_path, "docker", "exit 1")
    _tool(tmp_path, "podman")

    told, calls = _build(tmp_path, "app", IMAGE_TAG="0123456789ab")

    assert told.returncode == 0, told.stderr
    assert calls[:2] == ["docker info", "podman info"]
    assert calls[2].startswith("podman build --file ")


def test_all_images_are_built_under_registry_and_tag(tmp_path: Path) -> None:
    _tool(tmp_path, "buildah")

    told, calls = _build(tmp_path, IMAGE_TAG="0123456789ab", REGISTRY="reg.example/x/", CONTAINER_TOOL="buildah")

    assert told.returncode == 0, told.stderr
    tags = [re.findall(r"--tag (\S+)", call) for call in calls if " build " in call]
    assert tags == [[f"reg.example/x/tickloop/{name}:0123456789ab"] for name in NAMES]
    assert all("--format docker" in call for call in calls if " build " in call)


def test_an_image_that_there_is_not_is_said_before_anything_is_built(tmp_path: Path) -> None:
    _tool(tmp_path, "podman")

    told, calls = _build(tmp_path, "app", "web", IMAGE_TAG="x", CONTAINER_TOOL="podman")

    assert told.returncode == 1
    assert "there is no image web" in told.stderr
    assert not [call for call in calls if " build " in call]


def test_without_a_tool_the_message_says_which_to_install(tmp_path: Path) -> None:
    told, _ = _build(tmp_path, "app", IMAGE_TAG="x", CONTAINER_TOOL="no-such-tool")

    assert told.returncode == 1
    assert "apt-get install buildah" in told.stderr


# The bill.


def _bill(*arguments: str) -> dict[str, Any]:
    told = subprocess.run(
        [sys.executable, str(IMAGES / "sbom.py"), *arguments], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(told.stdout)
    return found


@pytest.fixture
def debian(tmp_path: Path) -> list[str]:
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_ID="12"\n', encoding="utf-8")
    (tmp_path / "status").write_text(
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\nDescription: a\n b: c\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n",
        encoding="utf-8",
    )
    return ["--dpkg", str(tmp_path / "status"), "--os-release", str(tmp_path / "os-release")]


def test_a_bill_names_what_is_installed_and_not_what_was(debian: list[str]) -> None:
    bill = _bill("--name", "tickloop/app", *debian)

    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert [one["purl"] for one in bill["components"]] == ["pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12"]


def test_a_bill_reads_an_environment_of_python_and_gems(tmp_path: Path, debian: list[str]) -> None:
    about = tmp_path / "env" / "lib" / "python3.11" / "site-packages" / "Foo_Bar-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: Foo_Bar\nVersion: 1.2\nLicense: MIT\n", encoding="utf-8"
    )
    gems = tmp_path / "gems"
    gems.mkdir()
    (gems / "http_parser.rb-0.8.0.gemspec").touch()
    (gems / "fluent-plugin-opensearch-1.1.6.gemspec").touch()

    bill = _bill("--name", "x", *debian, "--python", str(tmp_path / "env"), "--gems", str(gems))

    assert [one["purl"] for one in bill["components"] if "deb" not in one["purl"]] == [
        "pkg:gem/fluent-plugin-opensearch@1.1.6",
        "pkg:gem/http_parser.rb@0.8.0",
        "pkg:pypi/foo-bar@1.2",
    ]
    assert [one["licenses"] for one in bill["components"] if "pypi" in one["purl"]] == [[{"license": {"name": "MIT"}}]]


def test_the_same_contents_give_the_same_bill(debian: list[str]) -> None:
    assert _bill("--name", "x", *debian, "--python", sys.prefix) == _bill(
        "--name", "x", *debian, "--python", sys.prefix
    )


def test_pins_are_left_alone_when_no_registry_answers(tmp_path: Path) -> None:
    for name in ("lib.sh", "pin.sh", "pins.txt"):
        shutil.copy(IMAGES / name, tmp_path / name)
    before = (tmp_path / "pins.txt").read_text(encoding="utf-8")
    tools = tmp_path / "tools"
    tools.mkdir()
    _tool(tools, "docker", "exit 1")

    told = subprocess.run(
        ["bash", str(tmp_path / "pin.sh")],
        env={"PATH": f"{tools}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 1
    assert "no registry answered" in told.stderr
    assert (tmp_path / "pins.txt").read_text(encoding="utf-8") == before
    assert not list(tmp_path.glob("pins.??????"))
