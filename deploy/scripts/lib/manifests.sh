# shellcheck shell=bash
# The manifests: built by kustomize, taken apart, and applied in the order in which parts need each other.

built=$run_folder/manifests

# Workloads by name, a wave a line; each is waited for before the next. What is named nowhere comes last.
waves() {
	cat <<-'EOT'
		postgres opensearch s3
		postgres-setup opensearch-setup s3-setup
		mlflow airflow-migrate
		airflow-api-server airflow-scheduler airflow-dag-processor
		collector
		api
		bot dashboard opensearch-dashboards prometheus grafana
		dashboards-import
	EOT
}

# write_overlay: the overlay with the images of this revision.
write_overlay() {
	local folder=$run_folder/overlay name
	mkdir -p "$folder"
	{
		printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - ../../../../kubernetes/overlays/%s\nimages:\n' "$overlay"
		for name in "${our_images[@]}"; do
			printf '  - name: tickloop/%s\n    newName: %stickloop/%s\n    newTag: %s\n' "$name" "${REGISTRY:+${REGISTRY%/}/}" "$name" "$tag"
		done
		# The pods of training are made by Airflow, which is told their image by its own settings.
		printf 'configMapGenerator:\n  - name: airflow-env\n    namespace: %s\n    behavior: merge\n    literals:\n' "$(cluster namespace)"
		printf '      - AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_REPOSITORY=%stickloop/airflow\n' "${REGISTRY:+${REGISTRY%/}/}"
		printf '      - AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_TAG=%s\n' "$tag"
	} >"$folder/kustomization.yaml"
}

# nfs_address: of the server of volumes, as the inventory says; LOCAL_NFS for a cluster of one's own.
nfs_address() {
	local found=${NFS_SERVER:-}
	[ -n "$found" ] || found=$(sed -n 's/^ *"\{0,1\}control_plane_address"\{0,1\}: *"\{0,1\}\([0-9.]*\)"\{0,1\}$/\1/p' "$inventory" 2>/dev/null)
	[ -n "$found" ] || fail "the address of the NFS server is not known" "NFS_SERVER=10.0.0.5 ./start.sh ..., where the folders of deploy/cluster.yaml are exported"
	printf '%s' "$found"
}

# build_manifests: one file an object, namespace first, then what stands still, then workloads.
build_manifests() {
	local server
	server=$(nfs_address) || exit 1
	write_overlay
	rm -rf "$built"
	mkdir -p "$built"
	kubectl kustomize "$run_folder/overlay" >"$run_folder/all.yaml" || fail "the manifests cannot be built" "see above; kubectl kustomize deploy/kubernetes/overlays/$overlay"
	sed "s/^\( *server: *\)nfs-server\$/\1$server/" "$run_folder/all.yaml" | take_apart
}

# take_apart: kustomize writes an object between lines of ---, names by two spaces below metadata.
take_apart() {
	awk -v folder="$built" '
		function flush(   group) {
			if (kind == "") { text = ""; return }
			group = "rest"
			if (kind == "Namespace") group = "namespace"
			else if (kind ~ /^(Deployment|StatefulSet|DaemonSet|Job)$/) group = "workload"
			printf "%s", text > (folder "/" group "--" kind "--" name ".yaml")
			close(folder "/" group "--" kind "--" name ".yaml")
			text = ""; kind = ""; name = ""; part = ""
		}
		/^---/ { flush(); next }
		/^[A-Za-z]/ { part = $1 }
		/^kind: / { kind = $2 }
		part == "metadata:" && name == "" && /^  name: / { name = $2 }
		{ text = text $0 "\n" }
		END { flush() }
	'
}

applied() { kubectl apply --server-side --force-conflicts --field-manager=start.sh "$@"; }

# apply_parts GROUP: all objects of it at once.
apply_parts() {
	local file arguments=()
	for file in "$built/$1"--*.yaml; do
		[ ! -e "$file" ] || arguments+=(-f "$file")
	done
	[ "${#arguments[@]}" = 0 ] || applied "${arguments[@]}" >/dev/null
}

# files_of NAME...: of the workloads with these names.
files_of() {
	local name file
	for name in "$@"; do
		for file in "$built"/workload--*--"$name".yaml; do
			[ ! -e "$file" ] || printf '%s\n' "$file"
		done
	done
}

# kind_and_name FILE: as kubectl takes it.
kind_and_name() { basename "$1" .yaml | sed 's/^workload--//; s/--/\//' | tr '[:upper:]' '[:lower:]'; }

namespace_of() { sed -n 's/^  namespace: *//p' "$1" | head -n 1; }

rolled_out() { kubectl -n "${2:-$(cluster namespace)}" rollout status "$1" --timeout=10s; }

