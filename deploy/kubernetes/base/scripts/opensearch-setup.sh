#!/bin/bash
# Give the users of OpenSearch the passwords in ADMIN_PASSWORD, DASHBOARDS_PASSWORD, READER_PASSWORD and WRITER_PASSWORD:
# opensearch-setup.sh ADDRESS. WRITER_USER is Tickloop's name. /tls/admin.* is the administrator's certificate.
set -euo pipefail
address=$1

# user NAME PASSWORD ROLES: our passwords have no character that JSON would want escaped; read from stdin, so that no list
# of processes shows one.
user() {
	case $2 in *[\"\\]*) echo "the password of $1 has a quote or a backslash" >&2 && return 1 ;; esac
	printf '{"password": "%s", "backend_roles": [%s]}' "$2" "$3" |
		curl -fsS --retry 10 --retry-delay 5 --retry-all-errors --max-time 30 --cacert /etc/tickloop/ca.pem \
			--cert /tls/admin.crt --key /tls/admin.key -H 'content-type: application/json' -X PUT --data-binary @- \
			"$address/_plugins/_security/api/internalusers/$1"
	echo
}

user admin "$ADMIN_PASSWORD" '"admin"'
user kibanaserver "$DASHBOARDS_PASSWORD" ''
user reader "$READER_PASSWORD" '"tickloop_reader"'
user "$WRITER_USER" "$WRITER_PASSWORD" '"tickloop_writer"'
