"""start.sh with stand-ins for its tools: order, waits, going on after failures, a second run, wrong files, secrets."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from deploy_world import REPOSITORY, World, world

# A call of each step by which its beginning is told, and one whose failure is the step's.
_STEPS = {
    "terraform": ("terraform -chdir", "terraform -chdir"),
    "ssh": ("ssh -o", "ssh -o"),
    "ansible": ("ansible-playbook", "site.yml -e checkout_revision"),
    "images": ("make -C", "docker save"),
    "secrets": ("kubectl create secret", "kubectl create secret"),
    "apply": ("kubectl applied workload", "workload--StatefulSet--postgres.yaml"),
}


@pytest.fixture
def filled(tmp_path: Path) -> World:
    made = world(tmp_path)
    made.fill_in()
    return made


def test_steps_come_in_their_order(filled: World) -> None:
    result = filled.run("start.sh")

    assert result.code == 0, result.err
    begins = [filled.position(begin) for begin, _ in _STEPS.values()]
    assert begins == sorted(begins)
    assert "everything runs; images are of 0123456789ab" in result.out
    assert "it costs about 314 US dollars a month" in result.out


def test_workloads_are_applied_and_waited_for_in_the_order_of_what_they_need(filled: World) -> None:
    filled.run("start.sh")

    order = (filled.shim / "order").read_text(encoding="utf-8").split()
    names = [one.split("--")[-1] for one in order if one.startswith("workload")]
    assert names == [
        *("postgres", "opensearch", "s3"),
        *("postgres-setup", "opensearch-setup", "s3-setup"),
        *("mlflow", "airflow-migrate"),
        *("airflow-scheduler", "collector", "api", "bot", "something-new"),
    ]
    assert order.index("rest--ConfigMap--tickloop-env") < order.index("workload--StatefulSet--postgres")
    waited = filled.position("rollout status statefulset/postgres")
    assert (
        waited < filled.position("delete job/postgres-setup") < filled.position("applied workload--Deployment--mlflow")
    )


def test_a_job_that_was_there_is_deleted_before_it_is_applied_again(filled: World) -> None:
    filled.run("start.sh")

    deleted = filled.position("delete job/postgres-setup --ignore-not-found")
    assert deleted < filled.position("applied workload--Job--postgres-setup")


def test_what_a_person_has_scaled_stays_so(filled: World) -> None:
    """The bot is started by hand: no replica in the manifest means that a person decides."""
    with (filled.shim / "manifests.yaml").open("a", encoding="utf-8") as manifests:
        manifests.write(
            "---\nkind: Deployment\nmetadata:\n  name: dashboard\n  namespace: tickloop\nspec:\n  replicas: 0\n"
        )
    (filled.shim / "replicas").write_text("1", encoding="utf-8")

    filled.run("start.sh")

    applied = filled.static / "run" / "manifests" / "workload--Deployment--dashboard.yaml"
    assert "replicas: 1" in applied.read_text(encoding="utf-8")


def test_volumes_on_nfs_get_their_driver_and_the_servers_address(filled: World) -> None:
    with (filled.shim / "manifests.yaml").open("a", encoding="utf-8") as manifests:
        manifests.write(
            "---\nkind: PersistentVolume\nmetadata:\n  name: one\nspec:\n  csi:\n    driver: nfs.csi.k8s.io\n"
            "    volumeAttributes:\n      server: nfs-server\n"
        )

    filled.run("start.sh")

    driver = filled.position("applied csi-nfs-node")
    assert driver < filled.position("rollout status daemonset/csi-nfs-node") < filled.position("applied rest--")
    volume = filled.static / "run" / "manifests" / "rest--PersistentVolume--one.yaml"
    assert "server: 10.10.0.10" in volume.read_text(encoding="utf-8")


def test_every_workload_of_the_real_overlays_stands_in_a_wave(tmp_path: Path) -> None:
    """What is named in none would be applied last; what is named and not there would never be waited for."""
    text = (REPOSITORY / "deploy" / "scripts" / "lib" / "manifests.sh").read_text(encoding="utf-8")
    listed = re.search(r"<<-'EOT'\n(.*?)\tEOT", text, re.DOTALL)
    assert listed is not None
    waves = set(listed[1].split())
    base = REPOSITORY / "deploy" / "kubernetes" / "base"
    workloads = {
        one["metadata"]["name"]
        for path in base.glob("*.yaml")
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if one and one.get("kind") in ("Deployment", "StatefulSet", "DaemonSet", "Job")
    }
    assert workloads == waves


def test_it_says_what_it_waits_for_and_how_long(filled: World) -> None:
    out = filled.run("start.sh").out

    assert "waiting for ssh of tickloop-worker-01 (198.51.100.11), 600 s at most" in out
    assert "waiting for every node to be ready, 600 s at most" in out
    assert "waiting for statefulset/opensearch, 900 s at most" in out


def test_a_node_that_does_not_answer_yet_is_tried_again(filled: World) -> None:
    filled.fail("ssh -o", times=3)

    result = filled.run("start.sh", "--only", "terraform")
    assert result.code == 0
    result = filled.run("start.sh", "--only", "ssh")

    assert result.code == 0, result.err
    assert sum(line.startswith("ssh ") for line in filled.calls()) == 3 + 2


def test_a_wait_ends_at_its_deadline_and_says_for_what(filled: World) -> None:
    filled.fail("ssh -o", times=1000, saying="Connection refused")
    filled.run("start.sh", "--only", "terraform")

    result = filled.run("start.sh", "--only", "ssh", TICKLOOP_DEADLINE_S="0")

    assert result.code == 1
    assert "ssh of tickloop-control-plane (198.51.100.10) did not come within 0 s" in result.err
    assert "Connection refused" in result.err


def test_a_node_with_another_key_of_its_own_is_not_waited_for(filled: World) -> None:
    filled.fail("ssh -o", times=1000, saying="REMOTE HOST IDENTIFICATION HAS CHANGED!")
    filled.run("start.sh", "--only", "terraform")

    result = filled.run("start.sh", "--only", "ssh")

    assert result.code == 1
    assert "remove deploy/terraform/static/known_hosts" in result.err


def test_a_job_that_failed_is_not_waited_for(filled: World) -> None:
    (filled.shim / "job").write_text("FailureTarget Failed", encoding="utf-8")

    result = filled.run("start.sh")

    assert result.code == 1
    assert "no use to wait any longer for job/postgres-setup" in result.err
    assert not filled.was_called("applied workload--Deployment--mlflow")


@pytest.mark.parametrize("step", _STEPS)
def test_after_a_failure_it_goes_on_at_that_step(filled: World, step: str) -> None:
    filled.fail(_STEPS[step][1], times=1000 if step == "ssh" else 1)
    first = filled.run("start.sh", TICKLOOP_DEADLINE_S="0")
    assert first.code == 1
    assert f"stopped in step {step};" in first.err
    filled.forget_calls()
    for rule in (filled.shim / "fail").iterdir():
        rule.unlink()

    second = filled.run("start.sh")

    assert second.code == 0, second.err
    names = list(_STEPS)
    before = names[: names.index(step)]
    # Secrets are made in a moment, and so each time.
    assert [name for name in names if f"{name}: done before" in second.out] == [n for n in before if n != "secrets"]
    for name in before:
        if name != "secrets":
            assert not filled.was_called(_STEPS[name][1]), name
    assert all(filled.was_called(_STEPS[name][0]) for name in names[names.index(step) :])


def test_a_kill_between_steps_is_gone_on_from_too(filled: World) -> None:
    """A lock of a process that is no more holds nobody up."""
    filled.fail("site.yml", times=1)
    filled.run("start.sh")
    lock = filled.static / "run" / "lock"
    lock.mkdir()
    (lock / "pid").write_text("999999999", encoding="utf-8")

    result = filled.run("start.sh")

    assert result.code == 0, result.err
    assert "its lock is taken over" in result.out


def test_two_runs_at_a_time_are_refused(filled: World) -> None:
    lock = filled.static / "run" / "lock"
    lock.mkdir(parents=True)
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    (lock / "pid").write_text(str(other.pid), encoding="utf-8")

    result = filled.run("start.sh")
    other.communicate()

    assert result.code == 1
    assert f"another run (process {other.pid}) is under way" in result.err
    assert lock.exists()
    assert not filled.calls()


def test_what_has_changed_since_the_failure_is_done_again_with_all_after_it(filled: World) -> None:
    filled.fail("docker save", times=1)
    filled.run("start.sh")
    with (filled.terraform / "terraform.tfvars").open("a", encoding="utf-8") as values:
        values.write("worker_count = 3\n")
    filled.forget_calls()

    result = filled.run("start.sh")

    assert result.code == 0, result.err
    assert "done before" not in result.out
    assert filled.was_called("terraform -chdir")


def test_a_second_run_does_every_step_and_keeps_every_secret(filled: World) -> None:
    filled.run("start.sh")
    secrets = filled.static / "secrets"
    before = {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()}
    filled.forget_calls()

    result = filled.run("start.sh")

    assert result.code == 0, result.err
    assert "nothing to change at Google" in result.out
    assert all(filled.was_called(begin) for begin, _ in _STEPS.values())
    assert {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()} == before
    assert not (filled.static / "run" / "done").exists()


def test_again_does_what_an_interrupted_run_has_done(filled: World) -> None:
    filled.fail("docker save", times=1)
    filled.run("start.sh")
    filled.forget_calls()

    result = filled.run("start.sh", "--again")

    assert result.code == 0, result.err
    assert "done before" not in result.out


def test_all_that_is_missing_is_told_at_once_and_nothing_is_called(tmp_path: Path) -> None:
    empty = world(tmp_path)

    result = empty.run("start.sh")

    assert result.code == 1
    for missing in ("terraform.tfvars is missing", "credentials.json is missing", "ssh_key is missing"):
        assert missing in result.err
    assert "ssh-keygen -t ed25519" in result.err
    assert not [line for line in empty.calls() if not line.startswith("curl")]


def test_the_values_of_the_example_are_refused(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.fill_in()
    values = made.terraform / "terraform.tfvars"
    values.write_text((made.terraform / "terraform.tfvars.example").read_text(encoding="utf-8"), encoding="utf-8")

    result = made.run("start.sh")

    assert result.code == 1
    assert "my_project_id in deploy/terraform/terraform.tfvars is that of the example" in result.err


def _another_pair(filled: World) -> None:
    other = filled.static / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    other.rename(filled.static / "ssh_key")


def _no_key(filled: World) -> None:
    (filled.static / "ssh_key").write_text("no key at all\n", encoding="utf-8")


def _with_passphrase(filled: World) -> None:
    (filled.static / "ssh_key").unlink()
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(filled.static / "ssh_key")]
    (filled.static / "ssh_key.pub").unlink()
    subprocess.run(made, check=True)


def _open_to_others(filled: World) -> None:
    (filled.static / "ssh_key").chmod(0o644)


def _of_another_project(filled: World) -> None:
    path = filled.static / "credentials.json"
    path.write_text(path.read_text(encoding="utf-8").replace("project-of-tests", "project-of-others"), encoding="utf-8")


def _of_a_person(filled: World) -> None:
    (filled.static / "credentials.json").write_text('{"type": "authorized_user"}', encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_another_pair, "does not belong to my_ssh_key"),
        (_no_key, "is no private ssh key"),
        (_with_passphrase, "one with a passphrase"),
        (_open_to_others, "can be read by others"),
        (_of_another_project, "is a key of project project-of-others, but my_project_id is project-of-tests"),
        (_of_a_person, "holds no key of a service account"),
    ],
)
def test_a_wrong_key_file_is_told_before_anything_runs(filled: World, spoil: object, said: str) -> None:
    assert callable(spoil)
    spoil(filled)

    result = filled.run("start.sh")

    assert result.code == 1
    assert said in result.err
    assert not filled.was_called("terraform")


def test_a_dry_run_shows_every_step_and_touches_nothing(filled: World) -> None:
    before = sorted(filled.repository.rglob("*"))

    result = filled.run("start.sh", "--dry-run")

    assert result.code == 0, result.err
    for told in (
        "terraform -chdir",
        "waits for ssh",
        "ansible-playbook",
        "docker save",
        "Secrets",
        "postgres opensearch",
    ):
        assert told in result.out
    assert not filled.calls()
    assert sorted(filled.repository.rglob("*")) == before


def test_a_dry_run_of_an_empty_checkout_shows_the_plan_and_what_is_missing(tmp_path: Path) -> None:
    result = world(tmp_path).run("start.sh", "--dry-run")

    assert result.code == 1
    assert "kubectl kustomize deploy/kubernetes/overlays/small" in result.out
    assert "terraform.tfvars is missing" in result.err


def test_only_one_step_is_done(filled: World) -> None:
    filled.run("start.sh")
    filled.forget_calls()

    assert filled.run("start.sh", "--only", "secrets").code == 0

    assert filled.was_called("kubectl create secret")
    assert not filled.was_called("terraform -chdir")
    assert not filled.was_called("applied workload")


@pytest.mark.parametrize(
    "arguments", [["--only", "coffee"], ["--only"], ["--overlay", "huge"], ["--unknown"], ["--local", "--only", "ssh"]]
)
def test_wrong_use_ends_with_code_2(filled: World, arguments: list[str]) -> None:
    result = filled.run("start.sh", *arguments)

    assert result.code == 2
    assert "use: ./start.sh" in result.err
    assert not filled.calls()


def test_the_caller_alone_is_let_in(filled: World) -> None:
    filled.run("start.sh", "--only", "terraform")

    assert filled.was_called("plan -input=false -detailed-exitcode -var admin_cidr=203.0.113.7/32")


def test_admin_cidr_may_be_set(filled: World) -> None:
    filled.run("start.sh", "--only", "terraform", ADMIN_CIDR="198.51.100.0/24")

    assert filled.was_called("admin_cidr=198.51.100.0/24")
    assert not filled.was_called("curl")


def test_an_address_that_cannot_be_found_out_is_asked_for(filled: World) -> None:
    filled.fail("curl")

    result = filled.run("start.sh")

    assert result.code == 1
    assert "ADMIN_CIDR=203.0.113.7/32 ./start.sh" in result.err
    assert not filled.was_called("terraform")


def test_who_says_no_buys_nothing(filled: World) -> None:
    result = filled.run("start.sh", answers="n\n")

    assert result.code == 1
    assert "nothing was made" in result.err
    assert not filled.was_called(" apply ")


def test_the_state_may_lie_in_a_bucket(filled: World) -> None:
    filled.run("start.sh", "--only", "terraform", STATE_BUCKET="states")

    text = (filled.terraform / "backend_override.tf").read_text(encoding="utf-8")
    assert 'backend "gcs"' in text
    assert '"states"' in text


def test_images_go_to_a_registry_where_one_is_set(filled: World) -> None:
    filled.run("start.sh", REGISTRY="registry.example/team/")

    assert filled.was_called("docker push registry.example/team/tickloop/app:0123456789ab")
    assert not filled.was_called("docker save")
    overlay = (filled.static / "run" / "overlay" / "kustomization.yaml").read_text(encoding="utf-8")
    assert "newName: registry.example/team/tickloop/airflow" in overlay
    assert "WORKER_CONTAINER_REPOSITORY=registry.example/team/tickloop/airflow" in overlay


def test_archives_of_other_revisions_are_dropped_and_those_there_are_not_written_again(filled: World) -> None:
    filled.run("start.sh")
    filled.forget_calls()
    filled.run("start.sh")
    assert not filled.was_called("docker save")

    filled.run("start.sh", IMAGE_TAG="ba9876543210")

    names = sorted(path.name for path in (filled.static / "run" / "images").iterdir())
    assert names == [f"{name}-ba9876543210.tar" for name in ("airflow", "app", "fluentd", "mlflow")]


def test_a_cluster_of_ones_own_needs_no_google(tmp_path: Path) -> None:
    own = world(tmp_path)
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text("kind: Config", encoding="utf-8")

    result = own.run("start.sh", "--local", KUBECONFIG=str(kubeconfig), NFS_SERVER="10.0.0.5", SHIM_CONTEXT="kind-one")

    assert result.code == 0, result.err
    assert own.was_called("kind load docker-image tickloop/app:0123456789ab --name one")
    assert own.was_called("applied workload--Deployment--bot")
    assert not [line for line in own.calls() if re.match("terraform|ssh|ansible", line)]


def test_local_without_a_kubeconfig_is_told(tmp_path: Path) -> None:
    result = world(tmp_path).run("start.sh", "--local")

    assert result.code == 1
    assert ".kube/config is not there" in result.err


def test_secrets_are_for_the_owner_alone_and_on_no_command_line(filled: World) -> None:
    filled.run("start.sh")

    secrets = filled.static / "secrets"
    calls = "\n".join(filled.calls())
    for path in secrets.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    for path in (secrets / "values").iterdir():
        assert path.read_text(encoding="utf-8") not in calls, path


def test_every_secret_that_the_manifests_ask_for_is_applied_with_its_keys(filled: World) -> None:
    filled.run("start.sh")

    wanted: dict[str, set[str]] = {}
    listed = (REPOSITORY / "deploy" / "kubernetes" / "secrets.txt").read_text(encoding="utf-8")
    for name, key in re.findall(r"^(?!#)(\S+) (\S+)", listed, re.MULTILINE):
        wanted.setdefault(name, set()).add(key)
    # A person's own: without them there is no such Secret.
    del wanted["exchange-keys"]
    applied = {
        path.name.removeprefix("secret-"): set(
            re.findall(r"^keys: (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)[0].split()
        )
        for path in (filled.shim / "applied").iterdir()
    }
    assert applied == wanted


def test_both_sides_of_a_password_are_told_the_same(filled: World) -> None:
    filled.run("start.sh")

    passwords = filled.secret("postgres-admin", "passwords.toml")
    assert f'tickloop = "{filled.secret("tickloop-stores", "TICKLOOP_POSTGRES__PASSWORD")}"' in passwords
    airflow = filled.value("postgres-airflow")
    assert f'airflow = "{airflow}"' in passwords
    assert filled.secret("airflow-secrets", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") == (
        f"postgresql+psycopg://airflow:{airflow}@postgres/airflow?sslmode=verify-full&sslrootcert=/etc/tickloop/ca.pem"
    )
    values = [path.read_text(encoding="utf-8") for path in (filled.static / "secrets" / "values").iterdir()]
    assert len(set(values)) == len(values)


def test_certificates_hold_for_the_names_by_which_stores_are_called(filled: World) -> None:
    filled.run("start.sh", "--only", "terraform")
    filled.run("start.sh", "--only", "secrets")

    folder = filled.static / "secrets" / "certificates"
    for name in ("postgres", "opensearch"):
        for host in (name, f"{name}.tickloop.svc.cluster.local"):
            told = subprocess.run(
                ["openssl", "verify", "-CAfile", folder / "ca.pem", "-verify_hostname", host, folder / f"{name}.crt"],
                capture_output=True, text=True,
            )  # fmt: skip
            assert told.returncode == 0, told.stderr


def test_exchange_keys_come_from_a_persons_own_files(filled: World) -> None:
    keys = filled.static / "exchange-keys"
    keys.mkdir()
    (keys / "access_key").write_text("mine\n", encoding="utf-8")
    filled.run("start.sh", "--only", "terraform")

    result = filled.run("start.sh", "--only", "secrets")
    assert result.code == 1
    assert "exchange-keys/secret_key is missing" in result.err
    (keys / "secret_key").write_text("also mine\n", encoding="utf-8")
    filled.run("start.sh", "--only", "secrets")

    assert filled.secret("exchange-keys", "TICKLOOP_EXCHANGE__ACCESS_KEY") == "mine"


def test_a_rotated_password_is_new_everywhere_and_the_store_is_told_first(filled: World) -> None:
    filled.run("start.sh")
    before = {path.name: path.read_text() for path in (filled.static / "secrets" / "values").iterdir()}
    filled.forget_calls()

    result = filled.run("start.sh", "--rotate", "postgres-tickloop")

    assert result.code == 0, result.err
    after = {path.name: path.read_text() for path in (filled.static / "secrets" / "values").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"postgres-tickloop"}
    assert after["postgres-tickloop"] in filled.secret("postgres-admin", "passwords.toml")
    told = filled.position("applied workload--Job--postgres-setup")
    assert told < filled.position("rollout restart deployment.apps/api")
    assert not filled.was_called("rollout restart deployment.apps/dashboard")


def test_an_interrupted_rotation_goes_on_with_the_same_new_password(filled: World) -> None:
    filled.run("start.sh")
    old = filled.value("postgres-tickloop")
    filled.fail("delete job/postgres-setup")
    assert filled.run("start.sh", "--rotate", "postgres-tickloop").code == 1
    new = filled.value("postgres-tickloop")
    filled.forget_calls()

    result = filled.run("start.sh", "--rotate", "postgres-tickloop")

    assert result.code == 0, result.err
    assert old != new == filled.value("postgres-tickloop")
    assert filled.was_called("rollout restart deployment.apps/api")


def test_the_administrators_password_goes_to_the_server_by_its_input(filled: World) -> None:
    filled.run("start.sh")

    filled.run("start.sh", "--rotate", "postgres-admin")

    assert filled.value("postgres-admin") in (filled.shim / "told").read_text(encoding="utf-8")
    assert filled.value("postgres-admin") not in "\n".join(filled.calls())


def test_a_secret_that_there_is_not_cannot_be_rotated(filled: World) -> None:
    filled.run("start.sh", "--only", "terraform")
    filled.run("start.sh", "--only", "secrets")

    result = filled.run("start.sh", "--rotate", "coffee")

    assert result.code == 1
    assert "valid: postgres-admin postgres-tickloop" in result.err
