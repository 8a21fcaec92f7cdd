#!/usr/bin/env bash
# Build our images: build.sh [NAME...], all of them without a name. `make images` calls it.
# IMAGE_TAG, REGISTRY (a prefix) and CONTAINER_TOOL (docker, podman or buildah) by environment; see lib.sh.
# With TICKLOOP_STANDIN=1 the bases are not pulled: those that were imported by standin.sh are taken.
# shellcheck source=deploy/images/lib.sh
. "$(dirname "$0")/lib.sh"

# Needs HEALTHCHECK, which the OCI format leaves out.
build() {
	local arguments=(--file "$images/Containerfile.$1" --tag "$(image_name "$1")"
		--build-arg "PYTHON_BASE=$(pin python)"
		--label "org.opencontainers.image.revision=$tag")
	[ "$1" != fluentd ] || arguments+=(--build-arg "RUBY_BASE=$(pin ruby)")
	[ "$tool" = docker ] || arguments+=(--format docker --layers)
	[ "${TICKLOOP_STANDIN:-}" != 1 ] || arguments+=("$([ "$tool" = buildah ] && echo --pull-never || echo --pull=never)")
	say "building $(image_name "$1") with $tool"
	case $tool in
	docker) DOCKER_BUILDKIT=1 docker build "${arguments[@]}" "$repository" ;;
	*) "$tool" build "${arguments[@]}" "$repository" ;;
	esac
}

tool=$(container_tool)
tag=$(image_tag)
without_daemon
[ "$#" -gt 0 ] || set -- "${our_images[@]}"
for name in "$@"; do
	[ -e "$images/Containerfile.$name" ] || fail "there is no image $name; valid: ${our_images[*]}"
done
for name in "$@"; do build "$name"; done
