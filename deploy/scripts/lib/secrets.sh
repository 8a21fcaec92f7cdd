# shellcheck shell=bash
# Passwords, keys and certificates: made once, kept below static/secrets for the owner's eyes alone, and given to the
# cluster as Secrets. `values` holds one made value a file, `k8s` what the Secrets hold, written anew from it each time.

secrets=$static/secrets
values=$secrets/values
certificates=$secrets/certificates
rendered=$secrets/k8s

# What `start.sh --rotate` takes.
rotatable=(postgres-admin postgres-tickloop postgres-mlflow postgres-airflow s3-root s3-tickloop s3-mlflow
	opensearch-admin opensearch-tickloop opensearch-reader opensearch-dashboards dashboards-cookie
	api-token airflow-admin airflow-api airflow-jwt airflow-fernet grafana-admin certificates)

# keep FILE COMMAND...: its output, unless the file is there.
keep() {
	local file=$1
	shift
	[ -s "$file" ] || { "$@" >"$file.part" && mv "$file.part" "$file"; }
}

random_hex() { openssl rand -hex "$1" | tr -d '\n'; }

# Fernet's form: 32 bytes, base64 for addresses.
random_fernet() { openssl rand -base64 32 | tr '+/' '-_' | tr -d '\n'; }

# OpenSearch refuses a password of its administrator without capitals and signs.
random_strong() { printf 'Tl-%s' "$(random_hex 20)"; }

make_value() {
	case $1 in
	airflow-fernet) keep "$values/$1" random_fernet ;;
	airflow-jwt | airflow-api) keep "$values/$1" random_hex 64 ;;
	opensearch-*) keep "$values/$1" random_strong ;;
	certificates) make_certificates ;;
	*) keep "$values/$1" random_hex 24 ;;
	esac
}

value() { cat "$values/$1"; }

