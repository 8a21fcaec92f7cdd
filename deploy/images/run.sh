#!/usr/bin/env bash
# Run a command in an image as it would run in a cluster, without a daemon: its own environment and user, a root that
# cannot be written, no network but its own loopback, no rights to gain. run.sh IMAGE COMMAND...
# FOLDERS: folders of the image that are volumes there, by spaces; empty and its user's here. As root, with buildah.
# shellcheck source=deploy/images/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck disable=SC2034 # of lib.sh
tool=buildah
without_daemon
image=$1
shift

# In a mount, process and network namespace of its own: nothing of it stays behind. $1 is the root, then the user, the
# folders, and the file of the image's environment.
# shellcheck disable=SC2016
inside='
	set -eu
	root=$1 user=$2 folders=$3 environment=$4
	shift 4
	mount --bind "$root" "$root"
	mount -o remount,bind,ro "$root"
	mount -t proc proc "$root/proc"
	mount -t tmpfs -o mode=755 tmpfs "$root/dev"
	for name in null zero full random urandom; do touch "$root/dev/$name" && mount --bind "/dev/$name" "$root/dev/$name"; done
	mkdir "$root/dev/shm" && mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
	ln -s /proc/self/fd "$root/dev/fd"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
	for folder in $folders; do mount -t tmpfs -o "mode=750,uid=${user%:*},gid=${user#*:}" tmpfs "$root$folder"; done
	ip link set lo up
	chroot=$(command -v chroot)
	set -f
	IFS="
"
	exec env -i $(cat "$environment") setpriv --no-new-privs \
		"$chroot" --userspec="$user" --groups="${user#*:}" "$root" "$@"
'

container=$(buildah from --pull-never "$image")
environment=$(mktemp)
tidy() {
	rm -f "$environment"
	buildah unmount "$container" >/dev/null 2>&1 || true
	buildah rm "$container" >/dev/null 2>&1 || true
}
trap tidy EXIT
root=$(buildah mount "$container")
buildah inspect --type image --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$image" | grep . >"$environment"
user=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$image")
unshare --mount --pid --fork --kill-child --net sh -c "$inside" sh "$root" "$user" "${FOLDERS:-}" "$environment" "$@"
