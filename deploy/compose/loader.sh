#!/usr/bin/env bash
# The reader of compose files that `docker compose` itself is made of, for checks where there is no docker compose:
# schema, interpolation, references. Built from its Go module once, into the cache. loader.sh install | path
set -euo pipefail
version=v2.9.1
cache=${TICKLOOP_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/servers}
program=$cache/compose-go-$version/compose-go

# Go's own installer puts it there and leaves the path to the user.
command -v go >/dev/null 2>&1 || PATH=$PATH:/usr/local/go/bin

install() {
	[ ! -x "$program" ] || return 0
	command -v go >/dev/null 2>&1 || {
		echo "compose: go is not there; install Go 1.24 or newer" >&2
		exit 1
	}
	local built
	mkdir -p "$cache"
	built=$(mktemp -d "$cache/compose-go.XXXXXX")
	if ! GOBIN=$built CGO_ENABLED=0 nice -n 10 go install -trimpath -ldflags='-s -w' \
		"github.com/compose-spec/compose-go/v2/cmd@$version"; then
		rm -rf "$built"
		echo "compose: compose-go $version cannot be built here" >&2
		exit 1
	fi
	mkdir -p "$(dirname "$program")"
	mv "$built/cmd" "$program"
	rm -rf "$built"
}

case ${1:-} in
install) install ;;
path) [ -x "$program" ] && printf '%s\n' "$program" ;;
*) echo "usage: loader.sh install | path" >&2 && exit 2 ;;
esac
