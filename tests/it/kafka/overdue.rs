//! The records of other partitions when a record is overdue.

use std::cell::Cell;
use std::time::Duration;

use dynamodb_connector::embedded::EmbeddedKafka;
use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, KafkaSinkSettings, ProducerRecord};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::{LONGEST, cluster, soon};

fn record(partition: i32) -> ProducerRecord {
    ProducerRecord::new("events", "x").partition(partition)
}

/// Opens a sink with this time for each record, which has delivered one to each of two partitions.
async fn open(bootstrap_servers: &str, delivery_timeout: Duration) -> KafkaSink {
    // Otherwise more records would time out before the broker is tried again.
    let settings = KafkaSettings::new(bootstrap_servers)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "20");
    let own = KafkaSinkSettings::default()
        .linger(Duration::ZERO)
        .delivery_timeout(delivery_timeout);
    let sink = KafkaSink::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("a sink");
    for partition in 0..2 {
        deliver(&sink, partition).await;
    }
    sink
}

async fn deliver(sink: &KafkaSink, partition: i32) {
    let receipt = soon(sink.send(record(partition))).await.expect("accepted");
    soon(receipt).await.expect("delivered");
}

#[tokio::test]
async fn a_record_with_more_than_half_of_its_time_over_fails_with_the_one_that_is_overdue() {
    let kafka = EmbeddedKafka::start(&[("events", 2)]).expect("a mock");
    let sink = open(kafka.bootstrap_servers(), Duration::from_secs(4)).await;
    kafka.broker_down().expect("down");
    let overdue = soon(sink.send(record(0))).await.expect("accepted");
    // So that the other one has time left when this one has not.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let old = soon(sink.send(record(1))).await.expect("accepted");
    soon(overdue).await.expect_err("no broker");
    kafka.broker_up().expect("up");
    let error = soon(old).await.expect_err("its answer may have been lost");
    assert!(error.is_retryable(), "{error}");
    let again = soon(sink.send(record(1))).await.expect("accepted");
    soon(again).await.expect("delivered");
}

#[tokio::test]
async fn a_request_under_way_has_time_for_its_answer_when_another_partitions_record_is_overdue() {
    let cluster = cluster(2, 2);
    for (partition, leader) in [(0, 2), (1, 1)] {
        let led = cluster.partition_leader("events", partition, Some(leader));
        led.expect("a leader");
    }
    let servers = cluster.bootstrap_servers();
    let sink = open(&servers, Duration::from_secs(6)).await;
    cluster.broker_down(2).expect("down");
    // So that a request is always under way.
    let slow = cluster.broker_round_trip_time(1, Duration::from_millis(200));
    slow.expect("slow");
    let overdue = soon(sink.send(record(0))).await.expect("accepted");
    let has_failed = Cell::new(false);
    let failing = async {
        soon(overdue).await.expect_err("its broker is down");
        has_failed.set(true);
    };
    let other = sink.separate();
    let delivering = async {
        let mut delivered = 1;
        while !has_failed.get() {
            deliver(&other, 1).await;
            delivered += 1;
        }
        delivered
    };
    let ((), delivered) = tokio::join!(failing, delivering);
    let asking: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .create()
        .expect("a client");
    let (_, end) = asking
        .fetch_watermarks("events", 1, LONGEST)
        .expect("an answer");
    assert_eq!(end, delivered, "none was sent twice");
}
