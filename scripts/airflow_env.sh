#!/bin/sh
# Make the environment of Airflow: exact versions of constraints-airflow.txt, and this checkout on top, outside of it.
# Prints its folder. One that fits is left alone; Airflow and the API can never be in one environment (fastapi).
set -eu
cd "$(dirname "$0")/.."
env=${TICKLOOP_ENVS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/envs}/airflow
key=$(cat constraints-airflow.txt pyproject.toml && pwd)

if [ "$(cat "$env/key.txt" 2>/dev/null)" != "$key" ]; then
	echo "tickloop: installing Airflow into $env (1.4 GB, some minutes)" >&2
	rm -f "$env/key.txt"
	if ! cmp -s constraints-airflow.txt "$env/pins.txt"; then
		rm -rf "$env"
		"${PYTHON:-python3}" -m venv "$env"
		"$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement constraints-airflow.txt
		cp constraints-airflow.txt "$env/pins.txt"
	fi
	"$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	printf '%s\n' "$key" >"$env/key.txt"
fi
echo "$env"
