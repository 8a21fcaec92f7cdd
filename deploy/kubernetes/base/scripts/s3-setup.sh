#!/bin/sh
# Make the key and the bucket of each program on the S3 gateway; what is there stays, but secrets become those given.
# ADMIN_* name the gateway and its root key, TICKLOOP_* and MLFLOW_* the keys to be; VERSITYGW is the program.
set -eu

admin() { "$VERSITYGW" admin "$@"; }

# key ACCESS SECRET
key() {
	if admin list-users | grep -qwF -- "$1"; then
		admin update-user --access "$1" --secret "$2"
	else
		admin create-user --access "$1" --secret "$2" --role user
	fi
}

# bucket NAME OWNER
bucket() {
	if admin list-buckets | grep -qwF -- "$1"; then
		admin change-bucket-owner --bucket "$1" --owner "$2"
	else
		admin create-bucket --bucket "$1" --owner "$2"
	fi
}

key "$TICKLOOP_ACCESS_KEY" "$TICKLOOP_SECRET_KEY"
key "$MLFLOW_ACCESS_KEY" "$MLFLOW_SECRET_KEY"
bucket tickloop "$TICKLOOP_ACCESS_KEY"
bucket mlflow "$MLFLOW_ACCESS_KEY"
