#!/usr/bin/env bash
# OpenTofu for check.sh: `install` builds it by Go into the cache, once; `path` prints where it is; `installed` asks.
set -euo pipefail
version=v1.12.6
folder=${TICKLOOP_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/tools}/tofu-$version

where() {
	if [ -x "$folder/tofu" ]; then
		echo "$folder/tofu"
	else
		command -v tofu
	fi
}

# hcl_replacement FILE: the line by which OpenTofu uses its own copy of a library; only the main module's lines count.
hcl_replacement() { grep '^replace ' "$1"; }

build() {
	local work info
	command -v go >/dev/null 2>&1 || { echo "tofu.sh: go is not on the path; valid: Go 1.26 or newer, or OpenTofu itself on the path" >&2 && return 1; }
	work=$(mktemp -d)
	info=$(cd "$work" && go mod download -json "github.com/opentofu/opentofu@$version")
	{
		echo "module tools"
		grep '^go ' "$(field GoMod "$info")"
		echo "require github.com/opentofu/opentofu $version"
		hcl_replacement "$(field GoMod "$info")"
	} >"$work/go.mod"
	cp "$(field Dir "$info")/go.sum" "$work/go.sum"
	(
		cd "$work"
		GOFLAGS=-mod=mod CGO_ENABLED=0 nice -n 10 go build -trimpath \
			-ldflags "-s -w -X github.com/opentofu/opentofu/version.dev=no" -o tofu github.com/opentofu/opentofu/cmd/tofu
	)
	mkdir -p "$folder"
	mv "$work/tofu" "$folder/tofu.part" && mv "$folder/tofu.part" "$folder/tofu"
	rm -rf "$work"
}

# field NAME JSON: of what `go mod download -json` prints.
field() { printf '%s\n' "$2" | sed -n "s/^[[:space:]]*\"$1\": \"\\(.*\\)\",\\{0,1\\}\$/\\1/p"; }

case ${1:-} in
install) where >/dev/null || build ;;
installed) where >/dev/null ;;
path) where ;;
*)
	echo "use: tofu.sh install | installed | path" >&2
	exit 2
	;;
esac
