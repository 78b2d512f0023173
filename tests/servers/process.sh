# shellcheck shell=bash disable=SC2154 # tests/run sets what is not set here
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

# The process group of each server.
declare -A group_of

# start SERVER COMMAND...: in a group of its own, with its output in a log of the server's name.
start() {
    local server=$1
    shift
    set -m
    "$@" >"$scratch/$server.log" 2>&1 </dev/null &
    group_of[$server]=$!
    set +m
    groups+=("${group_of[$server]}")
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

# await SERVER: until answers_SERVER succeeds. Launched again by launch_SERVER where another process took a port first.
await() {
    local server=$1 try
    for try in 1 2 3 4 5; do
        ! wait_for "${group_of[$server]}" "answers_$server" || return 0
        stop "${group_of[$server]}"
        echo "tests/run: $server did not answer (try $try)" >&2
        [ "$try" = 5 ] || "launch_$server"
    done
    tail -n 50 "$scratch/$server.log" >&2
    fail "$server did not start; the end of its output is above"
}
