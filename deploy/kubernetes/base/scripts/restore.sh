#!/bin/bash
# Bring databases back: restore.sh FOLDER. FROM names a folder below it, or `latest`; ONLY a database, else all of them.
# Each database is filled under another name first and takes the place of the old one at the end, which is kept as
# NAME_before; so a backup that cannot be read changes nothing. Whoever is connected is cut off.
# PGHOST, PGUSER and the like say where the server is.
set -euo pipefail
folder=$1
from=${FROM:-latest}
only=${ONLY:-}

fail() {
	echo "restore: $*" >&2
	exit 1
}

sql() { psql -d postgres -v ON_ERROR_STOP=1 -Atq "$@"; }

# chosen: the folder of the backup.
chosen() {
	if [ "$from" = latest ]; then
		find "$folder" -mindepth 1 -maxdepth 1 -type d -name '2*Z' | sort | tail -n 1
	else
		printf '%s\n' "$folder/$from"
	fi
}

# users: those that are missing are made; those that are there keep their passwords.
users() {
	grep -E '^CREATE ROLE ' "$1/users.sql" | sed 's/^CREATE ROLE \([^;]*\);$/\1/' | while read -r name; do
		if [ -z "$(sql -c "select 1 from pg_roles where rolname = '$name'")" ]; then
			grep -E "^(CREATE|ALTER) ROLE $name( |;)" "$1/users.sql" | sql
		fi
	done
}

# own FILE NAME: owner, rights and settings of the database itself, as statements on NAME_new.
own() {
	local name="\"\{0,1\}$2\"\{0,1\}"
	pg_restore --create --schema-only --file=- "$1" |
		sed -n "s/^\(ALTER DATABASE\) $name \(OWNER TO .*\)/\1 \"$2_new\" \2/p
			s/^\(GRANT .* ON DATABASE\) $name \(.*\)/\1 \"$2_new\" \2/p
			s/^\(REVOKE .* ON DATABASE\) $name \(.*\)/\1 \"$2_new\" \2/p
			s/^\(ALTER ROLE .* IN DATABASE\) $name \(.*\)/\1 \"$2_new\" \2/p"
}

# fill FILE NAME
fill() {
	sql -c "drop database if exists \"$2_new\""
	sql -c "create database \"$2_new\" template template0 encoding 'UTF8'"
	pg_restore --exit-on-error --no-password --dbname="$2_new" "$1"
	own "$1" "$2" | sql
}

# swap NAME
swap() {
	sql -c "drop database if exists \"$1_before\" with (force)"
	if [ -n "$(sql -c "select 1 from pg_database where datname = '$1'")" ]; then
		sql -c "alter database \"$1\" with allow_connections false"
		sql -c "select pg_terminate_backend(pid) from pg_stat_activity where datname = '$1'" >/dev/null
		sql -c "alter database \"$1\" rename to \"$1_before\""
	fi
	sql -c "alter database \"$1_new\" rename to \"$1\""
}

backup=$(chosen)
[ -d "${backup:-/nowhere}" ] || fail "there is no backup $from in $folder; there are: $(ls "$folder")"
(cd "$backup" && sha256sum --quiet --check SHA256SUMS) || fail "$backup is damaged; take another one by FROM"
users "$backup"
for file in "$backup"/*.dump; do
	name=$(basename "$file" .dump)
	[ -z "$only" ] || [ "$only" = "$name" ] || continue
	fill "$file" "$name"
	swap "$name"
	echo "restored $name from $backup"
done
