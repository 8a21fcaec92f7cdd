#!/bin/sh
# The API server of Kubernetes with its etcd, both real and built from Go modules; no nodes, nothing is run by it.
# See lib.sh for the commands. One more: `sh kubernetes.sh path` prints the folder of the programs, which are
# kube-apiserver, etcd, kubectl (with kustomize in it) and kubeadm, of the version that deploy/cluster.yaml names.
# FOLDER/kubeconfig is the administrator's once FOLDER/address is there.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

version=$(sed -n 's/^kubernetes_version: *//p' "$here/../../deploy/cluster.yaml")
service_cidr=$(sed -n 's/^service_cidr: *//p' "$here/../../deploy/cluster.yaml")
home=$cache/kubernetes-$version
module=k8s.io/kubernetes
programs="kube-apiserver etcd kubectl kubeadm"

is_installed() {
	for program in $programs; do [ -x "$home/$program" ] || return 1; done
}

# write_module FOLDER: `go install` takes no module with replacements, so one of our own repeats those that point into
# Kubernetes' own tree, by the version under which each part is published.
write_module() {
	go mod download "$module@v$version" || fail "the module $module v$version cannot be fetched"
	parts=$(sed -n 's/^[[:space:]]*\(k8s\.io\/[a-z0-9-]*\) => \.\/staging\/.*/\1/p' \
		"$(go env GOMODCACHE)/cache/download/$module/@v/v$version.mod")
	[ -n "$parts" ] || fail "the module $module v$version lists no parts of its own"
	{
		printf 'module servers\n\ngo 1.24.0\n\nrequire %s v%s\n\nreplace (\n' "$module" "$version"
		for piece in $parts; do printf '\t%s => %s v0.%s\n' "$piece" "$piece" "${version#*.}"; done
		printf ')\n'
	} >"$1/go.mod"
	printf '%s\n\nimport (\n' '//go:build tools

package tools' >"$1/tools.go"
	for program in $programs; do printf '\t_ "%s"\n' "$(package_of "$program")" >>"$1/tools.go"; done
	printf ')\n' >>"$1/tools.go"
}

# package_of PROGRAM: etcd comes at the version that the API server was tested with, as its dependency.
package_of() {
	case $1 in
	etcd) echo go.etcd.io/etcd/server/v3 ;;
	*) echo "$module/cmd/$1" ;;
	esac
}

install() {
	is_installed && return
	command -v go >/dev/null 2>&1 || PATH=$PATH:/usr/local/go/bin
	command -v go >/dev/null 2>&1 || fail "go is not there; install Go 1.24 or newer (golang.org/dl)"
	command -v openssl >/dev/null 2>&1 || fail "openssl is not there; on Debian: apt-get install openssl"
	mkdir -p "$home"
	part=$(mktemp -d "$home/build.XXXXXX")
	trap 'rm -rf "$part"' EXIT
	write_module "$part"
	cd "$part"
	minor=${version#*.}
	stamp="-X k8s.io/component-base/version.gitVersion=v$version -X k8s.io/component-base/version.gitMajor=1"
	stamp="$stamp -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
	for program in $programs; do
		[ ! -x "$home/$program" ] || continue
		say "building $program $version (two cores: six minutes for all, once)"
		CGO_ENABLED=0 GOFLAGS=-mod=mod nice -n "${TICKLOOP_BUILD_NICE:-0}" go build -trimpath -buildvcs=false \
			-ldflags "-s -w $stamp" -o "$part/$program" "$(package_of "$program")" ||
			fail "$program $version cannot be built here"
		mv "$part/$program" "$home/$program"
	done
}

# certificates FOLDER: an authority of this run, the server's certificate and the administrator's.
certificates() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout "$1/ca.key" -out "$1/ca.crt" 2>/dev/null
	signed "$1" server /CN=kube-apiserver "subjectAltName=IP:127.0.0.1,DNS:localhost"
	signed "$1" admin /O=system:masters/CN=admin "extendedKeyUsage=clientAuth"
	openssl genrsa -out "$1/tokens.key" 2048 2>/dev/null
}

# signed FOLDER NAME SUBJECT EXTENSION
signed() {
	printf '%s\n' "$4" >"$1/$2.ext"
	openssl req -newkey rsa:2048 -nodes -subj "$3" -keyout "$1/$2.key" -out "$1/$2.csr" 2>/dev/null
	openssl x509 -req -in "$1/$2.csr" -CA "$1/ca.crt" -CAkey "$1/ca.key" -CAcreateserial -days 2 \
		-extfile "$1/$2.ext" -out "$1/$2.crt" 2>/dev/null
}

write_kubeconfig() {
	cat >"$1/kubeconfig" <<-END
		apiVersion: v1
		kind: Config
		current-context: test
		contexts: [{name: test, context: {cluster: test, user: admin}}]
		clusters: [{name: test, cluster: {server: "https://127.0.0.1:$2", certificate-authority: $1/ca.crt}}]
		users: [{name: admin, user: {client-certificate: $1/admin.crt, client-key: $1/admin.key}}]
	END
	chmod 600 "$1/kubeconfig"
}

run() {
	folder=$(cd "$1" && pwd)
	port=${2:-0}
	[ "$port" != 0 ] || port=$(free_port)
	is_installed || fail "not installed: sh scripts/servers/kubernetes.sh install"
	rm -f "$folder/address"
	certificates "$folder"
	etcd_port=$(free_port)
	peer_port=$(free_port)
	setpriv --pdeathsig KILL "$home/etcd" --data-dir "$folder/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" \
		--advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$peer_port" \
		--initial-advertise-peer-urls "http://127.0.0.1:$peer_port" --initial-cluster "default=http://127.0.0.1:$peer_port" \
		--unsafe-no-fsync --log-level warn >"$folder/etcd.log" 2>&1 &
	setpriv --pdeathsig KILL "$home/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd_port" \
		--bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$port" \
		--tls-cert-file "$folder/server.crt" --tls-private-key-file "$folder/server.key" --client-ca-file "$folder/ca.crt" \
		--service-account-issuer https://kubernetes.default.svc --service-account-key-file "$folder/tokens.key" \
		--service-account-signing-key-file "$folder/tokens.key" --authorization-mode RBAC \
		--service-cluster-ip-range "$service_cidr" --disable-admission-plugins ServiceAccount \
		>"$folder/kube-apiserver.log" 2>&1 &
	pid=$!
	write_kubeconfig "$folder" "$port"
	until_healthy 120 "$pid" "$home/kubectl" --kubeconfig "$folder/kubeconfig" get --raw /readyz
	publish "$folder" "https://127.0.0.1:$port"
	serve "$pid"
}

case ${1:-} in
install) install ;;
installed) is_installed ;;
path) printf '%s\n' "$home" ;;
run) run "$2" "${3:-0}" ;;
*) fail "usage: kubernetes.sh install | installed | path | run FOLDER [PORT]" ;;
esac
