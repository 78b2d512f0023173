# shellcheck shell=bash disable=SC2154 # tests/run sets what is not set here
# DynamoDB Local, tables in memory. Sourced by tests/run.

answers_dynamodb() {
    # Without a signature it answers 400, which is answer enough.
    case $(answer "$1") in HTTP/1.1\ 400*) ;; *) return 1 ;; esac
}

launch_dynamodb_local() {
    dynamodb_port=$(some_port)
    start "$scratch/dynamodb-local.log" java -Xmx512m -cp "$dynamodb_jars/*" \
        software.amazon.dynamodb.services.local.main.ServerRunner \
        -inMemory -sharedDb -disableTelemetry -port "$dynamodb_port"
    dynamodb=$started
}

# Launched again where another process took the port first.
await_dynamodb_local() {
    local try
    for try in 1 2 3 4 5; do
        ! wait_for "$dynamodb" answers_dynamodb "$dynamodb_port" || return 0
        stop "$dynamodb"
        echo "tests/run: DynamoDB Local did not answer on port $dynamodb_port (try $try)" >&2
        [ "$try" = 5 ] || launch_dynamodb_local
    done
    cat "$scratch/dynamodb-local.log" >&2
    fail 'DynamoDB Local did not start; its output is above'
}
