#!/bin/sh
# Run a command with the variables of secret files that a `secrets` service has written:
# with-secrets.sh FILE... -- COMMAND...
set -eu
set -a
while [ "${1:---}" != -- ]; do
	[ -r "$1" ] || {
		echo "with-secrets.sh: $1 is not there or not ours to read: docker compose up secrets" >&2
		exit 1
	}
	# shellcheck disable=SC1090
	. "$1"
	shift
done
set +a
shift
exec "$@"
