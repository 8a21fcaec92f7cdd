"""terminate.sh and status.sh with stand-ins for all their tools: what is asked, what goes, what stays, what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from deploy_world import World, world


@pytest.fixture
def running(tmp_path: Path) -> World:
    """Give a checkout from which the cluster was started, so far as its end can tell."""
    made = world(tmp_path)
    made.fill_in()
    run = made.static / "run"
    (made.static / "secrets" / "values").mkdir(parents=True)
    run.mkdir()
    for path, text in {
        made.shim / "machines": "all",
        made.static / "kubeconfig": "kind: Config",
        made.static / "secrets" / "values" / "postgres-admin": "old",
        run / "admin_cidr": "203.0.113.7/32",
        run / "addresses": "tickloop-control-plane 198.51.100.10 control_plane",
    }.items():
        path.write_text(text, encoding="utf-8")
    return made


def test_data_are_kept_as_told(running: World) -> None:
    result = running.run("terminate.sh", "--keep-data", "--yes")

    assert result.code == 0, result.err
    assert running.was_called(
        "apply -input=false -auto-approve -var admin_cidr=203.0.113.7/32 -var keep_data_only=true"
    )
    assert not running.was_called(" destroy ")
    assert "the data disk stays" in result.out
    assert (running.static / "secrets" / "values" / "postgres-admin").exists()
    assert not (running.static / "kubeconfig").exists()


def test_data_are_deleted_as_told_with_the_passwords_that_opened_them(running: World) -> None:
    result = running.run("terminate.sh", "--delete-data", "--yes")

    assert result.code == 0, result.err
    assert running.was_called("destroy -input=false -auto-approve")
    assert "nothing is left that costs money" in result.out
    assert not (running.static / "secrets").exists()
    assert (running.static / "credentials.json").exists()
    assert (running.static / "ssh_key").exists()


@pytest.mark.parametrize("data", ["--keep-data", "--delete-data"])
def test_it_may_be_run_again(running: World, data: str) -> None:
    assert running.run("terminate.sh", data, "--yes").code == 0

    again = running.run("terminate.sh", data, "--yes")

    assert again.code == 0, again.err


def test_kept_data_can_be_deleted_later(running: World) -> None:
    running.run("terminate.sh", "--keep-data", "--yes")

    result = running.run("terminate.sh", "--delete-data", "--yes")

    assert result.code == 0, result.err
    assert "nothing is left that costs money" in result.out


def test_with_nothing_there_it_says_so_and_calls_for_no_end(running: World) -> None:
    (running.shim / "machines").write_text("none", encoding="utf-8")

    result = running.run("terminate.sh", "--delete-data", "--yes")

    assert result.code == 0, result.err
    assert "nothing is there" in result.out
    assert not running.was_called(" destroy ")


def test_the_bot_ends_first_and_stores_last(running: World) -> None:
    running.run("terminate.sh", "--keep-data", "--yes")

    bot = running.position("scale deployment/bot --replicas=0")
    others = running.position("scale deployment --all --replicas=0")
    stores = running.position("scale statefulset --all --replicas=0")
    assert bot < others < stores < running.position("keep_data_only=true")


def test_pods_that_do_not_end_hold_nothing_up_for_ever(running: World) -> None:
    (running.shim / "pods").write_text("postgres-0 StatefulSet\n", encoding="utf-8")

    result = running.run("terminate.sh", "--keep-data", "--yes", TICKLOOP_DEADLINE_S="0")

    assert result.code == 0, result.err
    assert "they are ended with their machines" in result.out


def test_a_cluster_that_does_not_answer_is_taken_away_all_the_same(running: World) -> None:
    (running.shim / "no-namespace").touch()

    result = running.run("terminate.sh", "--delete-data", "--yes")

    assert result.code == 0, result.err
    assert "the cluster does not answer" in result.out
    assert running.was_called(" destroy ")


@pytest.mark.parametrize(("data", "part"), [("--delete-data", " destroy "), ("--keep-data", "keep_data_only=true")])
def test_after_a_failure_it_is_run_again(running: World, data: str, part: str) -> None:
    running.fail(part)
    first = running.run("terminate.sh", data, "--yes")
    assert first.code == 1
    assert (running.static / "kubeconfig").exists()
    assert (running.static / "secrets").exists()

    second = running.run("terminate.sh", data, "--yes")

    assert second.code == 0, second.err


def test_what_is_left_is_a_failure_that_names_it(running: World) -> None:
    """Terraform ended well and yet knows of something: a stand-in that forgets nothing."""
    (running.shim / "bin" / "terraform").unlink()
    (running.shim / "bin" / "terraform").write_text(
        '#!/bin/sh\necho "terraform $*" >>"$SHIM/calls"\n'
        'case "$*" in *"state list"*) echo google_compute_disk.data; echo "google_compute_address.api[0]" ;; esac\n',
        encoding="utf-8",
    )
    (running.shim / "bin" / "terraform").chmod(0o755)

    result = running.run("terminate.sh", "--keep-data", "--yes")

    assert result.code == 1
    assert "this is still there and may cost money: google_compute_address.api[0]" in result.err


def test_it_asks_and_a_no_changes_nothing(running: World) -> None:
    result = running.run("terminate.sh", "--keep-data", answers="n\n")

    assert result.code == 1
    assert "end the cluster of project project-of-tests; data: keep?" in result.out
    assert not running.calls()


def test_it_asks_what_becomes_of_data_and_keeps_them_unless_told(running: World) -> None:
    result = running.run("terminate.sh", answers="\ny\n")

    assert result.code == 0, result.err
    assert "delete all data too" in result.out
    assert running.was_called("keep_data_only=true")


@pytest.mark.parametrize(("answer", "code"), [("y\n", 1), ("", 1), ("project-of-tests\n", 0)])
def test_data_are_deleted_for_the_projects_name_alone(running: World, answer: str, code: int) -> None:
    result = running.run("terminate.sh", "--delete-data", answers=answer)

    assert result.code == code
    assert running.was_called(" destroy ") == (code == 0)


@pytest.mark.parametrize("arguments", [[], ["--yes"], ["--keep-data", "--delete-data"], ["--now"]])
def test_with_nobody_to_be_asked_data_have_to_be_named(running: World, arguments: list[str]) -> None:
    result = running.run("terminate.sh", *arguments)

    assert result.code == 2
    assert not running.calls()


def test_a_dry_run_shows_it_and_does_nothing(running: World) -> None:
    result = running.run("terminate.sh", "--delete-data", "--dry-run")

    assert result.code == 0, result.err
    assert "destroy" in result.out
    assert not running.calls()
    assert (running.static / "kubeconfig").exists()


def test_without_credentials_nothing_is_begun(running: World) -> None:
    (running.static / "credentials.json").unlink()

    result = running.run("terminate.sh", "--delete-data", "--yes")

    assert result.code == 1
    assert "credentials.json is missing" in result.err
    assert not running.calls()


@pytest.mark.parametrize(
    ("data", "part"), [("--keep-data", "delete deployments,"), ("--delete-data", "delete namespace")]
)
def test_in_a_cluster_of_ones_own_machines_stay(running: World, data: str, part: str) -> None:
    result = running.run("terminate.sh", "--local", data, "--yes")

    assert result.code == 0, result.err
    assert running.was_called(part)
    assert not running.was_called("terraform")


def _well(running: World) -> None:
    (running.shim / "nodes").write_text("tickloop-control-plane True\ntickloop-worker-01 True\n", encoding="utf-8")
    (running.shim / "statefulset").write_text("postgres 1 1\n", encoding="utf-8")
    (running.shim / "deployment").write_text("api 2 2\nbot 1 1\n", encoding="utf-8")


def test_status_of_a_healthy_cluster_ends_with_0(running: World) -> None:
    _well(running)

    result = running.run("status.sh")

    assert result.code == 0, result.out + result.err
    assert "!" not in result.out
    for told in ("tickloop-worker-01", "api", "2 of 2", "api: ok"):
        assert told in result.out


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("nodes", "tickloop-worker-01 Unknown\n", "tickloop-worker-01 is not ready"),
        ("deployment", "api 2 1\n", "1 of 2 ready"),
        ("deployment", "bot 1 <none>\n", "0 of 1 ready"),
    ],
)
def test_status_tells_what_is_wrong_and_how_to_look(running: World, file: str, text: str, told: str) -> None:
    _well(running)
    (running.shim / file).write_text(text, encoding="utf-8")

    result = running.run("status.sh")

    assert result.code == 3
    assert told in result.out
    assert "kubectl" in result.out


def test_status_without_an_answer_ends_with_1(running: World) -> None:
    running.fail("--request-timeout=15s get --raw /readyz")

    result = running.run("status.sh")

    assert result.code == 1
    assert "the cluster does not answer" in result.err


def test_status_tells_when_the_api_has_stale_data(running: World) -> None:
    _well(running)
    running.fail("exec deployment/api", saying="503 stale")

    result = running.run("status.sh")

    assert result.code == 3
    assert "api is not ready" in result.out
    assert "503 stale" in result.out
