#!/bin/bash
# Save all databases: backup.sh FOLDER. A new folder FOLDER/2026-11-24T024700Z with a file per database and one of users;
# it has its name only when all of it was written and read back. The newest KEEP (14) folders stay.
# PGHOST, PGUSER and the like say where the server is.
set -euo pipefail
folder=$1
keep=${KEEP:-14}

databases() {
	psql -d postgres -Atc "select datname from pg_database where not datistemplate and datname <> 'postgres' order by 1"
}

# save DATABASE FOLDER: its file is read back as a whole.
save() {
	pg_dump --format=custom --compress=6 --no-password --file="$2/$1.dump" "$1"
	pg_restore --file=/dev/null "$2/$1.dump"
	echo "saved $1: $(stat -c %s "$2/$1.dump") bytes"
}

# forget: remove all but the newest; unfinished ones go too, since only one backup runs at a time.
forget() {
	find "$folder" -mindepth 1 -maxdepth 1 -type d -name '.part.*' -exec rm -rf {} +
	find "$folder" -mindepth 1 -maxdepth 1 -type d -name '2*Z' | sort -r | tail -n "+$((keep + 1))" | xargs -r rm -rf
}

mkdir -p "$folder"
umask 077
forget
name=$(date -u +%Y-%m-%dT%H%M%SZ)
part=$folder/.part.$name
mkdir "$part"
pg_dumpall --globals-only --no-password --file="$part/users.sql"
for database in $(databases); do save "$database" "$part"; done
(cd "$part" && sha256sum -- * >SHA256SUMS)
sync
mv "$part" "$folder/$name"
forget
echo "done: $folder/$name"
