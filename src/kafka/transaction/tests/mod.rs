//! The producer against Apache Kafka at `KAFKA_BOOTSTRAP`: librdkafka's mock has no transactions.

mod broken;
mod offsets;
mod published;
mod without_broker;

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::TransactionSettings;
use super::failures::CallError;
use super::producer::{NotTaken, TransactionalProducer};
use super::sort::Verdict;
use crate::clock::Clock;
use crate::kafka::{KafkaSettings, ProducerRecord};

/// For what a broker does, on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

/// A topic with one partition, and an application, of a test's own.
struct Rig {
    bootstrap: String,
    topic: String,
    settings: TransactionSettings,
}

impl Rig {
    /// Returns `None` where there is no broker, and says so.
    async fn new(test: &str, config: &[(&str, &str)]) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Ok(bootstrap) = std::env::var("KAFKA_BOOTSTRAP") else {
            let word = format!(
                "left out: kafka::transaction::{test}: KAFKA_BOOTSTRAP is not set (`bash tests/run` starts a broker)\n"
            );
            // Not `eprintln!`, which the test harness keeps to itself while tests pass.
            let _ = std::io::stderr().write_all(word.as_bytes());
            return None;
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("transactions-{}-{number}", std::process::id());
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .create()
            .expect("a client");
        let mut topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        for (property, value) in config {
            topic = topic.set(property, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(LONGEST));
        let created = admin.create_topics([&topic], &options).await;
        created.expect("answered")[0].as_ref().expect("created");
        let settings = TransactionSettings::new(&name).instance("i");
        Some(Self {
            bootstrap,
            topic: name,
            settings,
        })
    }

    fn kafka(&self) -> KafkaSettings {
        KafkaSettings::new(&self.bootstrap)
    }

    /// Returns a producer of the rig's id.
    async fn producer(&self) -> TransactionalProducer {
        let kafka = self.kafka();
        let opened = TransactionalProducer::open(&kafka, &self.settings, 0);
        opened.await.expect("opened")
    }

    fn record(&self, value: &str) -> ProducerRecord {
        ProducerRecord::new(self.topic.as_str(), value.to_owned()).partition(0)
    }

    /// Returns the values that are committed by the time at which no transaction of the topic is open.
    fn published(&self) -> Vec<String> {
        let end = self.consumer("read_uncommitted");
        let (_, end) = end
            .fetch_watermarks(&self.topic, 0, LONGEST)
            .expect("answered");
        let reader = self.consumer("read_committed");
        let mut list = TopicPartitionList::new();
        let from = Offset::Beginning;
        list.add_partition_offset(&self.topic, 0, from)
            .expect("an offset");
        reader.assign(&list).expect("assigned");
        let (clock, mut values) = (Clock::start(), Vec::new());
        loop {
            match reader.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => {
                    let value = message.payload().unwrap_or_default();
                    values.push(String::from_utf8_lossy(value).into_owned());
                }
                // With a transaction open it ends before the log does.
                None | Some(Err(ClientError::PartitionEOF(_))) => {
                    let position = reader.position().expect("assigned");
                    let position = position.elements()[0].offset();
                    // A marker that was written since is passed as well.
                    let is_past = matches!(position, Offset::Offset(at) if at >= end);
                    if is_past || end == 0 {
                        return values;
                    }
                }
                Some(Err(error)) => panic!("{error}"),
            }
            assert!(
                clock.now() < LONGEST,
                "a transaction stays open: {values:?}"
            );
        }
    }

    fn consumer(&self, isolation: &str) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", format!("{}-readers", self.topic))
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer")
    }
}

/// Adds a record, and waits for room where there is none.
async fn add(producer: &mut TransactionalProducer, record: &ProducerRecord) {
    loop {
        match producer.produce(record) {
            Ok(()) => return,
            Err(NotTaken::Full) => producer.room().await,
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Returns the verdict of a call that failed.
fn verdict(result: Result<(), CallError>) -> Verdict {
    result.expect_err("failed").0
}
