#!/usr/bin/env bash
# Check deploy/ansible: syntax, ansible-lint, rendered templates (kubeadm reads its own), scripts of the roles, and the
# roles themselves, run for real in folders that hold a Debian. What cannot be run here is told, and is a failure only
# with TICKLOOP_TEST_REQUIRE_SERVERS=1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
repository=$(cd ../.. && pwd)
envs=${TICKLOOP_ENVS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/envs}
strict=${TICKLOOP_TEST_REQUIRE_SERVERS:-0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

say() { printf 'ansible: %s\n' "$*"; }

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
		say "$name: FAILED, $((SECONDS - from)) s"
		failed=1
	fi
}

tests() { env -C "$repository" .venv/bin/python -m pytest -q -p no:cacheprovider "$@"; }

if ! sh "$repository/scripts/envs.sh" ansible || ! collections=$(bash "$repository/scripts/deploy/ansible_collections.sh"); then
	not_run "everything" "Ansible cannot be installed here (tests/envs/ansible.txt)"
	exit "$failed"
fi
export PATH=$envs/ansible/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$collections ANSIBLE_HOME=$work/ansible ANSIBLE_NOCOLOR=1

part "syntax" ansible-playbook -i inventory.example.yml --syntax-check site.yml upgrade.yml
# `production` is the strictest of its profiles.
part "ansible-lint" ansible-lint --offline --nocolor --profile production
if [ ! -x "$repository/.venv/bin/python" ]; then
	not_run "templates and scripts" "make .venv/.test"
	exit "$failed"
fi
part "templates and scripts" tests tests/deploy/test_deploy_ansible.py
if [ "$(id -u)" != 0 ]; then
	not_run "roles in a Debian of their own" "as root"
elif ! bash "$repository/scripts/deploy/ansible_chroot.sh" install; then
	not_run "roles in a Debian of their own" "see above"
else
	part "roles in a Debian of their own" tests tests/deploy/test_deploy_ansible_chroot.py
fi
exit "$failed"
