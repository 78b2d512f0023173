//! Kafka over librdkafka's mock cluster: what the sink promises, and what the source does.
//!
//! What the mock cannot show (size limits, restarts with data, real rebalances) is in `kafka_broker`.

mod members;
mod misconfigured;
mod outages;
mod overdue;
mod sink;
pub(crate) mod source;

use std::time::Duration;

use dynamodb_connector::embedded::EmbeddedKafka;
use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, KafkaSinkSettings};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// The mock itself, for what [`EmbeddedKafka`] does not offer.
type Cluster = MockCluster<'static, DefaultProducerContext>;

/// Starts a mock with the topic `events`.
fn cluster(brokers: i32, partitions: i32) -> Cluster {
    let cluster = Cluster::new(brokers).expect("a mock");
    let created = cluster.create_topic("events", partitions, 1);
    created.expect("a topic");
    cluster
}

/// For each step: the mock answers within milliseconds, a busy machine takes longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

pub(crate) fn settings(kafka: &EmbeddedKafka) -> KafkaSettings {
    KafkaSettings::new(kafka.bootstrap_servers())
}

pub(crate) async fn sink(kafka: &EmbeddedKafka, own: &KafkaSinkSettings) -> KafkaSink {
    KafkaSink::builder(&settings(kafka))
        .settings(own.clone())
        .open()
        .await
        .expect("a sink")
}

/// Waits for it, but not for ever.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONGEST, future)
        .await
        .expect("in time")
}
