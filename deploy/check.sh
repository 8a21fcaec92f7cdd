#!/usr/bin/env bash
# Every check of deploy, one folder after the other, each to its end; then how long each took. `make deploy-check`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
failed=()
told=()

for check in */check.sh; do
	name=$(dirname "$check")
	[ $# = 0 ] || printf '%s\n' "$@" | grep -qx -- "$name" || continue
	from=$SECONDS
	bash "$check" || failed+=("$name")
	told+=("$(printf '%6d s  %s' $((SECONDS - from)) "$name")")
done

echo "--- seconds of each check of deploy"
[ "${#told[@]}" = 0 ] || printf '%s\n' "${told[@]}"
if [ "${#failed[@]}" != 0 ]; then
	echo "failed: ${failed[*]}"
	exit 1
fi
