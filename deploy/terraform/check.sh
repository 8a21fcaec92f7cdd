#!/usr/bin/env bash
# Check the Terraform code without an account: style, tests of every module that needs no provider, and the text of the
# google root. Runs under each of Terraform and OpenTofu that is here; with TICKLOOP_TEST_REQUIRE_SERVERS=1 OpenTofu is
# built where Go is, once, into the cache.
set -euo pipefail
cd "$(dirname "$0")"
repository=$(cd ../.. && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# No settings of the person's own, no look for updates.
export TF_CLI_CONFIG_FILE=/dev/null CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1
strict=${TICKLOOP_TEST_REQUIRE_SERVERS:-0}
failed=0

say() { printf 'terraform: %s\n' "$*"; }

# not_run WHAT REMEDY: left out; a failure where everything is asked for.
not_run() {
	say "not run: $1; $2"
	[ "$strict" != 1 ] || failed=1
}

# part NAME COMMAND...: its output only when it fails, and its seconds.
part() {
	local name=$1 from=$SECONDS
	shift
	if "$@" >"$work/output" 2>&1; then
		say "$name: ok, $((SECONDS - from)) s"
	else
		cat "$work/output"
		say "$name: FAILED"
		failed=1
	fi
}

# test_module TOOL FOLDER: all of its runs, none left out.
test_module() {
	local data
	data=$work/$(basename "$1")-$(basename "$2")
	(
		cd "$2"
		export TF_DATA_DIR=$data
		"$1" init -backend=false -input=false -no-color &&
			"$1" validate -no-color &&
			"$1" test -no-color | tee "$data.told" &&
			grep -Eq '^Success! [1-9][0-9]* passed, 0 failed' "$data.told"
	)
}

# validate_root TOOL: wants the google provider, which is fetched from its registry.
validate_root() {
	local data
	data=$work/$(basename "$1")-root
	if TF_DATA_DIR=$data timeout 120 "$1" init -backend=false -input=false -no-color >"$work/root" 2>&1; then
		part "validate of the google root" env TF_DATA_DIR="$data" "$1" validate -no-color
	else
		# Not even with everything asked for: it depends on a registry that is not ours. Its text is checked below.
		say "not run: validate of the google root; the provider hashicorp/google cannot be fetched here"
	fi
}

check_with() {
	local module
	say "with $("$1" version | head -n 1)"
	part "fmt" "$1" fmt -check -diff -recursive .
	for module in modules/*; do part "test of $module" test_module "$1" "$module"; done
	validate_root "$1"
}

if command -v terraform >/dev/null 2>&1; then
	check_with terraform
else
	not_run "tests under Terraform" "terraform is not on the path: install Terraform 1.9 or newer"
fi

if [ "$strict" = 1 ] && ! bash tofu.sh installed && command -v go >/dev/null 2>&1; then
	part "building OpenTofu" bash tofu.sh install
fi
if tofu=$(bash tofu.sh path); then
	check_with "$tofu"
else
	not_run "tests under OpenTofu" "bash deploy/terraform/tofu.sh install (wants Go)"
fi

if [ -x "$repository/.venv/bin/python" ]; then
	sh "$repository/scripts/envs.sh" hcl2 || true
	part "text of the google root" env -C "$repository" .venv/bin/python -m pytest -q -p no:cacheprovider tests/deploy/test_deploy_terraform.py
else
	not_run "text of the google root" "make .venv/.test"
fi
exit "$failed"
