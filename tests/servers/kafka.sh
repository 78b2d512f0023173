# shellcheck shell=bash disable=SC2154 # tests/run sets what is not set here
# Apache Kafka: KRaft, one node that is broker and controller. Sourced by tests/run.

# Formats its folder and becomes the broker, so that the process group is the broker's.
run_kafka() {
    java "${kafka_flags[@]}" -cp "$kafka_jars/*" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$1"
    exec java "${kafka_flags[@]}" -Xmx512m -cp "$kafka_jars/*" kafka.Kafka "$1"
}

launch_kafka() {
    local folder=$scratch/kafka settings=$scratch/kafka.server.properties
    rm -rf "$folder"
    kafka_port=$(some_port)
    sed -e "s:@DIR@:$folder:" -e "s:@PORT@:$kafka_port:" -e "s:@CPORT@:$(some_port):" \
        tests/servers/kafka.server.properties >"$settings"
    start kafka run_kafka "$settings"
}

# It says that it is started when clients are served: the port is open before that.
answers_kafka() {
    grep -q 'Kafka Server started' "$scratch/kafka.log" && is_open "$kafka_port"
}