# job_done JOB NAMESPACE: exit code 2 when it has failed for good.
job_done() {
	case $(kubectl -n "$2" get "$1" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}') in
	*Failed*)
		kubectl -n "$2" logs "$1" --tail=15 || true
		return 2
		;;
	*Complete*) return 0 ;;
	*) return 1 ;;
	esac
}

# keep_replicas FILE OBJECT NAMESPACE: none in the manifest means that a person decides, such as of the bot.
keep_replicas() {
	local running
	grep -q '^  replicas: 0$' "$1" || return 0
	running=$(kubectl -n "$3" get "$2" -o 'jsonpath={.spec.replicas}' 2>/dev/null || true)
	[ -z "$running" ] || { sed "s/^  replicas: 0\$/  replicas: $running/" "$1" >"$1.part" && mv "$1.part" "$1"; }
}

# apply_workload FILE: a job that was there is run again: each of ours may be, and its template cannot be changed.
apply_workload() {
	local object namespace
	object=$(kind_and_name "$1")
	namespace=$(namespace_of "$1")
	case $object in
	job/*) kubectl -n "${namespace:-default}" delete "$object" --ignore-not-found --wait=true >/dev/null ;;
	deployment/*) keep_replicas "$1" "$object" "${namespace:-default}" ;;
	esac
	applied -f "$1" >/dev/null
}

wait_for_workload() {
	local object namespace
	object=$(kind_and_name "$1")
	namespace=$(namespace_of "$1")
	case $object in
	job/*) wait_for "$object" 600 job_done "$object" "${namespace:-default}" ;;
	*) wait_for "$object" 900 rolled_out "$object" "${namespace:-default}" ;;
	esac
}

# apply_wave FILE...: all at once, then one after the other is waited for.
apply_wave() {
	local file
	for file in "$@"; do apply_workload "$file"; done
	for file in "$@"; do wait_for_workload "$file"; done
}

run_job_again() {
	local file
	file=$(files_of "$1")
	[ -n "$file" ] || fail "the manifests have no job $1" "see deploy/kubernetes"
	apply_wave "$file"
}

# last_wave: the workloads that no wave names.
last_wave() {
	local file name
	for file in "$built"/workload--*.yaml; do
		[ -e "$file" ] || continue
		name=$(basename "$file" .yaml)
		waves | tr ' ' '\n' | grep -qx -- "${name##*--}" || printf '%s\n' "$file"
	done
}

# install_volume_driver: what mounts the volumes on NFS, from its makers; volumes are named one by one, so that the part
# which would make new ones is left out.
install_volume_driver() {
	local version folder name
	version=$(cluster csi_driver_nfs_version)
	folder=$run_folder/csi-driver-nfs-$version
	grep -q 'driver: nfs.csi.k8s.io' "$run_folder/all.yaml" || return 0
	grep -q '^kind: CSIDriver' "$run_folder/all.yaml" && return 0
	mkdir -p "$folder"
	for name in rbac-csi-nfs csi-nfs-driverinfo csi-nfs-node; do
		[ -s "$folder/$name.yaml" ] ||
			run_into "$folder/$name.yaml" curl -fsSL --retry 3 --max-time 60 \
				"${CSI_DRIVER_NFS_URL:-https://raw.githubusercontent.com/kubernetes-csi/csi-driver-nfs/v$version/deploy/v$version}/$name.yaml" ||
			fail "the driver of NFS volumes could not be fetched" "put $name.yaml of csi-driver-nfs $version into $(shown "$folder")"
		applied -f "$folder/$name.yaml" >/dev/null
	done
	wait_for "daemonset/csi-nfs-node" 600 rolled_out daemonset/csi-nfs-node kube-system
}

step_apply() {
	local wave files
	if [ "$dry" = 1 ]; then
		printf '  + kubectl kustomize deploy/kubernetes/overlays/%s, images of %s\n' "$overlay" "$tag"
		printf '  + kubectl apply, then wait for: csi-nfs-node, the driver of NFS volumes\n'
		printf '  + kubectl apply: namespace, settings, services, volumes, network policies\n'
		waves | while read -r wave; do printf '  + kubectl apply, then wait for: %s\n' "$wave"; done
		printf '  + kubectl apply, then wait for: everything else\n'
		return
	fi
	build_manifests
	install_volume_driver
	apply_parts namespace
	apply_parts rest
	while read -r wave <&3; do
		# shellcheck disable=SC2086 # a wave is a list of names
		files=$(files_of $wave)
		# shellcheck disable=SC2086 # and this one of files, whose names have no spaces
		[ -z "$files" ] || apply_wave $files
	done 3<<-EOT
		$(waves)
	EOT
	# shellcheck disable=SC2046
	apply_wave $(last_wave)
}
