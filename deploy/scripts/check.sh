#!/usr/bin/env bash
# Check all scripts of the repository by shellcheck, look for secrets in what is committed, and run start.sh, terminate.sh
# and status.sh with stand-ins for their tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
strict=${TICKLOOP_TEST_REQUIRE_SERVERS:-0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

say() { printf 'scripts: %s\n' "$*"; }

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

# scripts: those that git knows or would take, by their first line. The parts in lib are read with those that source them.
scripts() {
	git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
		case $file in
		*/lib/*.sh | */lib.sh) continue ;;
		esac
		[ ! -f "$file" ] || ! head -n 1 "$file" | tr -d '\0' | grep -Eq '^#!.*\b(sh|bash)$' || printf '%s\0' "$file"
	done
}

# secret_shapes: what a key looks like. Words that stand for one in texts and tests look otherwise.
secret_shapes() {
	cat <<-'EOT'
		-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/]
		"private_key": *"-----BEGIN
		AKIA[0-9A-Z]{16}
		AIza[0-9A-Za-z_-]{35}
		gh[pousr]_[0-9A-Za-z]{36}
		xox[baprs]-[0-9A-Za-z-]{20}
		ya29\.[0-9A-Za-z_-]{20}
		AGE-SECRET-KEY-1[0-9A-Z]{50}
		eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}
	EOT
}

no_secrets() {
	local code=0
	secret_shapes >"$work/shapes"
	git grep --cached -nIE -f "$work/shapes" -- . ':!deploy/scripts/check.sh' >"$work/found" || code=$?
	[ "$code" = 1 ] || { cut -d : -f 1,2 "$work/found" && return 1; }
	# Files that are secrets by their names.
	! git ls-files | grep -E '(^|/)(id_(rsa|ed25519|ecdsa)|.*\.(pem|p12|pfx|key)|terraform\.tfvars|.*\.tfstate|kubeconfig)$|^deploy/terraform/static/'
}

# secret_is_found: the search itself is tried, by a key in a file that git is shown for a moment.
secret_is_found() {
	secret_shapes >"$work/shapes"
	printf 'key = AKIA%s\n' ABCDEFGHIJKLMNOP | grep -qE -f "$work/shapes"
	printf '%s\nMIIB\n' '-----BEGIN PRIVATE KEY-----' | tr '\n' ' ' | sed 's/----- /-----/' | grep -qE -f "$work/shapes"
}

if command -v shellcheck >/dev/null 2>&1; then
	scripts >"$work/scripts"
	part "shellcheck of $(tr -dc '\0' <"$work/scripts" | wc -c) scripts" xargs -0 shellcheck --severity=warning <"$work/scripts"
else
	not_run "shellcheck" "apt-get install shellcheck"
fi
if git rev-parse --git-dir >/dev/null 2>&1; then
	part "no secrets in what is committed" no_secrets
	part "a secret would be found" secret_is_found
else
	not_run "the look for secrets" "in a checkout of git"
fi
if [ -x .venv/bin/python ]; then
	part "start, status and end with stand-ins" .venv/bin/python -m pytest -q -p no:cacheprovider -n 2 \
		tests/deploy/test_deploy_start.py tests/deploy/test_deploy_terminate.py
else
	not_run "start, status and end with stand-ins" "make .venv/.test"
fi
exit "$failed"
