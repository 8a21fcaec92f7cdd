#!/bin/sh
# Make the virtual environment and install exact versions: scripts/setup.sh FOLDER EXTRAS
set -eu
venv=$1
extras=$2

say() { printf 'tickloop setup: %s\n' "$*" >&2; }

fits() {
	"$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

find_python() {
	for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
		if command -v "$candidate" >/dev/null 2>&1 && fits "$candidate"; then
			command -v "$candidate"
			return 0
		fi
	done
	return 1
}

if ! python=$(find_python); then
	found=$(python3 --version 2>&1 || echo "no python3")
	say "needs Python 3.11, 3.12, 3.13 or 3.14, found: $found."
	say "On Debian 12 and later or Ubuntu 24.04: sudo apt install python3 python3-venv. Another one: make PYTHON=/path/to/python3.12 demo"
	exit 1
fi

if [ -x "$venv/bin/python" ] && ! fits "$venv/bin/python"; then
	say "$venv was made with a Python that does not fit: remove it with 'make clean' and start again."
	exit 1
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
	version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	say "Python $version has no venv module. Install it with: sudo apt install python$version-venv (or python3-venv)"
	exit 1
fi

[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
say "installing into $venv with $("$venv/bin/python" --version) (about a minute the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$extras]"
"$venv/bin/python" -m compileall -q src/tickloop
case $extras in
*test*) touch "$venv/.test" ;;
esac
touch "$venv/.demo"
say "done: $(du -sm "$venv" | cut -f1) MB in $venv"
