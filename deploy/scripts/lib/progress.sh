# shellcheck shell=bash
# Which steps an interrupted run has done. They are left out the next time, unless what they work from has changed. A run
# that came to its end leaves no marks: the next one does everything again, and each step changes only what differs.

marks=$run_folder/done

# is_done STEP INPUTS
is_done() { [ -n "$2" ] && grep -qx "$1 $2" "$marks" 2>/dev/null; }

# begin STEP: what comes after it has to be done again, too.
begin() {
	[ "$dry" = 0 ] || return 0
	touch "$marks"
	sed "/^$1 /,\$d" "$marks" >"$marks.part" && mv "$marks.part" "$marks"
}

mark_done() { [ "$dry" = 1 ] || printf '%s %s\n' "$1" "$2" >>"$marks"; }

forget_marks() { [ "$dry" = 1 ] || rm -f "$marks"; }