# make_certificates: an authority of our own, and what the stores show; renewed 60 days before they end.
make_certificates() {
	local name
	if [ ! -s "$certificates/ca.key" ] || [ ! -s "$certificates/ca.pem" ]; then
		openssl ecparam -genkey -name prime256v1 -noout -out "$certificates/ca.key" 2>/dev/null
		openssl req -x509 -new -key "$certificates/ca.key" -days 3650 -subj "/CN=$(cluster namespace)-ca" \
			-addext 'basicConstraints=critical,CA:TRUE' -out "$certificates/ca.pem" 2>/dev/null
		rm -f "$certificates"/*.crt
	fi
	# The last is no server: OpenSearch takes who shows it for its administrator.
	for name in postgres opensearch opensearch-admin; do
		openssl x509 -checkend 5184000 -noout -in "$certificates/$name.crt" >/dev/null 2>&1 || make_certificate "$name"
	done
}

# make_certificate NAME
make_certificate() {
	local base=$certificates/$1 inside
	inside=$1.$(cluster namespace)
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$base.key" 2>/dev/null # PKCS 8, which Java wants
	openssl req -new -key "$base.key" -subj "/CN=$1" -out "$base.csr" 2>/dev/null
	printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n' \
		"DNS:$1,DNS:$inside,DNS:$inside.svc,DNS:$inside.svc.$(cluster dns_domain),DNS:localhost,IP:127.0.0.1" >"$base.ext"
	openssl x509 -req -in "$base.csr" -CA "$certificates/ca.pem" -CAkey "$certificates/ca.key" -set_serial "0x$(random_hex 8)" \
		-days 825 -extfile "$base.ext" -out "$base.crt.part" 2>/dev/null
	mv "$base.crt.part" "$base.crt"
	rm -f "$base.csr" "$base.ext"
}

# put SECRET KEY VALUE: one key of a Secret, without an end of line.
put() {
	mkdir -p "$rendered/$1"
	printf '%s' "$3" >"$rendered/$1/$2"
}

render_stores() {
	put tickloop-stores TICKLOOP_POSTGRES__PASSWORD "$(value postgres-tickloop)"
	put tickloop-stores TICKLOOP_S3__ACCESS_KEY tickloop
	put tickloop-stores TICKLOOP_S3__SECRET_KEY "$(value s3-tickloop)"
	put tickloop-stores TICKLOOP_OPENSEARCH__USER tickloop
	put tickloop-stores TICKLOOP_OPENSEARCH__PASSWORD "$(value opensearch-tickloop)"
	put postgres-admin POSTGRES_PASSWORD "$(value postgres-admin)"
	put postgres-admin passwords.toml "$(
		for name in tickloop mlflow airflow; do printf '%s = "%s"\n' "$name" "$(value "postgres-$name")"; done
	)"
	put s3-root ROOT_ACCESS_KEY root
	put s3-root ROOT_SECRET_KEY "$(value s3-root)"
	put opensearch-admin OPENSEARCH_INITIAL_ADMIN_PASSWORD "$(value opensearch-admin)"
	put opensearch-admin DASHBOARDS_PASSWORD "$(value opensearch-dashboards)"
	put opensearch-admin READER_PASSWORD "$(value opensearch-reader)"
	put opensearch-admin COOKIE_PASSWORD "$(value dashboards-cookie)"
}

render_services() {
	local database tls='sslmode=verify-full&sslrootcert=/etc/tickloop/ca.pem'
	database="airflow:$(value postgres-airflow)@postgres/airflow?$tls"
	put tickloop-api TICKLOOP_SERVE__TOKEN "$(value api-token)"
	put airflow-secrets AIRFLOW__DATABASE__SQL_ALCHEMY_CONN "postgresql+psycopg://$database"
	put airflow-secrets AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC "postgresql+psycopg_async://$database"
	put airflow-secrets AIRFLOW__CORE__FERNET_KEY "$(value airflow-fernet)"
	put airflow-secrets AIRFLOW__API__SECRET_KEY "$(value airflow-api)"
	put airflow-secrets AIRFLOW__API_AUTH__JWT_SECRET "$(value airflow-jwt)"
	put mlflow-secrets MLFLOW_BACKEND_STORE_URI "postgresql+psycopg://mlflow:$(value postgres-mlflow)@postgres/mlflow?$tls"
	put mlflow-secrets AWS_ACCESS_KEY_ID mlflow
	put mlflow-secrets AWS_SECRET_ACCESS_KEY "$(value s3-mlflow)"
	put airflow-admin ADMIN_PASSWORD "$(value airflow-admin)"
	put grafana-admin GF_SECURITY_ADMIN_USER admin
	put grafana-admin GF_SECURITY_ADMIN_PASSWORD "$(value grafana-admin)"
}

render_certificates() {
	local name
	put tickloop-ca ca.pem "$(cat "$certificates/ca.pem")"
	for name in postgres opensearch; do
		put "$name-tls" tls.crt "$(cat "$certificates/$name.crt")"
		put "$name-tls" tls.key "$(cat "$certificates/$name.key")"
	done
	put opensearch-tls admin.crt "$(cat "$certificates/opensearch-admin.crt")"
	put opensearch-tls admin.key "$(cat "$certificates/opensearch-admin.key")"
}

# The exchange's keys are a person's own: two files, for live trading alone. The bot is the only one that is given them.
render_exchange_keys() {
	local name
	[ -d "$static/exchange-keys" ] || return 0
	for name in access_key secret_key; do
		[ -s "$static/exchange-keys/$name" ] ||
			fail "$(shown "$static/exchange-keys/$name") is missing" "write the key into it, or remove the folder: paper trading needs none"
	done
	put exchange-keys TICKLOOP_EXCHANGE__ACCESS_KEY "$(tr -d '[:space:]' <"$static/exchange-keys/access_key")"
	put exchange-keys TICKLOOP_EXCHANGE__SECRET_KEY "$(tr -d '[:space:]' <"$static/exchange-keys/secret_key")"
}

make_secrets() {
	local name
	umask 077
	mkdir -p "$values" "$certificates"
	chmod 700 "$secrets" "$values" "$certificates"
	for name in "${rotatable[@]}"; do make_value "$name"; done
	rm -rf "$rendered"
	mkdir -p "$rendered"
	render_stores
	render_services
	render_certificates
	render_exchange_keys
	umask 022
}

# apply_secret NAME: no value on a command line, and none in an annotation, as client-side apply would leave it.
apply_secret() {
	kubectl create secret generic "$1" --namespace "$(cluster namespace)" --from-file="$rendered/$1" --dry-run=client -o yaml |
		kubectl apply --server-side --force-conflicts --field-manager=start.sh -f - >/dev/null
}

apply_secrets() {
	local folder
	for folder in "$rendered"/*/; do apply_secret "$(basename "$folder")"; done
}

