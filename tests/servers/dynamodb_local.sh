# shellcheck shell=bash disable=SC2154 # tests/run sets what is not set here
# DynamoDB Local, tables in memory. Sourced by tests/run.

answers_dynamodb_local() {
    # Without a signature it answers 400, which is answer enough.
    case $(answer "$dynamodb_port") in HTTP/1.1\ 400*) ;; *) return 1 ;; esac
}

launch_dynamodb_local() {
    dynamodb_port=$(some_port)
    start dynamodb_local java -Xmx512m -cp "$dynamodb_jars/*" \
        software.amazon.dynamodb.services.local.main.ServerRunner \
        -inMemory -sharedDb -disableTelemetry -port "$dynamodb_port"
}
