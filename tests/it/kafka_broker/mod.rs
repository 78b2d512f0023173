//! The sink and the source against Apache Kafka: what librdkafka's mock cannot show.
//!
//! Run where `KAFKA_BOOTSTRAP` names a broker (`host:port`); those that kill one start it themselves from the jars in the
//! directory `KAFKA_JARS`.

mod advanced_in_transaction;
mod churn;
mod errors;
mod exactly_once;
mod gaps;
mod holds;
mod pipelines;
mod proxy;
mod rebalance;
mod refusals;
mod remade;
mod restart;
mod rights;
pub(crate) mod server;
mod topic_ids;

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, KafkaSinkSettings};

/// A variable of the environment; says that `test` is left out where it is not set.
pub(crate) fn variable(test: &str, name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        let word = format!(
            "left out: kafka_broker::{test}: {name} is not set (`bash tests/run` starts a broker)\n"
        );
        // Not `eprintln!`, which the test harness keeps to itself while tests pass.
        let _ = std::io::stderr().write_all(word.as_bytes());
    }
    value
}

/// A name that no other test and no other run has.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{number}", std::process::id())
}

/// A topic of a test's own on the broker at `KAFKA_BOOTSTRAP`.
struct Topic {
    bootstrap: String,
    name: String,
}

impl Topic {
    async fn new(test: &str, partitions: i32, config: &[(&str, &str)]) -> Option<Self> {
        let bootstrap = variable(test, "KAFKA_BOOTSTRAP")?;
        let name = unique("topic");
        server::create_topic(&bootstrap, &name, partitions, config).await;
        Some(Self { bootstrap, name })
    }

    /// Creates it anew, after it was deleted.
    async fn make_again(&self, partitions: i32) {
        server::create_topic(&self.bootstrap, &self.name, partitions, &[]).await;
    }

    /// Adds partitions, up to this number.
    async fn add_partitions(&self, partitions: usize) {
        let admin = server::admin(&self.bootstrap);
        let more = rdkafka::admin::NewPartitions::new(&self.name, partitions);
        let options = rdkafka::admin::AdminOptions::new();
        let more = [more];
        let made = admin.create_partitions(&more, &options);
        made.await.expect("answered")[0].as_ref().expect("made");
    }

    fn settings(&self) -> KafkaSettings {
        KafkaSettings::new(&self.bootstrap)
    }

    /// Settings of a client that has fetched little of what is there before that is trimmed.
    fn fetching_little(&self) -> KafkaSettings {
        self.settings()
            .set("queued.min.messages", "1")
            .set("fetch.message.max.bytes", "200")
            .set("receive.message.max.bytes", "2000")
            .set("message.max.bytes", "1000")
            .set("fetch.max.bytes", "1000")
    }

    async fn sink(&self, own: &KafkaSinkSettings) -> KafkaSink {
        KafkaSink::builder(&self.settings())
            .settings(own.clone())
            .open()
            .await
            .expect("a sink")
    }
}
