#!/usr/bin/env bash
# Check deploy/compose: read as docker compose reads it (schema, interpolation, references), what it promises, and the
# secrets that it makes. No container is started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
repository=$(cd ../.. && pwd)
strict=${TICKLOOP_TEST_REQUIRE_SERVERS:-0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

say() { printf 'compose: %s\n' "$*"; }

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

if docker compose version >/dev/null 2>&1; then
	part "docker compose config" docker compose --file compose.yaml config --quiet
elif bash loader.sh path >/dev/null || { [ "$strict" = 1 ] && part "building compose-go" bash loader.sh install; }; then
	if loader=$(bash loader.sh path); then
		part "read by compose-go, the reader of docker compose" "$loader" compose.yaml
	else
		not_run "reading compose.yaml as docker compose does" "bash deploy/compose/loader.sh install (wants Go)"
	fi
else
	not_run "reading compose.yaml as docker compose does" "bash deploy/compose/loader.sh install (wants Go)"
fi
if command -v shellcheck >/dev/null 2>&1; then
	part "shellcheck" env -C "$repository" sh -c "shellcheck deploy/compose/*.sh"
else
	not_run "shellcheck" "install it (Debian: apt-get install shellcheck)"
fi
if [ -x "$repository/.venv/bin/python" ]; then
	part "promises and secrets" env -C "$repository" .venv/bin/python -m pytest -q -p no:cacheprovider tests/deploy/test_deploy_compose.py
else
	not_run "promises and secrets" "make .venv/.test"
fi
say "not run: docker compose up; there is no Docker daemon here, and images of others cannot be pulled"
exit "$failed"
