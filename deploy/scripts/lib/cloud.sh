# shellcheck shell=bash
# Machines at Google, by Terraform.

addresses=$run_folder/addresses
inventory=$static/inventory.yaml

terraform_tool() {
	local tool
	for tool in ${TERRAFORM:-terraform tofu}; do
		if has "$tool"; then
			printf '%s' "$tool"
			return
		fi
	done
}

tf() { run "$(terraform_tool)" -chdir="$deploy/terraform" "$@"; }

# know_admin_cidr: who may come by ssh and to the API server, into `cidr`: as set, or this machine as the internet sees it.
know_admin_cidr() {
	cidr=${cidr:-${ADMIN_CIDR:-$(tfvar admin_cidr)}}
	[ -z "$cidr" ] || return 0
	if [ "$dry" = 1 ]; then
		cidr=YOUR_ADDRESS/32
		return
	fi
	cidr=$(curl -4 -fsS --max-time 20 "${ADDRESS_URL:-https://checkip.amazonaws.com}" | tr -d '[:space:]') || cidr=
	printf '%s' "$cidr" | grep -Eqx '([0-9]{1,3}\.){3}[0-9]{1,3}' ||
		fail "your address could not be found out" "set it: ADMIN_CIDR=203.0.113.7/32 ./start.sh"
	cidr=$cidr/32
}

# init_terraform: with the state beside the code, or in a bucket by STATE_BUCKET, which is remembered.
init_terraform() {
	local override=$deploy/terraform/backend_override.tf
	if [ -n "${STATE_BUCKET:-}" ]; then
		run_into "$override" printf 'terraform {\n  backend "gcs" {\n    bucket      = "%s"\n    prefix      = "%s"\n    credentials = "%s"\n  }\n}\n' \
			"$STATE_BUCKET" "$(cluster cluster_name)" "$static/$(tfvar credentials_file credentials.json)"
	fi
	tf init -input=false
}

inputs_of_terraform() {
	printf '%s %s %s' "$cidr" "${STATE_BUCKET:-}" \
		"$(digest_of "$deploy/terraform" "$deploy/cluster.yaml" "$static/$(tfvar my_ssh_key)")" | digest
}

step_terraform() {
	local changes=0
	say "ssh and kubectl are let in from $cidr"
	init_terraform
	if [ "$dry" = 1 ]; then
		tf plan -input=false -var "admin_cidr=$cidr" -out="$run_folder/plan"
		printf '  ? shows what will be made and what a month costs, and asks unless --yes is given\n'
	else
		tf plan -input=false -detailed-exitcode -var "admin_cidr=$cidr" -out="$run_folder/plan" || changes=$?
		case $changes in
		0) say "nothing to change at Google" ;;
		2) ! can_ask || ask "make this? The output \`cost\` above is the estimate of a month" || fail "nothing was made" "./start.sh --yes asks nothing" ;;
		*) fail "terraform plan failed" "its message above says what is wrong" ;;
		esac
	fi
	tf apply -input=false "$run_folder/plan"
	remember_nodes
	run_into "$run_folder/admin_cidr" printf '%s' "$cidr"
}

remember_nodes() {
	run_into "$inventory" "$(terraform_tool)" -chdir="$deploy/terraform" output -raw inventory
	run_into "$addresses" "$(terraform_tool)" -chdir="$deploy/terraform" output -raw addresses
	run_into "$run_folder/cost" "$(terraform_tool)" -chdir="$deploy/terraform" output -raw cost
	[ "$dry" = 1 ] || say "it costs $(cat "$run_folder/cost")"
}
