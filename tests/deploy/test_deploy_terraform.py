"""The text of the google root, which no provider can validate here, and what it agrees on with the rest of deploy.

The modules without a provider have tests of their own (`terraform test`, deploy/terraform/check.sh).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from deploy_terraform_text import TERRAFORM, blocks, named, references, resources

# The arguments that the provider knows of each resource, as far as they are used: a typo is none of them.
_KNOWN = {
    "google_project_service": {"for_each", "service", "disable_on_destroy"},
    "google_compute_network": {"count", "name", "auto_create_subnetworks", "depends_on"},
    "google_compute_subnetwork": {"count", "name", "region", "network", "ip_cidr_range"},
    "google_compute_firewall": {
        "for_each", "name", "description", "network", "direction", "source_ranges", "target_tags", "dynamic",
    },
    "google_service_account": {"count", "account_id", "display_name", "depends_on"},
    "google_compute_disk": {"name", "type", "size", "zone", "depends_on"},
    "google_compute_address": {"count", "name", "region", "depends_on"},
    "google_compute_instance": {
        "for_each", "name", "machine_type", "zone", "tags", "allow_stopping_for_update", "boot_disk", "dynamic",
        "network_interface", "metadata", "service_account", "shielded_instance_config", "lifecycle",
    },
}  # fmt: skip


def test_every_argument_of_the_google_resources_is_a_known_one() -> None:
    for name, body in resources().items():
        assert set(body) <= _KNOWN[name.split(".")[0]], name


def test_nothing_is_open_to_the_whole_internet() -> None:
    for path in TERRAFORM.glob("*.tf"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"0\.0\.0\.0|::/0", text), path


def test_firewall_rules_come_from_the_tested_table_alone() -> None:
    rules = {name: body for name, body in resources().items() if name.startswith("google_compute_firewall.")}

    assert [body["for_each"] for body in rules.values()] == ["${module.plan.rules}"]
    assert [body["source_ranges"] for body in rules.values()] == ["${each.value.sources}"]


def test_admin_cidr_has_no_default_and_comes_to_the_table() -> None:
    assert "default" not in named("variable")["admin_cidr"]
    assert named("module")["plan"]["admin_cidr"] == "${var.admin_cidr}"
    assert named("module", TERRAFORM / "modules" / "plan")["firewall"]["admin_cidr"] == "${var.admin_cidr}"


def test_keys_of_the_whole_project_do_not_open_a_node() -> None:
    metadata = resources()["google_compute_instance.node"]["metadata"]

    assert metadata["block-project-ssh-keys"] == "TRUE"
    assert metadata["serial-port-enable"] == "FALSE"
    assert metadata["ssh-keys"] == '${var.os_login ? "" : module.plan.metadata_key}'
    assert named("variable")["os_login"]["default"] is False


def test_nodes_are_shielded() -> None:
    (shield,) = resources()["google_compute_instance.node"]["shielded_instance_config"]

    assert shield == {"enable_secure_boot": True, "enable_vtpm": True, "enable_integrity_monitoring": True}


def test_nodes_have_an_account_without_a_role() -> None:
    (account,) = resources()["google_compute_instance.node"]["service_account"]

    assert account["email"] == "${google_service_account.nodes[0].email}"
    assert not [name for name in resources() if "_iam_" in name]


def test_the_data_disk_is_no_part_of_a_node_and_stays_when_only_data_are_kept() -> None:
    disk = resources()["google_compute_disk.data"]
    gone = {
        name: str(body.get("count", body.get("for_each")))
        for name, body in resources().items()
        if name not in ("google_compute_disk.data", "google_project_service.needed")
    }

    assert not disk.keys() & {"count", "for_each"}
    assert all("local.runs" in when or "module.plan." in when for when in gone.values()), gone


def test_a_new_image_of_the_release_makes_no_node_anew() -> None:
    (lifecycle,) = resources()["google_compute_instance.node"]["lifecycle"]

    assert "image" in str(lifecycle["ignore_changes"])


def test_the_three_values_are_asked_for_and_have_an_example() -> None:
    example = (TERRAFORM / "terraform.tfvars.example").read_text(encoding="utf-8")
    names = re.findall(r"^(\w+) *=", example, re.MULTILINE)
    without_default = {name for name, body in named("variable").items() if "default" not in body}

    assert names == ["iam_user_name", "my_project_id", "my_ssh_key"]
    assert without_default == {*names, "admin_cidr"}


@pytest.mark.parametrize("folder", [TERRAFORM, *sorted((TERRAFORM / "modules").iterdir())], ids=lambda path: path.name)
def test_every_name_that_is_used_is_declared_and_the_other_way_round(folder: Path) -> None:
    everything = blocks(folder)
    variables, used = set(named("variable", folder)), references(everything, r"\bvar\.(\w+)")
    locals_ = {name for block in everything.get("locals", []) for name in block}

    assert used == variables
    assert references(everything, r"\blocal\.(\w+)") == locals_


@pytest.mark.parametrize("folder", [TERRAFORM, TERRAFORM / "modules" / "plan"], ids=lambda path: path.name)
def test_modules_are_given_what_they_ask_for_and_asked_for_what_they_give(folder: Path) -> None:
    everything = blocks(folder)
    for name, body in named("module", folder).items():
        module = (folder / body["source"]).resolve()
        wanted = {key for key, one in named("variable", module).items() if "default" not in one}
        given = set(body) - {"source"}

        assert wanted <= given <= set(named("variable", module)), name
        assert references(everything, rf"\bmodule\.{name}\.(\w+)") <= set(named("output", module)), name


def test_only_the_root_wants_a_provider() -> None:
    for path in (TERRAFORM / "modules").rglob("*.tf"):
        assert not re.search(r"^\s*(required_providers|provider|resource|data)\b", path.read_text(), re.MULTILINE), path


def test_keys_states_and_values_of_ones_own_are_never_committed() -> None:
    ignored = (TERRAFORM.parents[1] / ".gitignore").read_text(encoding="utf-8").splitlines()

    for name in ("static/", "terraform.tfvars", "*.tfstate*", ".terraform/", "backend_override.tf"):
        assert f"deploy/terraform/{name}" in ignored


def test_the_cluster_file_reads_line_by_line_as_it_reads_by_yaml() -> None:
    """start.sh reads single values of it without a parser."""
    text = (TERRAFORM.parent / "cluster.yaml").read_text(encoding="utf-8")
    whole = yaml.safe_load(text)
    lines = dict(re.findall(r"^(\w+): (.+)$", text, re.MULTILINE))

    assert {name: str(value).lower() for name, value in whole.items() if not isinstance(value, list)} == {
        name: value.lower() for name, value in lines.items()
    }
