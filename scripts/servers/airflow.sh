#!/bin/sh
# `airflow standalone` with our DAGs: see lib.sh for what can be asked of this script.
# TICKLOOP_HOME (or the other TICKLOOP_* settings) says which home its tasks work on. Everybody who reaches the port is
# its administrator: loopback only. With TICKLOOP_TEST_POSTGRES its metadata lies in a database of its own there.
# FOLDER/variables holds its environment, for `airflow` commands beside it; DAGs are paused until they are unpaused.
. "$(dirname "$0")/lib.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
env=${TICKLOOP_ENVS:-${XDG_CACHE_HOME:-$HOME/.cache}/tickloop/envs}/airflow
python=$env/bin/python

install() { sh "$root/scripts/airflow_env.sh" >/dev/null || fail "Airflow cannot be installed here: see above"; }

is_installed() { [ -e "$env/key.txt" ] && cmp -s "$root/constraints-airflow.txt" "$env/pins.txt"; }

# database FOLDER: print the address of the metadata database, made on first use.
database() {
	if [ -z "${TICKLOOP_TEST_POSTGRES:-}" ]; then
		printf 'sqlite:///%s/airflow.db\n' "$1"
		return
	fi
	"$python" - "$TICKLOOP_TEST_POSTGRES" "$1" <<-'END'
		import hashlib, sys
		import psycopg
		server, folder = sys.argv[1:]
		name = "airflow_" + hashlib.sha256(folder.encode()).hexdigest()[:12]
		with psycopg.connect(server + "/postgres", autocommit=True) as connection:
		    if not connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
		        connection.execute(f'create database "{name}"')
		print(server.replace("postgresql://", "postgresql+psycopg://") + "/" + name)
	END
}

# Of its own it would ask for asyncpg, a second driver.
asynchronous() { printf '%s\n' "$1" | sed 's/^sqlite:/sqlite+aiosqlite:/; s/+psycopg:/+psycopg_async:/'; }

secret() { "$python" -c 'import secrets; print(secrets.token_urlsafe(64))'; }

# variables FOLDER PORT: the environment of this Airflow, one NAME=VALUE a line.
variables() {
	database=$(database "$1")
	cat <<-END
		AIRFLOW_HOME=$1
		AIRFLOW__API__HOST=127.0.0.1
		AIRFLOW__API__PORT=$2
		AIRFLOW__API__WORKERS=1
		AIRFLOW__API__SECRET_KEY=$(secret)
		AIRFLOW__API_AUTH__JWT_SECRET=$(secret)
		AIRFLOW__CORE__DAGS_FOLDER=$root/src/tickloop/entrypoints/dags
		AIRFLOW__CORE__EXECUTION_API_SERVER_URL=http://127.0.0.1:$2/execution/
		AIRFLOW__CORE__EXECUTOR=LocalExecutor
		AIRFLOW__CORE__LOAD_EXAMPLES=False
		AIRFLOW__CORE__PARALLELISM=2
		AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True
		AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=$database
		AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=$(asynchronous "$database")
		AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC=1
		PYTHONPATH=$root/src
	END
}

is_healthy() {
	"$python" - "$1" <<-'END'
		import json, sys, urllib.request
		with urllib.request.urlopen(sys.argv[1] + "/api/v2/monitor/health", timeout=2) as answer:
		    parts = json.load(answer)
		sys.exit(not all(parts[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor")))
	END
}

run() {
	mkdir -p "$1"
	folder=$(cd "$1" && pwd)
	port=${2:-0}
	[ "$port" != 0 ] || port=$(free_port)
	is_installed || fail "not installed: sh scripts/servers/airflow.sh install"
	rm -f "$folder/address"
	(umask 077 && variables "$folder" "$port" >"$folder/variables")
	for name in $(env_names); do unset "$name"; done
	while IFS= read -r line; do export "${line?}"; done <"$folder/variables"
	PATH=$env/bin:$PATH setpriv --pdeathsig TERM "$python" "$root/scripts/servers/airflow/keeper.py" \
		"$python" -m airflow standalone &
	pid=$!
	until_healthy 170 "$pid" is_healthy "http://127.0.0.1:$port"
	publish "$folder" "http://127.0.0.1:$port"
	serve "$pid"
}

env_names() { "$python" -c 'import os; print(*(name for name in os.environ if name.startswith("AIRFLOW")))'; }

case ${1:-} in
install) install ;;
installed) is_installed ;;
run) run "$2" "${3:-0}" ;;
*) fail "usage: airflow.sh install | installed | run FOLDER [PORT]" ;;
esac
