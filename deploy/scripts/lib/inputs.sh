# shellcheck shell=bash
# What a person has to give, looked at before anything runs. All that is missing is told at once.

problems=()

problem() { problems+=("$1"); }

want_tool() { has "$1" || problem "$1 is not on the path: $2"; }

# want_file PATH REMEDY
want_file() { [ -f "$1" ] || problem "$(shown "$1") is missing: $2"; }

check_values() {
	local example=$deploy/terraform/terraform.tfvars.example name
	want_file "$deploy/terraform/terraform.tfvars" "copy terraform.tfvars.example beside it and fill in the three values"
	[ -f "$deploy/terraform/terraform.tfvars" ] || return 0
	for name in iam_user_name my_project_id my_ssh_key; do
		[ -n "$(tfvar "$name")" ] || problem "$name is not set in deploy/terraform/terraform.tfvars: see terraform.tfvars.example"
	done
	if [ "$(tfvar my_project_id)" = "$(sed -n 's/^my_project_id *= *"\(.*\)"/\1/p' "$example")" ]; then
		problem "my_project_id in deploy/terraform/terraform.tfvars is that of the example: write your own"
	fi
}

check_credentials() {
	local file project
	file=$static/$(tfvar credentials_file credentials.json)
	want_file "$file" "the JSON key of a service account (docs/operate/install.md, \"Once\")"
	[ -f "$file" ] || return 0
	if ! grep -q '"type": *"service_account"' "$file" || ! grep -q '"private_key"' "$file"; then
		problem "$(shown "$file") holds no key of a service account: make one by \`gcloud iam service-accounts keys create\`"
		return 0
	fi
	project=$(sed -n 's/.*"project_id": *"\([^"]*\)".*/\1/p' "$file")
	[ "$project" = "$(tfvar my_project_id)" ] ||
		problem "$(shown "$file") is a key of project $project, but my_project_id is $(tfvar my_project_id): take a key of that project"
}

# public_key: the text of it, with kind and key alone, as comments differ.
public_key() {
	local key
	key=$(tfvar my_ssh_key)
	case $key in
	*.pub) [ ! -f "$static/$key" ] || cut -d ' ' -f 1,2 "$static/$key" ;;
	*) printf '%s\n' "$key" | cut -d ' ' -f 1,2 ;;
	esac
}

mode_of() { stat -c %a "$1" 2>/dev/null || stat -f %Lp "$1"; }

check_ssh_key() {
	local file own
	file=$static/$(tfvar ssh_private_key_file ssh_key)
	want_file "$file" "\`ssh-keygen -t ed25519 -N '' -f $(shown "$file")\` makes a pair; my_ssh_key is then \"$(basename "$file").pub\""
	case $(tfvar my_ssh_key) in
	*.pub) want_file "$static/$(tfvar my_ssh_key)" "my_ssh_key in terraform.tfvars names it: copy the public key there" ;;
	esac
	[ -f "$file" ] || return 0
	case $(mode_of "$file") in
	600 | 400) ;;
	*) problem "$(shown "$file") can be read by others, and ssh refuses such a key: chmod 600 $(shown "$file")" && return 0 ;;
	esac
	if ! own=$(ssh-keygen -y -P '' -f "$file" 2>/dev/null); then
		problem "$(shown "$file") is no private ssh key, or one with a passphrase that Ansible could not give: make a pair by ssh-keygen -N ''"
	elif [ -n "$(public_key)" ] && [ "$(printf '%s' "$own" | cut -d ' ' -f 1,2)" != "$(public_key)" ]; then
		problem "$(shown "$file") does not belong to my_ssh_key: \`ssh-keygen -y -f $(shown "$file")\` prints the public key that does"
	fi
}

# Our own programs are asked for by what they do, so that the remedy fits.
check_container_tool() {
	[ -n "$(container_tool)" ] || problem "none of docker, podman and buildah is on the path: install one, it builds the images"
}

# check_inputs STEP...: before the first of them runs.
check_inputs() {
	local step
	for step in "$@"; do
		case $step in
		terraform)
			[ -n "$(terraform_tool)" ] || problem "terraform is not on the path: install Terraform 1.9 or newer, or OpenTofu"
			check_values
			check_credentials
			check_ssh_key
			;;
		ssh)
			want_tool ssh "install the ssh client"
			check_ssh_key
			;;
		ansible)
			want_tool ansible-playbook "pip install 'ansible-core==2.19.*', and the collections of deploy/ansible"
			want_tool kubectl "install kubectl, of the cluster's version or one beside it"
			;;
		images) check_container_tool ;;
		secrets | apply)
			want_tool kubectl "install kubectl, of the cluster's version or one beside it"
			want_tool openssl "install it: it makes the passwords"
			;;
		esac
	done
	[ "$dry" = 1 ] || stop_for_problems
}

# stop_for_problems: tell each once. A dry run comes here when it has shown the plan.
stop_for_problems() {
	[ "${#problems[@]}" != 0 ] || return 0
	printf '%s\n' "${problems[@]}" | awk '!seen[$0]++ { print "  - " $0 }' >&2
	fail "nothing was done: this is missing, see above"
}
