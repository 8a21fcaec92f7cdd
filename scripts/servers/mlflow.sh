#!/bin/sh
# MLflow's own server, artifacts proxied: see lib.sh for what can be asked of this script.
# With TICKLOOP_TEST_POSTGRES its records lie in a database of its own there, with TICKLOOP_TEST_S3 its files in a bucket
# of its own; without them in FOLDER. So `with.sh postgres s3 mlflow -- COMMAND` gives the cluster's.
# TICKLOOP_MLFLOW_USER and TICKLOOP_MLFLOW_PASSWORD (12 characters or more): it asks for user and password, these.
# It takes requests for 127.0.0.1:PORT only, by any other name (localhost too) they are refused.
. "$(dirname "$0")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
env=${TICKLOOP_ENVS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/envs}/mlflow
python=$env/bin/python

install() {
	sh "$here/../envs.sh" mlflow || fail "mlflow cannot be installed here: see above"
}

is_installed() { [ -x "$python" ] && cmp -s "$here/../../tests/envs/mlflow.txt" "$env/pins.txt"; }

# MLflow starts its web server as a child; that one must not stay when its parent is killed.
guarded_python() {
	printf '#!/bin/sh\nexec setpriv --pdeathsig KILL "%s" "$@"\n' "$python" >"$1/python"
	chmod +x "$1/python"
}

run() {
	folder=$(cd "$1" && pwd)
	port=${2:-0}
	[ "$port" != 0 ] || port=$(free_port)
	is_installed || fail "not installed: sh scripts/servers/mlflow.sh install"
	rm -f "$folder/address"
	guarded_python "$folder"
	# Records, files, credentials of S3, basic authentication: as exports.
	eval "$("$python" "$here/mlflow/prepare.py" "$folder")"
	# shellcheck disable=SC2154 # records, files and app come by the eval
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		setpriv --pdeathsig KILL "$python" -c \
		'import sys; sys.executable = sys.argv.pop(1); from mlflow.cli import cli; cli()' "$folder/python" \
		server --host 127.0.0.1 --port "$port" --workers 1 \
		--backend-store-uri "$records" --serve-artifacts --artifacts-destination "$files" \
		--allowed-hosts "127.0.0.1:$port" $app &
	pid=$!
	until_healthy 150 "$pid" "$python" -c \
		'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=1)' "http://127.0.0.1:$port/health"
	publish "$folder" "http://127.0.0.1:$port"
	serve "$pid"
}

case ${1:-} in
install) install ;;
installed) is_installed ;;
run) run "$2" "${3:-0}" ;;
*) fail "usage: mlflow.sh install | installed | run FOLDER [PORT]" ;;
esac
