#!/bin/sh
# OpenSearch 3.8 with one node, the embedded runner out of Maven Central; see lib.sh for the commands.
# Needs Maven, and Java 21 or newer with its compiler. No security plugin: plain http, no users.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
least_java=21
own=$here/opensearch
home=$cache/opensearch-$(cat "$own/pom.xml" "$own/Node.java" | cksum | cut -d ' ' -f 1)

# java_home: the first JDK that is new enough; Maven itself may run on an older one.
java_home() {
	for candidate in "${TICKLOOP_JAVA_HOME:-}" "${JAVA_HOME:-}" /usr/lib/jvm/* /usr/local/lib/jvm/* /opt/java/* \
		/opt/jdk* "$HOME"/.sdkman/candidates/java/* /Library/Java/JavaVirtualMachines/*/Contents/Home; do
		[ -x "$candidate/bin/java" ] && [ -x "$candidate/bin/javac" ] || continue
		major=$("$candidate/bin/java" -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p')
		if [ "${major:-0}" -ge "$least_java" ]; then
			printf '%s\n' "$candidate"
			return
		fi
	done
	return 1
}

need_java() {
	java=$(java_home) || fail "no JDK of version $least_java or newer was found; set TICKLOOP_JAVA_HOME to one"
}

install() {
	need_java
	command -v mvn >/dev/null 2>&1 || fail "mvn is not installed; on Debian: apt-get install maven"
	[ ! -f "$home/classes/Node.class" ] || return 0
	mkdir -p "$cache"
	part=$(mktemp -d "$cache/opensearch.XXXXXX")
	trap 'rm -rf "$part"' EXIT
	cp "$own/pom.xml" "$part/pom.xml"
	say "fetching the server into $home"
	mvn -B -q -f "$part/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$part/lib" >&2 || fail "Maven could not fetch the server"
	"$java/bin/javac" -d "$part/classes" -cp "$part/lib/*" "$own/Node.java" >&2 || fail "Node.java does not compile"
	# Another install may have been faster; what it made is the same.
	mv -T "$part" "$home" 2>/dev/null || [ -f "$home/classes/Node.class" ] || fail "$home cannot be written"
}

installed() {
	need_java
	[ -f "$home/classes/Node.class" ] || fail "not installed: sh $0 install"
}

# run FOLDER PORT: the JIT's first tier is enough for tests and halves the start.
run() {
	installed
	folder=$(cd "$1" && pwd)
	rm -f "$folder/address"
	cd "$folder"
	setpriv --pdeathsig KILL "$java/bin/java" -Xms512m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
		--enable-native-access=ALL-UNNAMED -cp "$home/classes:$home/lib/*" \
		Node "$folder/opensearch" "$2" "$folder/address" >>"$folder/opensearch.log" 2>&1 &
	serve $!
	[ -s "$folder/address" ] || fail "ended before it was healthy: $(tail -n 20 "$folder/opensearch.log")"
}

case ${1:-} in
install) install ;;
installed) installed ;;
run) run "$2" "${3:-0}" ;;
*) fail "valid: install, installed, run FOLDER [PORT]" ;;
esac
