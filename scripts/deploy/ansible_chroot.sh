#!/usr/bin/env bash
# Run deploy/ansible for real in two folders that hold a Debian of their own, as nodes without a kernel: packages are
# installed, files written, services enabled, nothing is started. What no folder can do (containerd, Kubernetes) are
# stand-ins, fetched as releases from loopback (ansible_standins.py).
#   ansible_chroot.sh install      make the Debian, once, into the cache; as root
#   ansible_chroot.sh installed    exit 0 when `run` would work
#   ansible_chroot.sh run FOLDER   site.yml twice, then upgrade.yml twice; FOLDER gets their logs, what the nodes hold
#                                  (nodes/NAME/) and what was asked of the stand-ins (calls)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tickloop
envs=${TICKLOOP_ENVS:-$cache/envs}
release=$(sed -n 's/^debian_release: *//p' "$repository/deploy/cluster.yaml")
base=$cache/servers/debian-$release-node.tar
collections=$cache/tools/ansible-collections
nodes=(control-plane worker)
upgraded=1.34.99

say() { printf 'ansible_chroot: %s\n' "$*" >&2; }

fail() {
	say "$*"
	exit 1
}

installed() {
	[ "$(id -u)" = 0 ] && [ -s "$base" ] && [ -d "$collections/ansible_collections/community/general" ] &&
		[ -x "$envs/ansible/bin/ansible-playbook" ]
}

install_debian() {
	[ ! -s "$base" ] || return 0
	if ! command -v mmdebstrap >/dev/null 2>&1; then
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null ||
			fail "mmdebstrap is not there; on Debian: apt-get install mmdebstrap"
	fi
	say "making a Debian $release (two minutes, once)"
	mkdir -p "$(dirname "$base")"
	mmdebstrap --mode=root --variant=apt --include=python3,ca-certificates,iproute2,systemd,systemd-sysv \
		--aptopt='Acquire::Languages "none"' --quiet "$release" "$base.part.tar" ||
		fail "a Debian $release cannot be made here"
	mv "$base.part.tar" "$base"
}

install() {
	[ "$(id -u)" = 0 ] || fail "wants root, to change roots"
	sh "$repository/scripts/envs.sh" ansible
	bash "$here/ansible_collections.sh" >/dev/null
	install_debian
}

# make_node NAME: a fresh root that has network and starts nothing.
make_node() {
	local root=$work/roots/$1
	mkdir -p "$root"
	tar -xf "$base" -C "$root" --numeric-owner
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	# Thrown away afterwards: nothing has to reach the disk.
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/chroot"
	mount -t proc proc "$root/proc"
	truncate --size 64M "$root/data.img"
	# The stand-in for the API server sees which kubelet each node has.
	mkdir -p "$root/var/lib/standin" "$work/state/roots/$1"
	mount --bind "$root/usr/local" "$work/state/roots/$1"
}

write_inventory() {
	cat <<-EOT
		all:
		  vars:
		    ansible_connection: community.general.chroot
		    ansible_python_interpreter: /usr/bin/python3
		    ansible_become: false
		    control_plane_address: 10.10.0.10
		    api_public_address: 198.51.100.10
		  children:
		    control_plane:
		      hosts:
		        control-plane: {ansible_host: $work/roots/control-plane, node_ip: 10.10.0.10}
		    workers:
		      hosts:
		        worker: {ansible_host: $work/roots/worker, node_ip: 10.10.0.11}
	EOT
}

# play LOG FILE OPTIONS...: with its seconds.
play() {
	local log=$1 file=$2 from=$SECONDS
	shift 2
	"$envs/ansible/bin/ansible-playbook" -i "$work/inventory.yml" "$file" -e "@$work/vars.json" -e "checkout_revision=$revision" "$@" >"$out/$log.log" 2>&1 || {
		tail -n 40 "$out/$log.log" >&2
		fail "$file failed"
	}
	say "$log: $((SECONDS - from)) s, $(grep -c ' changed=0 ' "$out/$log.log" || true) of $(grep -c ' changed=' "$out/$log.log") nodes unchanged"
}

# keep NAME: of a node's root what tests read.
keep() {
	mkdir -p "$out/nodes/$1"
	tar -C "$work/roots/$1" -cf - etc opt/cni opt/tickloop srv usr/local var/lib/tickloop-images 2>/dev/null |
		tar -C "$out/nodes/$1" -xf - || true
}

# Inside of name spaces of its own: whatever happens, no mount and no process is left.
run_inside() {
	local node
	mount --make-rprivate /
	mkdir -p "$work/state/roots" "$work/roots"
	for node in "${nodes[@]}"; do make_node "$node"; done
	for node in "${nodes[@]}"; do mount --rbind "$work/state" "$work/roots/$node/var/lib/standin"; done
	python3 "$here/ansible_standins.py" "$work" "$repository/deploy/cluster.yaml" "$upgraded" &
	until [ -s "$work/vars.json" ]; do
		kill -0 $! 2>/dev/null || fail "the stand-ins do not start"
		sleep 0.1
	done
	write_inventory >"$work/inventory.yml"
	export ANSIBLE_COLLECTIONS_PATH=$collections ANSIBLE_NOCOLOR=1 ANSIBLE_HOME=$work/ansible
	# Of the beginning: somebody may commit meanwhile, and then the second run would rightly bring that.
	revision=$(git -C "$repository" rev-parse HEAD)
	cd "$repository/deploy/ansible"
	play first site.yml
	# As the kubelet does for a pod of PostgreSQL: a second run must leave it.
	chgrp 999 "$work/roots/control-plane/srv/tickloop/postgres"
	play second site.yml
	for node in "${nodes[@]}"; do keep "$node"; done
	play upgrade upgrade.yml -e "kubernetes_version=$upgraded"
	play upgraded upgrade.yml -e "kubernetes_version=$upgraded"
	cp "$work/state/calls" "$out/calls"
	for node in "${nodes[@]}"; do readlink "$work/state/roots/$node/bin/kubelet"; done >"$out/kubelets"
	cp "$work/kubeconfig" "$out/kubeconfig"
}

run() {
	installed || fail "not installed: bash scripts/deploy/ansible_chroot.sh install"
	mkdir -p "$1"
	out=$(cd "$1" && pwd)
	work=$(mktemp -d)
	trap 'rm -rf --one-file-system "$work"' EXIT
	out=$out work=$work unshare --mount --pid --fork --kill-child --mount-proc bash "${BASH_SOURCE[0]}" inside
}

case ${1:-} in
install) install ;;
installed) installed ;;
run) run "$2" ;;
inside) run_inside ;;
*) fail "valid: install, installed, run FOLDER" ;;
esac
