#!/usr/bin/env bash
# Put the collections that checks need into the cache: deploy/ansible itself uses none but Ansible's own. They are taken
# from the package `ansible`, which carries a hundred others. Prints the folder for ANSIBLE_COLLECTIONS_PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tickloop
envs=${TICKLOOP_ENVS:-$cache/envs}
version=12.3.0
folder=$cache/tools/ansible-collections

if [ "$(cat "$folder/version" 2>/dev/null)" != "$version" ]; then
	part=$(mktemp -d)
	trap 'rm -rf "$part"' EXIT
	"$envs/ansible/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$part" "ansible==$version"
	rm -rf "$folder"
	mkdir -p "$folder"
	"$envs/ansible/bin/python" - "$part"/ansible-*.whl "$folder" <<-'EOT'
		import sys
		import zipfile

		with zipfile.ZipFile(sys.argv[1]) as wheel:
		    wanted = ("ansible_collections/community/general/", "ansible_collections/ansible/posix/")
		    wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if name.startswith(wanted)])
	EOT
	printf '%s' "$version" >"$folder/version"
fi
printf '%s\n' "$folder"
