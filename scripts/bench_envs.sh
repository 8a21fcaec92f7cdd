#!/bin/sh
# Make the environments of the benches' peers, each with its own pins, outside the checkout: scripts/bench_envs.sh [NAME...]
# A name is the end of bench/requirements-NAME.txt; all of them when none is given. One that is there is left alone; one
# that cannot be installed here is told and left out, and its bench reports it as absent.
set -eu
cd "$(dirname "$0")/.."
envs=${TICKLOOP_ENVS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/envs}
mkdir -p "$envs"

if [ $# -eq 0 ]; then
	for file in bench/requirements-*.txt; do
		name=${file#bench/requirements-}
		set -- "$@" "${name%.txt}"
	done
fi

install() {
	"${PYTHON:-python3}" -m venv "$2" &&
		"$2/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$1" &&
		cp "$1" "$2/pins.txt"
}

for name in "$@"; do
	pins=bench/requirements-$name.txt
	env=$envs/bench-$name
	if cmp -s "$pins" "$env/pins.txt"; then
		continue
	fi
	echo "tickloop bench: installing $name into $env" >&2
	rm -rf "$env"
	if ! install "$pins" "$env"; then
		rm -rf "$env"
		echo "tickloop bench: $name cannot be installed here; its bench will report it as absent" >&2
	fi
done
