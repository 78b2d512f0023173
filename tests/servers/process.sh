# shellcheck shell=bash
# Processes that tests/run starts and stops, and how it sees that they answer. Sourced by it.

# Process groups that are stopped at the end, the youngest first.
groups=()

fail() {
    printf 'tests/run: %s\n' "$*" >&2
    exit 1
}

# Each runs in a process group of its own, so that stopping it stops what it started.
stop() {
    [ -n "$1" ] || return 0
    kill -TERM -- "-$1" 2>/dev/null || return 0
    for _ in $(seq 50); do
        kill -0 -- "-$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$1" 2>/dev/null || true
}

stop_all() {
    local place
    for ((place = ${#groups[@]} - 1; place >= 0; place--)); do
        stop "${groups[place]}"
    done
    groups=()
}

# A port below those that the system gives to outgoing connections, so that none of these takes it meanwhile.
some_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        is_open "$port" || break
    done
    echo "$port"
}

is_open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The first line of what answers at a port in HTTP; nothing where nothing does.
answer() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf 'GET / HTTP/1.0\r\n\r\n' >&3
        head -n 1 <&3
    ) 2>/dev/null || true
}

# start LOG COMMAND...: in a group of its own; sets `started` to it.
start() {
    local log=$1
    shift
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    started=$!
    set +m
    groups+=("$started")
}

# wait_for GROUP CHECK...: until the check succeeds; fails where the server has ended or takes longer than a minute.
wait_for() {
    local group=$1 end=$((SECONDS + 60))
    shift
    while kill -0 "$group" 2>/dev/null; do
        ! "$@" || return 0
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
    return 1
}
