#!/usr/bin/env bash
# Check deploy/images: what the files promise; then the images of the app and of Airflow, built for real over a stand-in
# for the base (standin.sh) and run as their own user with a read-only root. As root, with buildah, crun and mmdebstrap,
# which are installed with TICKLOOP_TEST_REQUIRE_SERVERS=1 where they are not.
# TICKLOOP_IMAGES: which are built, `app airflow` when not set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
repository=$(cd ../.. && pwd)
strict=${TICKLOOP_TEST_REQUIRE_SERVERS:-0}
built=${TICKLOOP_IMAGES:-app airflow}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

say() { printf 'images: %s\n' "$*"; }

# not_run WHAT REMEDY: left out; a failure where everything is asked for.
not_run() {
	say "not run: $1; $2"
	[ "$strict" != 1 ] || failed=1
}

# part NAME COMMAND...: its output only when it fails, and its seconds.
part() {
	local name=$1 from=$SECONDS
	shift
	if "$@" >"$work/output" 2>&1; then
		say "$name: ok, $((SECONDS - from)) s"
	else
		tail -n 60 "$work/output"
		say "$name: FAILED, $((SECONDS - from)) s"
		failed=1
		return 1
	fi
}

tools() {
	command -v buildah >/dev/null 2>&1 && command -v mmdebstrap >/dev/null 2>&1 && command -v crun >/dev/null 2>&1
}

install_tools() {
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah crun mmdebstrap
}

# size_of IMAGE: unpacked.
size_of() { buildah images --format '{{.Size}}' "$1" | head -n 1; }

# own_storage: images of these checks lie in the cache, apart from those of whoever uses this machine.
own_storage() {
	local cache=${TICKLOOP_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/servers}/images
	mkdir -p "$cache/storage"
	printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$cache/storage" "$work/run" >"$work/storage.conf"
	export CONTAINERS_STORAGE_CONF=$work/storage.conf BUILDAH_ISOLATION=chroot STORAGE_DRIVER=overlay
}

# FOLDERS: what a cluster mounts as volumes.
run_in() {
	FOLDERS=$2 bash run.sh "localhost/tickloop/$1:check" tini -- python -c "$(cat smoke.py)" "$1"
}

check_image() {
	local folders=
	case $1 in
	app) folders="/var/lib/tickloop /var/cache/tickloop" ;;
	airflow) folders="/var/lib/tickloop /var/cache/tickloop /var/lib/airflow /var/log/airflow" ;;
	esac
	part "building $1" env IMAGE_TAG=check REGISTRY='' CONTAINER_TOOL=buildah TICKLOOP_STANDIN=1 nice -n 10 bash build.sh "$1" || return 0
	if part "running $1 as its own user, its root read-only" run_in "$1" "$folders"; then
		sed 's/^/    /' "$work/output" | grep -v '^    {' | cut -c 1-160
	fi
	say "size of $1 over the stand-in: $(size_of "localhost/tickloop/$1:check")"
}

if command -v shellcheck >/dev/null 2>&1; then
	part "shellcheck" env -C "$repository" sh -c "shellcheck deploy/images/*.sh" || true
else
	not_run "shellcheck" "install it (Debian: apt-get install shellcheck)"
fi
if [ -x "$repository/.venv/bin/python" ]; then
	part "promises and bill" env -C "$repository" .venv/bin/python -m pytest -q -p no:cacheprovider tests/deploy/test_deploy_images.py || true
else
	not_run "promises and bill" "make .venv/.test"
fi

own_storage
if [ "$(id -u)" = 0 ] && ! tools && [ "$strict" = 1 ]; then part "installing buildah, crun, mmdebstrap" install_tools || true; fi
if [ "$(id -u)" = 0 ] && tools; then
	if part "stand-in for the base" bash standin.sh "$(sed -n 's/^python \([^ ]*\) .*/\1/p' pins.txt)"; then
		for name in $built; do check_image "$name"; done
		# What went before, and what only the build needed; wheels stay in buildah's cache.
		buildah rmi --prune --force >/dev/null 2>&1 || true
	fi
else
	not_run "building the images" "as root, with apt-get install buildah crun mmdebstrap"
fi
# Not even with everything asked for: it depends on registries that are not in reach.
say "not run: building fluentd; gems and the base with Ruby come from registries that a test machine does not reach"
[ -n "${built##*mlflow*}" ] && say "not run: building mlflow; TICKLOOP_IMAGES='app airflow mlflow' does it too"
exit "$failed"
