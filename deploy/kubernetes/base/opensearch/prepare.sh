#!/bin/bash
# Fill the server's folder of settings: prepare.sh OPENSEARCH_HOME FOLDER. Users are written with hashes of the passwords
# in ADMIN_PASSWORD, DASHBOARDS_PASSWORD, READER_PASSWORD and WRITER_PASSWORD; WRITER_USER is Tickloop's name.
set -euo pipefail
server=$1
folder=$2
here=$(cd "$(dirname "$0")" && pwd)
export OPENSEARCH_JAVA_HOME=${OPENSEARCH_JAVA_HOME:-$server/jdk}

# hash_of VARIABLE
hash_of() {
	local hash
	hash=$(bash "$server/plugins/opensearch-security/tools/hash.sh" -env "$1" | tail -n 1)
	case $hash in
	\$2*) printf '%s' "$hash" ;;
	*) echo "the password in $1 was not hashed" >&2 && exit 1 ;;
	esac
}

# user NAME VARIABLE ROLE
user() {
	local hash
	hash=$(hash_of "$2")
	printf '%s:\n  hash: "%s"\n  reserved: true\n' "$1" "$hash"
	[ -z "$3" ] || printf '  backend_roles: ["%s"]\n' "$3"
}

users() {
	printf '_meta: {type: internalusers, config_version: 2}\n'
	user admin ADMIN_PASSWORD admin
	user kibanaserver DASHBOARDS_PASSWORD ""
	user reader READER_PASSWORD tickloop_reader
	user "$WRITER_USER" WRITER_PASSWORD tickloop_writer
}

cp -r "$server/config/." "$folder/"
cp "$here/opensearch.yml" "$folder/opensearch.yml"
cp "$here/roles.yml" "$here/roles_mapping.yml" "$folder/opensearch-security/"
mkdir -p "$folder/certs"
cp /tls/*.crt /tls/*.key /etc/tickloop/ca.pem "$folder/certs/"
chmod 600 "$folder"/certs/*.key
umask 077
users >"$folder/opensearch-security/internal_users.yml"
