# shellcheck shell=bash
# What every script of deploy shares: where things are, how it speaks, runs and waits. Sourced after `repository` is set.

deploy=$repository/deploy
# Keys, credentials, secrets and what is known of the running system: never committed.
static=$deploy/terraform/static
# What an interrupted run has done, and files that are made anew each time.
run_folder=$static/run
dry=${dry:-0}
assume_yes=${assume_yes:-0}
locked=0

say() { printf 'tickloop: %s\n' "$*"; }

# fail MESSAGE...: what is wrong, and below it what to do.
fail() {
	printf 'tickloop: %s\n' "$1" >&2
	shift
	[ $# = 0 ] || printf '          %s\n' "$@" >&2
	exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# shown COMMAND...: as one line, paths from the checkout on.
shown() {
	local word line=
	for word in "$@"; do
		word=${word//"$repository/"/}
		case $word in
		'' | *[!A-Za-z0-9_./:=@,+-]*) word="'$word'" ;;
		esac
		line="$line $word"
	done
	printf '%s' "${line# }"
}

# run COMMAND...: or only say it, when nothing is to be done.
run() {
	if [ "$dry" = 1 ]; then
		printf '  + %s\n' "$(shown "$@")"
	else
		"$@"
	fi
}

# run_into FILE COMMAND...: its output as a whole or not at all, for the owner's eyes.
run_into() {
	local file=$1
	shift
	if [ "$dry" = 1 ]; then
		printf '  + %s > %s\n' "$(shown "$@")" "$(shown "$file")"
		return
	fi
	(umask 077 && mkdir -p "$(dirname "$file")" && "$@" >"$file.part") && mv "$file.part" "$file"
}

# wait_for WHAT SECONDS COMMAND...: try until it succeeds. Exit code 2 of the command: no use to wait any longer.
wait_for() {
	local what=$1 limit=${TICKLOOP_DEADLINE_S:-$2} from=$SECONDS told=$SECONDS code
	shift 2
	if [ "$dry" = 1 ]; then
		printf '  . waits for %s, %d s at most\n' "$what" "$limit"
		return
	fi
	say "waiting for $what, $limit s at most"
	while :; do
		code=0
		"$@" >"$run_folder/last" 2>&1 || code=$?
		[ "$code" != 0 ] || return 0
		if [ "$code" = 2 ] || [ $((SECONDS - from)) -ge "$limit" ]; then
			tail -n 15 "$run_folder/last" >&2
			[ "$code" != 2 ] || fail "no use to wait any longer for $what: see above"
			fail "$what did not come within $limit s: see above"
		fi
		if [ $((SECONDS - told)) -ge 15 ]; then
			told=$SECONDS
			say "still waiting for $what ($((SECONDS - from)) s): $(tail -n 1 "$run_folder/last")"
		fi
		sleep "${TICKLOOP_POLL_S:-5}"
	done
}

can_ask() { [ -t 0 ] || [ "${TICKLOOP_ASK:-}" = stdin ]; }

# ask QUESTION: exit code 0 for yes. Nobody to be asked is no.
ask() {
	local answer
	[ "$assume_yes" = 0 ] || return 0
	can_ask || return 1
	printf 'tickloop: %s [y/N] ' "$1"
	read -r answer || return 1
	case $answer in
	y | Y | yes) return 0 ;;
	*) return 1 ;;
	esac
}

# cluster NAME: a value of deploy/cluster.yaml, which is one a line where it is not a list.
cluster() {
	local value
	value=$(sed -n "s/^$1: *//p" "$deploy/cluster.yaml")
	[ -n "$value" ] || fail "deploy/cluster.yaml has no $1"
	printf '%s' "$value"
}

# tfvar NAME [DEFAULT]: a text of terraform.tfvars.
tfvar() {
	local value=
	[ ! -f "$deploy/terraform/terraform.tfvars" ] ||
		value=$(sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*\"\\(.*\\)\"[[:space:]]*\(#.*\)\{0,1\}\$/\\1/p" "$deploy/terraform/terraform.tfvars")
	printf '%s' "${value:-${2:-}}"
}

# digest: of what comes in.
digest() {
	if has sha256sum; then sha256sum; else shasum -a 256; fi | cut -c 1-16
}

# digest_of PATH...: of all files in them with their names, but what a run itself writes there.
digest_of() {
	local path
	for path in "$@"; do
		[ ! -e "$path" ] ||
			find "$path" \( -name static -o -name '.terraform*' -o -name '*.tfstate*' -o -name backend_override.tf \) -prune -o -type f -print
	done | LC_ALL=C sort | while IFS= read -r path; do
		printf '%s ' "$path"
		digest <"$path"
	done | digest
}

# one_at_a_time: a second run would undo the first one's work.
one_at_a_time() {
	[ "$dry" = 0 ] || return 0
	mkdir -p "$run_folder" && chmod 700 "$static" "$run_folder"
	if ! mkdir "$run_folder/lock" 2>/dev/null; then
		local other
		other=$(cat "$run_folder/lock/pid" 2>/dev/null || true)
		if [ -n "$other" ] && kill -0 "$other" 2>/dev/null; then
			fail "another run (process $other) is under way" "wait for it, or end it"
		fi
		say "an earlier run was killed; its lock is taken over"
	fi
	echo $$ >"$run_folder/lock/pid"
	locked=1
}

leave() { [ "$locked" = 0 ] || rm -rf "$run_folder/lock"; }