step_secrets() {
	if [ "$dry" = 1 ]; then
		printf '  + make what is missing in %s, of mode 600\n' "$(shown "$values")"
		printf '  + apply it as Secrets to namespace %s\n' "$(cluster namespace)"
		return
	fi
	make_secrets
	build_manifests
	apply_parts namespace
	apply_secrets
	say "secrets: $(find "$rendered" -type f | wc -l | tr -d ' ') values in $(find "$rendered" -mindepth 1 -type d | wc -l | tr -d ' ') Secrets"
}

# rotate NAME: a new value, everywhere. Interrupted, it is begun again with the same new value.
rotate() {
	local name=$1 before=$run_folder/rendered-before secret changed=()
	printf '%s\n' "${rotatable[@]}" | grep -qx -- "$name" || fail "$name is no secret that can be rotated" "valid: ${rotatable[*]}"
	[ -d "$values" ] || fail "no secrets were made yet" "./start.sh --only secrets"
	if [ ! -e "$run_folder/rotating-$name" ]; then
		forget_value "$name"
		rm -rf "$before" && cp -R "$rendered" "$before"
		touch "$run_folder/rotating-$name"
	fi
	make_secrets
	for secret in "$rendered"/*/; do
		secret=$(basename "$secret")
		diff -rq "$before/$secret" "$rendered/$secret" >/dev/null 2>&1 || changed+=("$secret")
	done
	[ "${#changed[@]}" -gt 0 ] || fail "nothing would change" "remove $(shown "$run_folder/rotating-$name") and try again"
	say "$name is new in: ${changed[*]}"
	build_manifests
	for secret in "${changed[@]}"; do apply_secret "$secret"; done
	tell_store "$name"
	restart_readers "${changed[@]}"
	rm -rf "$run_folder/rotating-$name" "$before"
	say "$name was rotated"
}

# forget_value NAME: so that another one is made; the old one is kept beside it until the next rotation.
forget_value() {
	if [ "$1" = certificates ]; then
		rm -f "$certificates"/*
	else
		mkdir -p "$secrets/before" && chmod 700 "$secrets/before"
		[ ! -e "$values/$1" ] || mv "$values/$1" "$secrets/before/$1"
	fi
}

# tell_store NAME: stores that keep passwords themselves are told before those who use them are.
tell_store() {
	case $1 in
	postgres-admin)
		printf "ALTER ROLE postgres PASSWORD '%s';\n" "$(value postgres-admin)" |
			kubectl -n "$(cluster namespace)" exec -i statefulset/postgres -- psql -q -U postgres -v ON_ERROR_STOP=1
		;;
	postgres-*) run_job_again postgres-setup ;;
	s3-tickloop | s3-mlflow) run_job_again s3-setup ;;
	opensearch-*) run_job_again opensearch-setup ;;
	esac
}

# restart_readers SECRET...: whatever names one of them is started anew, stores first, each as its strategy says.
restart_readers() {
	local reader names
	names=$(printf '%s|' "$@")
	for reader in $(workloads); do
		if kubectl -n "$(cluster namespace)" get "$reader" -o yaml | grep -Eq "(name|secretName): (${names%|})\$"; then
			say "restarting $reader"
			kubectl -n "$(cluster namespace)" rollout restart "$reader" >/dev/null
			wait_for "$reader" 600 rolled_out "$reader"
		fi
	done
}

workloads() { kubectl -n "$(cluster namespace)" get statefulsets,deployments,daemonsets -o name; }
