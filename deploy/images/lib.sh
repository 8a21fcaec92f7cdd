# shellcheck shell=bash disable=SC2034,SC2154
# For the scripts beside it: what images there are, which tool builds them, and what they are called.
set -euo pipefail
images=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$images/../.." && pwd)
our_images=(app airflow mlflow fluentd)

say() { printf 'images: %s\n' "$*" >&2; }

fail() {
	say "$*"
	exit 1
}

# container_tool: the one asked for, or the first that is here and answers (a docker without its daemon does not).
container_tool() {
	local tool
	for tool in ${CONTAINER_TOOL:-docker podman buildah}; do
		if command -v "$tool" >/dev/null 2>&1 && "$tool" info >/dev/null 2>&1; then
			printf '%s' "$tool"
			return
		fi
	done
	fail "no ${CONTAINER_TOOL:-docker, podman or buildah} that answers: install one (Debian: apt-get install buildah crun)"
}

# image_tag: 12 digits of the revision; what is not committed is told by its name.
image_tag() {
	local revision dirty=
	if [ -n "${IMAGE_TAG:-}" ]; then
		printf '%s' "$IMAGE_TAG"
		return
	fi
	revision=$(git -C "$repository" rev-parse HEAD 2>/dev/null) || fail "this is no checkout of git: set IMAGE_TAG"
	[ -z "$(git -C "$repository" status --porcelain 2>/dev/null)" ] || dirty=-dirty
	printf '%s%s' "${revision:0:12}" "$dirty"
}

# image_name NAME: with registry and tag.
image_name() { printf '%stickloop/%s:%s' "${REGISTRY:+${REGISTRY%/}/}" "$1" "$tag"; }

# pin NAME: the image of pins.txt, by its digest where that is known.
pin() {
	local name image digest
	while read -r name image digest; do
		[ "$name" = "$1" ] || continue
		[ "$digest" = - ] || image=$image@$digest
		printf '%s' "$image"
		return
	done <"$images/pins.txt"
	fail "pins.txt has no $1"
}

# buildah without a daemon and inside a container: layers by the kernel's overlay, steps in a plain chroot.
without_daemon() {
	[ "$tool" = buildah ] || return 0
	export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot} STORAGE_DRIVER=${STORAGE_DRIVER:-overlay}
}
