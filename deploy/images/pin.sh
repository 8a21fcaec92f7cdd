#!/usr/bin/env bash
# Ask the registry for the digest of every image in pins.txt, and write it there: pin.sh
# Wants docker with buildx, or skopeo, and a registry in reach. Digests of lists of platforms, not of one platform.
# shellcheck source=deploy/images/lib.sh
. "$(dirname "$0")/lib.sh"

digest_of() {
	if command -v skopeo >/dev/null 2>&1; then
		skopeo inspect --raw "docker://$1" | sha256sum | sed 's/^\([0-9a-f]*\).*/sha256:\1/'
	else
		docker buildx imagetools inspect "$1" --format '{{.Manifest.Digest}}'
	fi
}

part=$(mktemp "$images/pins.XXXXXX")
trap 'rm -f "$part"' EXIT
grep '^#' "$images/pins.txt" >"$part"
while read -r name image _; do
	digest=$(digest_of "$image") || fail "no registry answered for $image; pins.txt is left as it was"
	case $digest in
	sha256:????????????????????????????????????????????????????????????????) printf '%s %s %s\n' "$name" "$image" "$digest" >>"$part" ;;
	*) fail "what was answered for $image is no digest: $digest" ;;
	esac
done < <(grep -v '^#' "$images/pins.txt")
chmod 644 "$part"
mv "$part" "$images/pins.txt"
