# shellcheck shell=bash
# Our images: built, and brought to the nodes, or to a registry where one is set.

our_images=(app airflow mlflow fluentd)
archives=$run_folder/images

container_tool() {
	local tool
	for tool in ${CONTAINER_TOOL:-docker podman buildah}; do
		if has "$tool"; then
			printf '%s' "$tool"
			return
		fi
	done
}

# image_tag: the revision; what is not committed is told by its name.
image_tag() {
	local tag dirty=
	if [ -n "${IMAGE_TAG:-}" ]; then
		printf '%s' "$IMAGE_TAG"
		return
	fi
	tag=$(git -C "$repository" rev-parse --short=12 HEAD 2>/dev/null) ||
		fail "the revision is not known: this is no checkout of git" "IMAGE_TAG=... ./start.sh"
	[ -z "$(git -C "$repository" status --porcelain 2>/dev/null)" ] || dirty=-dirty
	printf '%s%s' "$(printf '%s' "$tag" | cut -c 1-12)" "$dirty"
}

# image NAME: with registry and tag.
image() { printf '%stickloop/%s:%s' "${REGISTRY:+${REGISTRY%/}/}" "$1" "$tag"; }

inputs_of_images() {
	case $tag in
	*-dirty) ;; # never the same twice
	*) printf '%s %s %s' "$tag" "${REGISTRY:-}" "$(digest_of "$addresses")" | digest ;;
	esac
}

step_images() {
	local name
	run make -C "$repository" images IMAGE_TAG="$tag" REGISTRY="${REGISTRY:-}" CONTAINER_TOOL="$(container_tool)"
	if [ -n "${REGISTRY:-}" ]; then
		for name in "${our_images[@]}"; do run "$(container_tool)" push "$(image "$name")"; done
	elif [ "$where" = local ]; then
		hand_to_local_cluster
	else
		for name in "${our_images[@]}"; do save_image "$name"; done
		playbook site.yml --tags images -e "images_import_source=$archives"
		drop_old_archives
	fi
}

# save_image NAME: as one file that containerd can import; one that is there is not written again.
save_image() {
	local file=$archives/$1-$tag.tar
	case $tag in
	*-dirty) ;;
	*) [ ! -s "$file" ] || return 0 ;;
	esac
	run mkdir -p "$archives"
	case $(container_tool) in
	docker) run docker save -o "$file.part" "$(image "$1")" ;;
	podman) run podman save --format docker-archive -o "$file.part" "$(image "$1")" ;;
	buildah)
		run rm -f "$file.part"
		run buildah push "$(image "$1")" "docker-archive:$file.part:$(image "$1")"
		;;
	esac
	run mv "$file.part" "$file"
}

# What is of another revision: gigabytes that nobody asks for again.
drop_old_archives() {
	local file
	for file in "$archives"/*.tar; do
		case $file in
		*"-$tag.tar" | "$archives/*.tar") ;;
		*) run rm -f "$file" ;;
		esac
	done
}

# hand_to_local_cluster: kind and minikube keep images of their own; others share those of this machine.
hand_to_local_cluster() {
	local context name
	context=$(kubectl config current-context 2>/dev/null || true)
	for name in "${our_images[@]}"; do
		case $context in
		kind-*) run kind load docker-image "$(image "$name")" --name "${context#kind-}" ;;
		minikube*) run minikube --profile "$context" image load "$(image "$name")" ;;
		*) say "$(image "$name") stays in $(container_tool): a cluster that does not share it wants REGISTRY=..." ;;
		esac
	done
}
