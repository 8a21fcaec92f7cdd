#!/bin/sh
# Take out of a finished environment what only its making, or testing of it, needs; then compile what is left:
# slim.sh ENVIRONMENT. Nothing can be installed into it afterwards.
set -eu
libraries=$(echo "$1"/lib/python3*/site-packages)
[ -d "$libraries" ] || {
	echo "slim.sh: $1 is no environment of Python" >&2
	exit 1
}

# Of these alone: others import their own tests.
for name in numba numpy pandas pyarrow scipy sklearn; do
	[ ! -d "$libraries/$name" ] || find "$libraries/$name" -depth -type d -name tests -exec rm -rf {} +
done
rm -rf "$libraries/pyarrow/include" "$libraries/numpy/_core/include"

# boto3 has a description of every service; ours, MLflow's and its helpers' is S3.
if [ -d "$libraries/botocore/data" ]; then
	find "$libraries/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name sso ! -name sso-oidc \
		-exec rm -rf {} +
fi

"$1/bin/python" -m pip uninstall --quiet --yes setuptools wheel >/dev/null 2>&1 || true
"$1/bin/python" -m pip uninstall --quiet --yes pip
find "$1" -depth -type d -name __pycache__ -exec rm -rf {} +
# By the hash of the source, not by its time: the same files give the same bytes. One file that is no Python of this
# version (templates, code for others) is left as it is.
"$1/bin/python" -m compileall -q -j 2 --invalidation-mode unchecked-hash "$libraries" >/dev/null || true
