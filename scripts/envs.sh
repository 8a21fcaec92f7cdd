#!/bin/sh
# Make environments of other people's programs, each with its own pins, outside the checkout: scripts/envs.sh NAME...
# A name is a file in tests/envs without its ending. One that is there is left alone; one that cannot be installed here
# is told and left out, and the exit code is 1: what needs it says that it is absent.
set -eu
cd "$(dirname "$0")/.."
envs=${TICKLOOP_ENVS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/envs}
mkdir -p "$envs"
code=0

install() {
	"${PYTHON:-python3}" -m venv "$2" &&
		"$2/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$1" &&
		cp "$1" "$2/pins.txt"
}

for name in "$@"; do
	pins=tests/envs/$name.txt
	env=$envs/$name
	if cmp -s "$pins" "$env/pins.txt"; then
		continue
	fi
	echo "tickloop: installing $name into $env" >&2
	rm -rf "$env"
	if ! install "$pins" "$env"; then
		rm -rf "$env"
		echo "tickloop: $name cannot be installed here" >&2
		code=1
	fi
done
exit $code
