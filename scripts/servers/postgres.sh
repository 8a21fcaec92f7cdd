#!/bin/sh
# A PostgreSQL with its data in FOLDER/data, on loopback, that asks for passwords (scram-sha-256) and offers TLS.
# The address names its superuser, which exists for tests alone: postgresql://postgres:tickloop-test@127.0.0.1:PORT
# FOLDER/data/server.crt is its own certificate, for localhost and 127.0.0.1; FOLDER/postgres.log is what it says.
. "$(dirname "$0")/lib.sh"
superuser=postgres
password=tickloop-test
stop_s=60

bin() {
	for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t / -k 5 -n -r); do
		if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
			echo "$folder"
			return
		fi
	done
	found=$(command -v initdb) && dirname "$(readlink -f "$found")"
}

install() {
	if bin >/dev/null; then return; fi
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
		fail "no initdb in /usr/lib/postgresql/*/bin; as root: apt-get install postgresql"
	export DEBIAN_FRONTEND=noninteractive
	# Debian would make and start a cluster of its own.
	mkdir -p /etc/postgresql-common
	[ -e /etc/postgresql-common/createcluster.conf ] ||
		echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold postgresql openssl >/dev/null
	bin >/dev/null || fail "apt-get installed postgresql, but no initdb is in /usr/lib/postgresql/*/bin"
}

# as_user COMMAND...: PostgreSQL refuses to run as root. Its user may not enter the caller's private folders, so that
# it keeps the one capability that opens them.
as_user() {
	if [ "$(id -u)" != 0 ]; then
		exec setpriv --pdeathsig QUIT "$@"
	fi
	exec setpriv --reuid postgres --regid postgres --clear-groups --inh-caps -all,+dac_override \
		--ambient-caps -all,+dac_override --pdeathsig QUIT env LC_ALL=C "$@"
}

make_data() {
	mkdir -p "$data"
	printf '%s\n' "$password" >"$1/password"
	[ "$(id -u)" != 0 ] || chown postgres "$data" "$1/password"
	(as_user "$bin/initdb" -D "$data" -U "$superuser" --pwfile "$1/password" --auth scram-sha-256 --encoding UTF8 \
		--locale C --no-sync) >"$1/initdb.log" 2>&1 || fail "initdb failed: $(tail -n 3 "$1/initdb.log")"
	rm "$1/password"
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost \
		-addext 'subjectAltName = DNS:localhost, IP:127.0.0.1' \
		-keyout "$data/server.key" -out "$data/server.crt" 2>"$1/openssl.log" || fail "openssl made no certificate"
	chmod 600 "$data/server.key"
	[ "$(id -u)" != 0 ] || chown postgres "$data/server.key" "$data/server.crt"
	touch "$1/made"
}

# An earlier server of this folder that was killed may still be on its way out.
until_gone() {
	[ -s "$data/postmaster.pid" ] || return 0
	earlier=$(head -n 1 "$data/postmaster.pid")
	deadline=$(($(date +%s) + stop_s))
	while kill -0 "$earlier" 2>/dev/null && grep -q postgres "/proc/$earlier/comm" 2>/dev/null; do
		[ "$(date +%s)" -lt "$deadline" ] || fail "an earlier server (process $earlier) still runs on $data"
		sleep 0.1
	done
}

run() {
	folder=$1
	port=${2:-0}
	[ "$port" != 0 ] || port=$(free_port)
	bin=$(bin) || fail "not installed: sh scripts/servers/postgres.sh install"
	data=$folder/data
	if [ ! -e "$folder/made" ]; then
		rm -rf "$data"
		make_data "$folder"
	fi
	until_gone
	# Sockets only by TCP: the path of a test's folder can be longer than a socket's may be. fsync guards against the
	# machine's end alone, not against that of a process.
	(as_user "$bin/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
		-c fsync=off -c ssl=on -c max_connections=200 -c shared_buffers=64MB -c timezone=UTC -c lc_messages=C) \
		>>"$folder/postgres.log" 2>&1 &
	server=$!
	# SIGINT ends its clients' sessions; SIGTERM would wait for them.
	trap 'kill -INT '"$server"' 2>/dev/null' TERM INT
	until_healthy 60 "$server" "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"
	publish "$folder" "postgresql://$superuser:$password@127.0.0.1:$port"
	wait "$server" || true
	wait "$server" 2>/dev/null || true
}

case ${1:-} in
install) install ;;
installed) bin >/dev/null && command -v openssl >/dev/null ;;
run) run "$2" "${3:-0}" ;;
*) fail "valid: install, installed, run FOLDER [PORT]" ;;
esac
