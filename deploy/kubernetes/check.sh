#!/usr/bin/env bash
# Check the manifests: built, held against our policy and the size of three small nodes, taken by a real API server object
# by object and as pods, scripts of stores run on real servers. With TICKLOOP_TEST_REQUIRE_SERVERS=1 what is not here is
# built or fetched where it can be; without it what is missing is left out and said.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=.venv/bin/python
strict=${TICKLOOP_TEST_REQUIRE_SERVERS:-0}
failed=0

say() { printf 'kubernetes: %s\n' "$*"; }

# part NAME COMMAND...: its output when it fails, and its seconds.
part() {
	local name=$1 from=$SECONDS output
	shift
	if output=$("$@" 2>&1); then
		say "$name: ok, $((SECONDS - from)) s"
		grep -E '^SKIPPED' <<<"$output" | sed 's/^/kubernetes: not run: /' || true
	else
		printf '%s\n' "$output"
		say "$name: FAILED"
		failed=1
	fi
}

tests() { "$python" -m pytest -q -p no:cacheprovider "$@"; }

shell_of() {
	if command -v shellcheck >/dev/null 2>&1; then
		shellcheck deploy/kubernetes/check.sh deploy/kubernetes/base/scripts/*.sh deploy/kubernetes/base/opensearch/*.sh &&
			shellcheck -x -P scripts/servers scripts/servers/kubernetes.sh
		return
	fi
	say "not run: shellcheck is not here; on Debian: apt-get install shellcheck"
	[ "$strict" != 1 ]
}

[ -x "$python" ] || { say "the environment of tests is not here: make .venv/.test" && exit 1; }
if [ "$strict" = 1 ]; then
	part "API server, etcd, kubectl and kubeadm are here" sh scripts/servers/kubernetes.sh install
fi
part "shell" shell_of
part "policy and size" tests tests/deploy/test_deploy_kubernetes.py tests/deploy/test_deploy_kubernetes_size.py
part "real API server" tests tests/deploy/test_deploy_kubernetes_server.py
part "saved objects" tests tests/deploy/test_deploy_dashboards.py
part "backup, restore and keys of S3" tests tests/deploy/test_deploy_backups.py tests/deploy/test_deploy_s3_setup.py
exit "$failed"
