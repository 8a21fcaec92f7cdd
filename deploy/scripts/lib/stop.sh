# shellcheck shell=bash
# The end: processes first, so that what they hold is written; then the machines; then what is known of them here.

# known_cidr: Terraform asks for it even when everything goes.
known_cidr() {
	local found=${ADMIN_CIDR:-$(tfvar admin_cidr)}
	[ -n "$found" ] || found=$(cat "$run_folder/admin_cidr" 2>/dev/null || true)
	printf '%s' "${found:-192.0.2.1/32}" # of a network that is nobody's
}

# in_state: what Terraform knows to be there.
in_state() {
	"$(terraform_tool)" -chdir="$deploy/terraform" init -input=false >/dev/null || fail "terraform init failed" "see above"
	"$(terraform_tool)" -chdir="$deploy/terraform" state list 2>/dev/null | grep -E '(^|\.)google_' | grep -v 'google_project_service' || true
}

# stop_processes: the bot first, stores last. A cluster that does not answer holds nothing up: its machines go anyway.
stop_processes() {
	local namespace
	namespace=$(cluster namespace)
	if [ "$dry" = 0 ] && ! kubectl --request-timeout=15s get namespace "$namespace" >/dev/null 2>&1; then
		say "the cluster does not answer: its processes are not stopped in order"
		return
	fi
	say "stopping the bot, then what writes, then the stores; positions of a live bot stay on the exchange as they are"
	scale_down bot deployment/bot
	scale_down ReplicaSet deployment --all
	scale_down StatefulSet statefulset --all
}

# scale_down OWNER KUBECTL-ARGUMENTS...: and wait for its pods. What does not end in time is ended by its machine.
scale_down() {
	local owner=$1 namespace
	namespace=$(cluster namespace)
	shift
	run kubectl -n "$namespace" scale "$@" --replicas=0 || say "not stopped: $*"
	(wait_for "the end of pods of $*" 180 no_pods_of "$owner") || say "they are ended with their machines"
}

# no_pods_of OWNER: a kind that owns pods, or `bot` for its own.
no_pods_of() {
	local left
	left=$(kubectl -n "$(cluster namespace)" get pods --no-headers \
		--output 'custom-columns=N:.metadata.name,K:.metadata.ownerReferences[0].kind')
	case $1 in
	bot) left=$(printf '%s\n' "$left" | grep '^bot-' || true) ;;
	*) left=$(printf '%s\n' "$left" | grep " $1\$" || true) ;;
	esac
	printf '%s\n' "$left"
	[ -z "$left" ]
}

# check_what_is_left: what Terraform still knows costs money.
check_what_is_left() {
	local left
	left=$(in_state)
	if [ "$data" = keep ]; then
		left=$(printf '%s\n' "$left" | grep -v '^google_compute_disk\.data$' || true)
	fi
	[ -z "$left" ] || fail "this is still there and may cost money: $(printf '%s' "$left" | tr '\n' ' ')" "./terminate.sh --$data-data again"
	if [ "$data" = keep ]; then
		say "the data disk stays: $("$(terraform_tool)" -chdir="$deploy/terraform" output -raw cost 2>/dev/null || echo 'it costs')"
		say "./start.sh takes it up again; ./terminate.sh --delete-data deletes it"
	else
		say "nothing is left that costs money"
	fi
}

# forget_cluster: what was known of it here. Keys and credentials that a person put there stay.
forget_cluster() {
	run rm -rf "$static/kubeconfig" "$static/known_hosts" "$inventory" "$addresses" "$run_folder/done" "$run_folder/plan" \
		"$run_folder/images" "$run_folder/manifests" "$run_folder/overlay" "$run_folder/all.yaml" "$run_folder/cost"
	[ "$data" = keep ] || run rm -rf "$static/secrets"
}
