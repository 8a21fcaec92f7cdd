#!/usr/bin/env bash
# End what start.sh began: stop the processes in order, then take away everything that costs money. Data are kept or
# deleted as told. May be run again: what is gone already is no failure.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/scripts/lib/base.sh
. "$repository/deploy/scripts/lib/base.sh"
# shellcheck source=deploy/scripts/lib/inputs.sh
. "$repository/deploy/scripts/lib/inputs.sh"
# shellcheck source=deploy/scripts/lib/cloud.sh
. "$repository/deploy/scripts/lib/cloud.sh"
# shellcheck source=deploy/scripts/lib/stop.sh
. "$repository/deploy/scripts/lib/stop.sh"

usage() {
	cat <<'EOT'
use: ./terminate.sh --keep-data | --delete-data [--local] [--dry-run] [--yes]

  --keep-data    the data disk stays and costs; everything else goes. ./start.sh takes it up again
  --delete-data  the data disk goes too, with the passwords that opened what was on it
  --local        the cluster that kubectl points to: namespace or workloads go, machines stay
  --dry-run      print what would be done, and do nothing
  --yes          ask nothing

With neither of the first two it asks which is meant.
EOT
}

where=google
data=

wrong_use() {
	printf 'tickloop: %s\n' "$1" >&2
	usage >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--keep-data | --delete-data)
		[ -z "$data" ] || [ "$data" = "${1%-data}" ] || wrong_use "both --keep-data and --delete-data"
		data=${1%-data}
		;;
	--local) where=local ;;
	--dry-run) dry=1 ;;
	--yes) assume_yes=1 ;;
	-h | --help) usage && exit 0 ;;
	*) wrong_use "unknown option $1" ;;
	esac
	shift
done
data=${data#--}

# know_what_about_data: nobody's data go by a default.
know_what_about_data() {
	[ -z "$data" ] || return 0
	[ "$assume_yes" = 0 ] || wrong_use "--yes answers no question about data: say --keep-data or --delete-data"
	can_ask || wrong_use "say --keep-data or --delete-data"
	if ask "delete all data too, disk and passwords?"; then data=delete; else data=keep; fi
}

# confirm: a y for what can be built again, the project's name for what cannot.
confirm() {
	local answer name
	[ "$dry" = 0 ] && [ "$assume_yes" = 0 ] || return 0
	if [ "$data" = keep ]; then
		ask "$(told_before)" || fail "nothing was done"
		return
	fi
	case $where in
	local) name=$(cluster namespace) ;;
	google) name=$(tfvar my_project_id) ;;
	esac
	can_ask || fail "nothing was done: nobody to be asked" "--yes deletes without asking"
	printf 'tickloop: %s\n          Write %s to go on: ' "$(told_before)" "$name"
	read -r answer || answer=
	[ "$answer" = "$name" ] || fail "nothing was done"
}

told_before() {
	if [ "$where" = local ]; then
		printf 'end Tickloop in the cluster of %s; data: %s?' "$(kubectl config current-context)" "$data"
	else
		printf 'end the cluster of project %s; data: %s?' "$(tfvar my_project_id)" "$data"
	fi
}

terminate_google() {
	export KUBECONFIG=$static/kubeconfig
	if [ "$dry" = 0 ] && [ -z "$(in_state)" ]; then
		say "nothing is there"
		forget_cluster
		return
	fi
	stop_processes
	if [ "$data" = keep ]; then
		tf apply -input=false -auto-approve -var "admin_cidr=$(known_cidr)" -var keep_data_only=true
	else
		tf destroy -input=false -auto-approve -var "admin_cidr=$(known_cidr)"
	fi
	[ "$dry" = 1 ] || check_what_is_left
	forget_cluster
}

terminate_local() {
	local namespace
	namespace=$(cluster namespace)
	if [ "$dry" = 0 ] && ! kubectl get namespace "$namespace" >/dev/null 2>&1; then
		say "nothing is there"
		forget_cluster
		return
	fi
	stop_processes
	if [ "$data" = keep ]; then
		run kubectl -n "$namespace" delete deployments,statefulsets,daemonsets,jobs,cronjobs,services --all --wait=true
	else
		run kubectl delete namespace "$namespace" --wait=true --timeout=600s
		run kubectl delete persistentvolumes --selector "app.kubernetes.io/part-of=$namespace" --ignore-not-found
	fi
	forget_cluster
}

trap leave EXIT
if [ "$where" = google ]; then
	[ -n "$(terraform_tool)" ] || fail "terraform is not on the path" "install Terraform 1.9 or newer, or OpenTofu"
	check_values
	check_credentials
	stop_for_problems
fi
know_what_about_data
confirm
one_at_a_time
"terminate_$where"
[ "$dry" = 0 ] || say "nothing was done: --dry-run"
