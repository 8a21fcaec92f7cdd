#!/usr/bin/env bash
# A stand-in for the base images where no registry of images is in reach: Debian's own packages, put together here and
# imported under the base's name, so that Containerfiles are built as they are. standin.sh IMAGE [TOOL]
# The packed root lies in the cache and is made once: a minute, 240 MB. As root, with mmdebstrap and buildah.
set -euo pipefail
image=$1
cache=${TICKLOOP_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/servers}/images
suite=bookworm
packages=ca-certificates,netbase,python3,python3-venv,tzdata
packed=$cache/standin-$suite-$(printf %s "$packages" | cksum | cut -d' ' -f1).tar

say() { printf 'images: %s\n' "$*" >&2; }

for program in mmdebstrap buildah; do
	command -v "$program" >/dev/null 2>&1 || {
		say "$program is not there: apt-get install buildah crun mmdebstrap"
		exit 1
	}
done

# What this machine trusts beyond Debian's own list: behind a proxy nothing can be fetched without it.
trust() {
	local root=$1
	cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
	mkdir -p "$root/usr/local/share/ca-certificates"
	find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$root/usr/local/share/ca-certificates/" \; 2>/dev/null || true
}

if [ ! -s "$packed" ]; then
	say "making the stand-in of Debian $suite with $packages"
	mkdir -p "$cache"
	part=$(mktemp -d "$cache/standin.XXXXXX")
	trap 'rm -rf "$part"' EXIT
	nice -n 10 mmdebstrap --quiet --mode=root --variant=apt --include="$packages" "$suite" "$part/root.tar"
	mv "$part/root.tar" "$packed"
fi

# Whatever has that name already, the real base or an earlier stand-in of the same packages, is left alone.
if [ "$(buildah inspect --type image --format '{{index .OCIv1.Config.Labels "tickloop.standin"}}' "$image" 2>/dev/null)" = "$(basename "$packed")" ]; then
	exit 0
fi
say "importing it as $image"
container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null 2>&1 || true; rm -rf "${part:-}"' EXIT
root=$(buildah mount "$container")
tar -C "$root" -xf "$packed"
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
ln -sf python3 "$root/usr/bin/python"
trust "$root"
buildah unmount "$container" >/dev/null
buildah config --label "tickloop.standin=$(basename "$packed")" "$container"
buildah commit --quiet "$container" "$image" >/dev/null
