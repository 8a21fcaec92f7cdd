# shellcheck shell=bash
# The nodes: until they answer by ssh, then what Ansible makes of them.

ssh_options=(-o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=accept-new -o "UserKnownHostsFile=$static/known_hosts")

# each_node: name, address and role, a line each.
each_node() {
	if [ -s "$addresses" ]; then
		cat "$addresses"
		echo
	elif [ "$dry" = 1 ]; then
		echo "each-node ADDRESS node"
	else
		fail "the addresses of the nodes are not known" "./start.sh --only terraform"
	fi
}

inputs_of_ssh() { digest_of "$addresses"; }

step_ssh() {
	local key name address role nodes
	key=$static/$(tfvar ssh_private_key_file ssh_key)
	nodes=$(each_node) || exit 1
	while read -r name address role <&3; do
		[ -n "$role" ] || continue
		wait_for "ssh of $name ($address)" 600 ssh_answers "$key" "$(tfvar iam_user_name)@$address"
	done 3<<-EOT
		$nodes
	EOT
}

# A node that was made anew has another key of its own: waiting does not help.
ssh_answers() {
	local code=0
	ssh "${ssh_options[@]}" -i "$1" "$2" true </dev/null || code=$?
	if [ "$code" != 0 ] && grep -q 'IDENTIFICATION HAS CHANGED' "$run_folder/last"; then
		echo "the node's own key is another than before: when it was made anew, remove $(shown "$static/known_hosts")"
		return 2
	fi
	[ "$code" = 0 ]
}

revision() { git -C "$repository" rev-parse HEAD 2>/dev/null || printf 'unknown'; }

# playbook FILE OPTIONS...: of deploy/ansible, with the settings that lie there.
playbook() {
	local file=$1
	shift
	run env ANSIBLE_CONFIG="$deploy/ansible/ansible.cfg" ansible-playbook -i "$inventory" "$deploy/ansible/$file" "$@"
}

inputs_of_ansible() { printf '%s %s' "$(revision)" "$(digest_of "$deploy/ansible" "$deploy/cluster.yaml" "$inventory")" | digest; }

step_ansible() {
	playbook site.yml -e "checkout_revision=$(revision)"
	[ "$dry" = 1 ] || [ -s "$static/kubeconfig" ] || fail "Ansible left no $(shown "$static/kubeconfig")" "see its messages above"
	wait_for "the API server" 300 kubectl get --raw /readyz
	wait_for "every node to be ready" 600 kubectl wait --for=condition=Ready node --all --timeout=10s
}
