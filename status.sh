#!/usr/bin/env bash
# What runs in the cluster, how fresh its data are, and what is wrong. Exit code 0: all is well; 3: something is not; 1: no
# answer. --local asks the cluster that kubectl points to.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/scripts/lib/base.sh
. "$repository/deploy/scripts/lib/base.sh"

case ${1:-} in
'') export KUBECONFIG=$static/kubeconfig ;;
--local) ;;
*)
	echo "use: ./status.sh [--local]" >&2
	[ "$1" = --help ] && exit 0 || exit 2
	;;
esac
namespace=$(cluster namespace)
wrong=0

ours() { kubectl -n "$namespace" "$@"; }

# not_well TEXT: one line, and the exit code.
not_well() {
	printf '  ! %s\n' "$1"
	wrong=3
}

# columns KIND NAME:PATH,...: without a head.
columns() { ours get "$1" --no-headers --output "custom-columns=$2"; }

tell_nodes() {
	local name ready
	echo "nodes"
	while read -r name ready; do
		[ -n "$name" ] || continue
		if [ "$ready" = True ]; then printf '  %s\n' "$name"; else not_well "$name is not ready: kubectl describe node $name"; fi
	done < <(kubectl get nodes --no-headers --output 'custom-columns=N:.metadata.name,R:.status.conditions[?(@.type=="Ready")].status')
}

# tell_workloads KIND WANTED READY: paths of both numbers.
tell_workloads() {
	local name wanted ready
	while read -r name wanted ready; do
		[ -n "$name" ] || continue
		[ "$ready" != '<none>' ] || ready=0
		if [ "$ready" = "$wanted" ]; then
			printf '  %-24s %s of %s\n' "$name" "$ready" "$wanted"
		else
			not_well "$(printf '%-22s %s of %s ready: kubectl -n %s describe %s/%s' "$name" "$ready" "$wanted" "$namespace" "$1" "$name")"
		fi
	done < <(columns "$1" "N:.metadata.name,W:$2,R:$3")
}

tell_volumes() {
	local name phase
	while read -r name phase; do
		[ -z "$name" ] || [ "$phase" = Bound ] || not_well "volume $name is $phase: kubectl -n $namespace describe pvc/$name"
	done < <(columns persistentvolumeclaims N:.metadata.name,P:.status.phase)
}

tell_jobs() {
	local name failed
	while read -r name failed; do
		[ -z "$name" ] || [ "$failed" = '<none>' ] || [ "$failed" = False ] || not_well "job $name failed: kubectl -n $namespace logs job/$name"
	done < <(columns jobs 'N:.metadata.name,F:.status.conditions[?(@.type=="Failed")].status')
}

# Asked within the pod: network policies let nobody in from outside. A page of 503 is an answer, too.
ask_readyz='
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen("http://127.0.0.1:8000/readyz", timeout=10)
except urllib.error.HTTPError as refused:
    answer = refused
print(answer.read().decode(errors="replace"))
sys.exit(answer.status != 200)
'

# tell_freshness: as the API sees it, and as the collector does.
tell_freshness() {
	local answer
	echo "data"
	if answer=$(ours exec deployment/api -- python -c "$ask_readyz" 2>&1); then
		printf '  api: %s\n' "$(printf '%s' "$answer" | tr '\n' ' ' | cut -c 1-160)"
	else
		not_well "api is not ready: $(printf '%s' "$answer" | tr '\n' ' ' | cut -c 1-160)"
	fi
	if answer=$(ours exec deployment/collector -c collector -- tickloop status 2>&1); then
		printf '%s\n' "$answer" | sed 's/^/  /'
	else
		not_well "the collector's own status does not hold:"
		printf '%s\n' "$answer" | sed 's/^/    /'
	fi
}

kubectl --request-timeout=15s get --raw /readyz >/dev/null 2>&1 ||
	fail "the cluster does not answer" "KUBECONFIG is ${KUBECONFIG:-$HOME/.kube/config}; ./start.sh makes one, and your address may have changed: ./start.sh --only terraform"
tell_nodes
echo "workloads"
tell_workloads statefulset .spec.replicas .status.readyReplicas
tell_workloads deployment .spec.replicas .status.readyReplicas
tell_workloads daemonset .status.desiredNumberScheduled .status.numberReady
tell_volumes
tell_jobs
tell_freshness
exit "$wrong"
