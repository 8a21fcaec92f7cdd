#!/bin/sh
# Run a command beside real servers: scripts/servers/with.sh NAME... -- COMMAND...
# Each server is started once, with its state in a temporary folder; the command finds NAME's address in
# TICKLOOP_TEST_NAME. All of them end with the command.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
deadline_s=${TICKLOOP_SERVER_DEADLINE_S:-180}
state=$(mktemp -d)
pids=

stop() {
	for pid in $pids; do kill -TERM "$pid" 2>/dev/null || true; done
	for pid in $pids; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$state"
}
trap stop EXIT
trap 'exit 143' TERM INT

while [ "${1:---}" != -- ]; do
	mkdir "$state/$1"
	setpriv --pdeathsig TERM sh "$here/$1.sh" run "$state/$1" >"$state/$1.log" 2>&1 &
	pid=$!
	pids="$pid $pids"
	deadline=$(($(date +%s) + deadline_s))
	until [ -s "$state/$1/address" ]; do
		if ! kill -0 "$pid" 2>/dev/null || [ "$(date +%s)" -ge "$deadline" ]; then
			tail -n 40 "$state/$1.log" >&2
			echo "tickloop: $1 did not start" >&2
			exit 1
		fi
		sleep 0.2
	done
	name=$(printf %s "$1" | tr a-z- A-Z_)
	export "TICKLOOP_TEST_$name=$(cat "$state/$1/address")"
	shift
done
shift
"$@"
