# shellcheck shell=bash disable=SC2154 # tests/run sets what is not set here
# moto, which imitates DynamoDB in Python: another server than those that this crate was made beside. Sourced by tests/run.

# Installed once, into a folder of its own. Moved into place as a whole, as the jars are.
install_moto() {
    local partial
    [ ! -d "$moto" ] || return 0
    echo "tests/run: installing moto $moto_version into $moto"
    mkdir -p "$(dirname "$moto")"
    partial=$(mktemp -d "$(dirname "$moto")/partial.XXXXXX")
    python3 -m pip install --quiet --disable-pip-version-check --target "$partial" \
        -r "$servers/moto.requirements.txt" </dev/null ||
        { rm -rf "$partial"; fail "pip could not install moto $moto_version; its message is above"; }
    mv -T "$partial" "$moto" 2>/dev/null || rm -rf "$partial"
    [ -d "$moto" ] || fail "moto could not be put into $moto"
}

answers_moto() {
    case $(answer "$moto_port") in HTTP/1.*\ 200*) ;; *) return 1 ;; esac
}

launch_moto() {
    moto_port=$(some_port)
    start moto env PYTHONPATH="$moto" python3 -m moto.server -H 127.0.0.1 -p "$moto_port"
}
