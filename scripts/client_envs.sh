#!/bin/sh
# Make the environments of other people's clients, each with its own pins, outside the checkout: scripts/client_envs.sh [NAME...]
# A name is the end of tests/conformance/requirements-NAME.txt; all of them when none is given. One that is there is left alone.
set -eu
cd "$(dirname "$0")/.."
envs=${TICKLOOP_ENVS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/envs}
mkdir -p "$envs"

if [ $# -eq 0 ]; then
	for file in tests/conformance/requirements-*.txt; do
		name=${file#tests/conformance/requirements-}
		set -- "$@" "${name%.txt}"
	done
fi

for name in "$@"; do
	pins=tests/conformance/requirements-$name.txt
	env=$envs/$name
	if cmp -s "$pins" "$env/pins.txt"; then
		continue
	fi
	echo "tickloop clients: installing $name into $env" >&2
	rm -rf "$env"
	"${PYTHON:-python3}" -m venv "$env"
	"$env/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$pins"
	cp "$pins" "$env/pins.txt"
done
