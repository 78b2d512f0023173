//! Partitions of which nothing comes, on librdkafka's mock; the time is the test's.

use std::sync::Arc;
use std::time::Duration;

use super::{Key, Partitions};
use crate::admission::Limits;
use crate::clock::Clock;
use crate::embedded::EmbeddedKafka;
use crate::kafka::source::clients::Clients;
use crate::kafka::source::settings::{KafkaSourceSettings, OffsetReset};
use crate::kafka::source::shared::Shared;
use crate::kafka::source::start::Search;
use crate::kafka::test_log::Log;
use crate::kafka::{KafkaSettings, KafkaSink, ProducerRecord};

const RECORDS: i64 = 3;

/// A partition that is read, as the source's thread reads it.
struct Rig {
    partitions: Partitions,
    shared: Arc<Shared>,
    clock: Clock,
    _kafka: EmbeddedKafka,
}

fn key() -> Key {
    (Arc::from("events"), 0)
}

impl Rig {
    /// Begins to read a partition of a few records. From then on time stands still.
    async fn new() -> Self {
        let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
        let settings = KafkaSettings::new(kafka.bootstrap_servers());
        let sink = KafkaSink::open(&settings).await.expect("a sink");
        for n in 0..RECORDS {
            let record = ProducerRecord::new("events", n.to_string());
            drop(sink.send(record).await.expect("accepted"));
        }
        sink.close().await.expect("delivered");
        let own = KafkaSourceSettings::new("group", ["events"]);
        let configs = own.clients(&settings).expect("settings");
        let shared = Shared::new(
            Limits {
                records: 100,
                bytes: 1 << 20,
            },
            "group",
        );
        let clients = Clients::create(&configs.member, &configs.reader, &shared).expect("clients");
        let search = Search {
            start: OffsetReset::Earliest,
            generation: 0,
            opened_with: [(Arc::from("events"), 1)].into(),
        };
        let partitions = Partitions::new(&Arc::new(clients), &shared, &own, search, None);
        let mut rig = Self {
            partitions,
            shared,
            clock: Clock::start(),
            _kafka: kafka,
        };
        rig.partitions.assigned(vec![key()]);
        while rig.partitions.readings.is_empty() {
            rig.answer().await;
        }
        tokio::time::pause();
        rig
    }

    async fn answer(&mut self) {
        let answer = self.partitions.questions.answer().await;
        self.partitions.answered(answer).expect("it goes on");
    }

    /// Lets so many seconds pass. Nothing is taken of the partition's queue.
    async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            self.partitions.check_silence(self.clock.now());
            while !self.partitions.questions.is_empty() {
                self.answer().await;
            }
            self.shared.publish();
        }
    }

    /// Takes all records of the partition's queue.
    async fn take_all(&mut self) {
        let tracker = self.shared.tracker(&key()).expect("it is read");
        while tracker.position() < RECORDS {
            if !self.partitions.read().expect("it goes on") {
                self.shared.wake.notified().await;
            }
        }
    }
}

#[tokio::test]
async fn a_partition_that_has_records_and_gives_none_for_a_minute_is_reported_until_they_come() {
    let mut rig = Rig::new().await;
    let (log, _collecting) = Log::collect();
    rig.pass(59).await;
    assert_eq!(log.lines("WARN"), Vec::<String>::new());
    assert!(rig.shared.silence.health().is_healthy());

    rig.pass(15).await;
    let health = rig.shared.silence.health();
    assert!(health.to_string().contains("events-0"), "{health}");
    rig.pass(45).await;
    let lines = log.lines("WARN");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("events-0: nothing came"), "{lines:?}");

    rig.take_all().await;
    rig.pass(1).await;
    assert!(rig.shared.silence.health().is_healthy());
    rig.pass(20).await;
    let over = log.lines("succeeds again");
    assert_eq!(over.len(), 1, "{over:?}");
    assert_eq!(log.lines("WARN").len(), 1);
}

#[tokio::test]
async fn a_partition_that_was_read_to_its_end_is_not_reported() {
    let mut rig = Rig::new().await;
    let (log, _collecting) = Log::collect();
    rig.take_all().await;
    rig.pass(300).await;
    assert_eq!(log.lines("WARN"), Vec::<String>::new());
    assert!(rig.shared.silence.health().is_healthy());
}
