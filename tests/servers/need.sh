# shellcheck shell=bash disable=SC2016 # backquotes are for the reader
# What must be installed, each with how. Sourced by tests/run.

need() {
    command -v cargo >/dev/null || fail 'cargo is missing: install Rust, https://rustup.rs'
    need_for_librdkafka
    python3 -m pip --version >/dev/null 2>&1 ||
        fail 'moto needs Python 3 with pip: install them, on Debian with `apt-get install python3-pip`'
    local java_version
    java_version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p;T;q' || true)
    [ "${java_version:-0}" -ge 17 ] ||
        fail "DynamoDB Local and Kafka need Java 17 or newer, found ${java_version:-none}: install it, on Debian with \`apt-get install openjdk-17-jdk-headless\`"
    command -v javac >/dev/null ||
        fail 'javac is missing, which compiles the programs in tests/servers: install a JDK, not only a JRE, on Debian with `apt-get install openjdk-17-jdk-headless`'
    local jars
    for jars in "$@"; do
        [ -d "$jars" ] || command -v mvn >/dev/null ||
            fail 'Maven is missing, which downloads the servers: install it, on Debian with `apt-get install maven`'
    done
}

# The feature `kafka` builds librdkafka from its C sources, `kafka-tls` against the system's OpenSSL.
need_for_librdkafka() {
    local packages='on Debian with `apt-get install build-essential libssl-dev pkg-config`'
    command -v "${CC:-cc}" >/dev/null || fail "A C compiler is missing, which builds librdkafka: install it, $packages"
    command -v make >/dev/null || fail "make is missing, which builds librdkafka: install it, $packages"
    printf '#include <openssl/ssl.h>\n' |
        "${CC:-cc}" -E ${OPENSSL_DIR:+-I"$OPENSSL_DIR/include"} ${OPENSSL_INCLUDE_DIR:+-I"$OPENSSL_INCLUDE_DIR"} \
            - >/dev/null 2>&1 ||
        { command -v pkg-config >/dev/null && pkg-config --exists openssl; } ||
        fail "OpenSSL's headers are missing, which librdkafka's TLS needs: install them, $packages, or set OPENSSL_DIR"
}
