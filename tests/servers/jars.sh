# shellcheck shell=bash
# Jars from Maven Central, and programs compiled against them. Sourced by tests/run.

# The version of an artifact in a pom.xml.
version_of() {
    sed -n "s:.*<artifactId>$2</artifactId><version>\([^<]*\)<.*:\1:p" "$1"
}

# download NAME POM FOLDER: the jars of a pom.xml, once. Moved into place as a whole, so that a download that was broken
# off is not taken for one that is there.
download() {
    local name=$1 pom=$2 jars=$3 partial
    [ -d "$jars" ] && return
    echo "tests/run: downloading $name into $jars"
    mkdir -p "$(dirname "$jars")"
    partial=$(mktemp -d "$(dirname "$jars")/partial.XXXXXX")
    mvn -B -q -f "$pom" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DoutputDirectory="$partial" </dev/null ||
        { rm -rf "$partial"; fail "Maven could not download $name; its message is above"; }
    mv -T "$partial" "$jars" 2>/dev/null || rm -rf "$partial"
    [ -d "$jars" ] || fail "$name could not be put into $jars"
}

# compile NAME JARS CLASSES SOURCES...: takes a second, so it is done in each run.
compile() {
    local name=$1 jars=$2 classes=$3
    shift 3
    javac -nowarn -cp "$jars/*" -d "$classes" "$@" || fail "$name does not compile; the message of javac is above"
}
