#!/bin/sh
# S3 by versitygw, built from its Go module: see lib.sh for what can be asked of this script.
# Access key `tickloop-test`, secret key `tickloop-test-secret`, region us-east-1; no bucket is there at first.
# Keep the folder short of other things: one made in FOLDER/data by hand would be a bucket.
. "$(dirname "$0")/lib.sh"

version=v1.7.0
access_key=tickloop-test
secret_key=tickloop-test-secret
program=$cache/versitygw-$version/versitygw

install() {
	is_installed && return
	command -v go >/dev/null 2>&1 || fail "go is not there; install Go 1.24 or newer (golang.org/dl)"
	say "building versitygw $version (two minutes)"
	mkdir -p "$cache"
	built=$(mktemp -d "$cache/versitygw.XXXXXX")
	trap 'rm -rf "$built"' EXIT
	# Stripped: 30 MB less to keep, and nothing here reads its symbols.
	GOBIN=$built CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@$version" ||
		fail "versitygw $version cannot be built here"
	mkdir -p "$(dirname "$program")"
	mv "$built/versitygw" "$program"
}

is_installed() { [ -x "$program" ]; }

run() {
	folder=$(cd "$1" && pwd) # the gateway takes absolute paths alone
	port=${2:-0}
	[ "$port" != 0 ] || port=$(free_port)
	is_installed || fail "not installed: sh scripts/servers/s3.sh install"
	mkdir -p "$folder/data" "$folder/iam"
	rm -f "$folder/address"
	setpriv --pdeathsig KILL "$program" --port "127.0.0.1:$port" --access "$access_key" --secret "$secret_key" \
		--iam-dir "$folder/iam" --health /health --keep-alive --quiet posix "$folder/data" &
	pid=$!
	until_healthy 30 "$pid" python3 -c \
		'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=1)' "http://127.0.0.1:$port/health"
	publish "$folder" "http://127.0.0.1:$port"
	serve "$pid"
}

case ${1:-} in
install) install ;;
installed) is_installed ;;
run) run "$2" "${3:-0}" ;;
*) fail "usage: s3.sh install | installed | run FOLDER [PORT]" ;;
esac
