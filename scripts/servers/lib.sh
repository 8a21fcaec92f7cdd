# For the scripts beside it, one a server:
#   NAME.sh install            fetch or build it into the cache, once; says what is missing and exits 1 when it cannot
#   NAME.sh installed          exit 0 when `run` would work
#   NAME.sh run FOLDER [PORT]  serve on loopback with all state in FOLDER until SIGTERM, or until the caller dies;
#                              FOLDER/address is written, whole, when it is healthy (PORT 0 or none: a free one)
set -eu
cache=${TICKLOOP_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/servers}

say() { printf 'tickloop %s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }

fail() {
	say "$*"
	exit 1
}

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# until_healthy SECONDS PID COMMAND...: try until it succeeds; fail at the deadline, or when the process is gone.
until_healthy() {
	deadline=$(($(date +%s) + $1))
	watched=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		kill -0 "$watched" 2>/dev/null || fail "ended before it was healthy"
		[ "$(date +%s)" -lt "$deadline" ] || fail "not healthy in time"
		sleep 0.2
	done
}

# publish FOLDER ADDRESS: write the address at once as a whole.
publish() {
	printf '%s\n' "$2" >"$1/address.part"
	mv "$1/address.part" "$1/address"
}

# serve PID: stay until the server ends; SIGTERM is handed on.
serve() {
	trap 'kill -TERM '"$1"' 2>/dev/null' TERM INT
	wait "$1" || true
	wait "$1" 2>/dev/null || true
}
