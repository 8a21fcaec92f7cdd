#!/usr/bin/env bash
# From an empty Google Cloud project to a running system: terraform, ssh, ansible, images, secrets, apply.
# Interrupted or failed, it goes on where it stopped. Run again later, each step changes what differs. docs/operate/install.md
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/scripts/lib/base.sh
. "$repository/deploy/scripts/lib/base.sh"
# shellcheck source=deploy/scripts/lib/progress.sh
. "$repository/deploy/scripts/lib/progress.sh"
# shellcheck source=deploy/scripts/lib/inputs.sh
. "$repository/deploy/scripts/lib/inputs.sh"
# shellcheck source=deploy/scripts/lib/cloud.sh
. "$repository/deploy/scripts/lib/cloud.sh"
# shellcheck source=deploy/scripts/lib/nodes.sh
. "$repository/deploy/scripts/lib/nodes.sh"
# shellcheck source=deploy/scripts/lib/images.sh
. "$repository/deploy/scripts/lib/images.sh"
# shellcheck source=deploy/scripts/lib/secrets.sh
. "$repository/deploy/scripts/lib/secrets.sh"
# shellcheck source=deploy/scripts/lib/manifests.sh
. "$repository/deploy/scripts/lib/manifests.sh"

usage() {
	cat <<'EOT'
use: ./start.sh [--dry-run] [--only STEP] [--again] [--local] [--overlay small|ha] [--yes]
     ./start.sh --rotate NAME

  --dry-run     print what would be done, and do nothing
  --only STEP   terraform, ssh, ansible, images, secrets or apply
  --again       do every step, also those that an interrupted run has done
  --local       the cluster that kubectl points to, in place of machines at Google: images, secrets, apply
  --overlay     small (default): fits three nodes of 4 GB; ha: more of what may fail
  --yes         ask nothing
  --rotate      a new password, key or certificate; a wrong NAME tells those that there are

By environment: ADMIN_CIDR (who may come by ssh and kubectl; found out when not set), REGISTRY (push images there),
IMAGE_TAG, STATE_BUCKET (keep Terraform's state there), NFS_SERVER (with --local), CONTAINER_TOOL, TERRAFORM.
EOT
}

where=google
overlay=${OVERLAY:-small}
only=
again=0
rotating=
step=

wrong_use() {
	printf 'tickloop: %s\n' "$1" >&2
	usage >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--dry-run) dry=1 ;;
	--only) only=${2:-} && shift ;;
	--again) again=1 ;;
	--local) where=local ;;
	--overlay) overlay=${2:-} && shift ;;
	--yes) assume_yes=1 ;;
	--rotate) rotating=${2:-} && shift ;;
	-h | --help) usage && exit 0 ;;
	*) wrong_use "unknown option $1" ;;
	esac
	shift || wrong_use "the last option wants a value"
done

case $where in
google) steps=(terraform ssh ansible images secrets apply) ;;
local) steps=(images secrets apply) ;;
esac
case $overlay in
small | ha) ;;
*) wrong_use "--overlay $overlay: valid are small and ha" ;;
esac
if [ -n "$only" ]; then
	printf '%s\n' "${steps[@]}" | grep -qx -- "$only" || wrong_use "--only $only: valid are ${steps[*]}"
	steps=("$only")
fi

# point_kubectl: to the cluster that is meant, and to no other that a shell happens to point to.
point_kubectl() {
	if [ "$where" = google ]; then
		export KUBECONFIG=$static/kubeconfig
		return
	fi
	[ -s "${KUBECONFIG:-$HOME/.kube/config}" ] ||
		fail "--local: ${KUBECONFIG:-$HOME/.kube/config} is not there" "KUBECONFIG=... ./start.sh --local"
	say "the cluster is that of context $(kubectl config current-context)"
	[ "$dry" = 1 ] || ! can_ask || ask "install Tickloop there?" || fail "nothing was done" "./start.sh --local --yes asks nothing"
}

finish() {
	local code=$?
	leave
	if [ "$code" != 0 ] && [ -n "$step" ]; then
		printf 'tickloop: stopped in step %s; run ./start.sh again and it goes on there\n' "$step" >&2
	fi
}

# inputs_of STEP: what it works from, as one word; none for a step that is always done.
inputs_of() {
	case $1 in
	terraform) inputs_of_terraform ;;
	ssh) inputs_of_ssh ;;
	ansible) inputs_of_ansible ;;
	images) inputs_of_images ;;
	*) ;;
	esac
}

walk() {
	local inputs
	for step in "${steps[@]}"; do
		[ "$step" != terraform ] || know_admin_cidr
		inputs=$(inputs_of "$step")
		if [ -z "$only" ] && [ "$again" = 0 ] && is_done "$step" "$inputs"; then
			say "$step: done before"
			continue
		fi
		say "$step"
		begin "$step"
		"step_$step"
		mark_done "$step" "$(inputs_of "$step")"
	done
	step=
}

tell_how_to_go_on() {
	say "everything runs; images are of $tag"
	say "./status.sh tells how it does; ./terminate.sh ends it"
	[ "$where" = local ] || say "for kubectl: export KUBECONFIG=$(shown "$KUBECONFIG")"
	[ ! -s "$run_folder/cost" ] || say "it costs $(cat "$run_folder/cost")"
}

trap finish EXIT
tag=$(image_tag) || exit 1
if [ -n "$rotating" ]; then
	check_inputs secrets
	one_at_a_time
	point_kubectl
	rotate "$rotating"
	exit 0
fi
check_inputs "${steps[@]}"
one_at_a_time
point_kubectl
walk
if [ "$dry" = 1 ]; then
	stop_for_problems
	say "nothing was done: --dry-run"
elif [ -z "$only" ]; then
	forget_marks
	tell_how_to_go_on
fi
