//! Reading over librdkafka's mock cluster, step by step and without a group.

use std::future::poll_fn;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures::FutureExt as _;

use super::super::record::ProducerRecord;
use super::super::sink::KafkaSink;

use super::clients::Clients;
use super::partitions::Partitions;
use super::questions::Answer;
use super::readings::Readings;
use super::shared::Shared;
use super::start::{Log, Search};
use super::tracker::PartitionTracker;
use super::*;
use crate::admission::Limits;
use crate::embedded::EmbeddedKafka;
use crate::gap::{GapCause, GapPolicy};

/// For each step: the mock answers within milliseconds, a busy machine takes longer.
const LONGEST: Duration = Duration::from_secs(60);

/// A source's clients over a topic with one partition.
struct Rig {
    clients: Arc<Clients>,
    shared: Arc<Shared>,
    settings: KafkaSourceSettings,
    _kafka: EmbeddedKafka,
}

impl Rig {
    async fn new(records: u32) -> Self {
        let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
        let servers = KafkaSettings::new(kafka.bootstrap_servers());
        let sink = KafkaSink::open(&servers).await.expect("a sink");
        for n in 0..records {
            let record = ProducerRecord::new("events", n.to_string());
            drop(sink.send(record).await.expect("accepted"));
        }
        sink.close().await.expect("delivered");
        let settings = KafkaSourceSettings::new("group", ["events"])
            .redelivery_delay(Duration::ZERO)
            .on_gap(GapPolicy::Report);
        let configs = settings.clients(&servers).expect("settings of clients");
        let shared = Shared::new(
            Limits {
                records: 100,
                bytes: 1 << 20,
            },
            "group",
        );
        let clients = Clients::create(&configs.member, &configs.reader, &shared);
        Self {
            clients: Arc::new(clients.expect("clients")),
            shared,
            settings,
            _kafka: kafka,
        }
    }

    /// Returns the tracker of the partition, which begins at this offset.
    fn tracker(&self, at: i64) -> Arc<PartitionTracker> {
        let admission = Arc::clone(&self.shared.admission);
        let tracker = PartitionTracker::new("events".into(), 0, admission);
        tracker.start(at, "".into());
        self.shared.track(&tracker);
        tracker
    }

    /// Returns the tracker that is in use now.
    fn current(&self) -> Arc<PartitionTracker> {
        let tracker = self.shared.tracker(&("events".into(), 0));
        tracker.expect("the partition is this member's")
    }

    /// Reads until all before this offset was handed out.
    async fn read_to(&self, readings: &mut Readings, position: i64) {
        let reading = async {
            while self.current().position() < position {
                while self.clients.reader.poll(Duration::ZERO).is_some() {}
                let (has_more, gone) = readings.read().expect("nothing ends the source");
                assert!(gone.is_empty(), "all offsets are there");
                if !has_more {
                    self.shared.wake.notified().await;
                }
            }
        };
        let read = tokio::time::timeout(LONGEST, reading).await;
        read.expect("in time");
    }

    /// Takes what is queued, at most this many records.
    fn take(&self, max: usize) -> Vec<Message> {
        let taken = poll_fn(|cx| self.shared.output.poll_take(cx, max)).now_or_never();
        let event = taken.flatten().expect("something is queued");
        match event.expect("no error") {
            KafkaEvent::Records(messages) => messages,
            _ => Vec::new(),
        }
    }
}

#[tokio::test]
async fn what_was_queued_before_a_partition_went_back_is_not_handed_out_after_it() {
    let rig = Rig::new(3).await;
    let mut readings = Readings::new(&rig.clients, &rig.shared, Duration::ZERO);
    readings.begin(&rig.tracker(0), 0);
    rig.read_to(&mut readings, 3).await;
    let dropped = rig.take(1);
    assert_eq!(dropped[0].offset, 0);
    drop(dropped);
    readings.go_back(Duration::ZERO);
    rig.read_to(&mut readings, 3).await;
    let again: Vec<i64> = rig.take(10).iter().map(|message| message.offset).collect();
    assert_eq!(again, [0, 1, 2], "in order, from the one that was dropped");
}

#[tokio::test]
async fn a_partition_with_a_dropped_record_waits_for_the_rewind_where_a_transaction_commits() {
    let rig = Rig::new(2).await;
    rig.shared.by_transaction.store(true, SeqCst);
    let mut readings = Readings::new(&rig.clients, &rig.shared, Duration::ZERO);
    readings.begin(&rig.tracker(0), 0);
    rig.read_to(&mut readings, 2).await;
    drop(rig.take(1));
    readings.go_back(Duration::ZERO);
    assert!(rig.current().has_failed(), "it did not go back");
    assert_eq!(readings.next_time(), None);
}

#[tokio::test]
async fn partitions_that_go_at_a_rewind_and_after_it_are_reported_and_commit_nothing() {
    let rig = Rig::new(1).await;
    rig.shared.output.want_events();
    let search = Search {
        start: OffsetReset::Earliest,
        generation: 0,
        opened_with: [].into(),
    };
    let mut partitions = Partitions::new(&rig.clients, &rig.shared, &rig.settings, search, None);
    let next = || {
        let closing = poll_fn(|cx| rig.shared.output.poll_closing(cx)).now_or_never();
        closing.expect("an end")
    };
    // It closes at the time of the rewind.
    let going = rig.tracker(5);
    let key = going.key();
    partitions.close(std::slice::from_ref(&key));
    let closing = next();
    assert!(matches!(closing, KafkaEvent::Closing { .. }), "{closing:?}");
    partitions.rewind();
    assert!(Arc::ptr_eq(&rig.current(), &going));
    assert_eq!(going.owned(), None, "the group may be further");
    partitions.lost(std::slice::from_ref(&key));
    let lost = next();
    assert!(matches!(lost, KafkaEvent::Lost { .. }), "{lost:?}");
    drop(closing);
    // It goes before its start is known again.
    rig.tracker(5);
    partitions.rewind();
    assert!(partitions.close(std::slice::from_ref(&key)).is_empty());
    let lost = next();
    assert!(matches!(lost, KafkaEvent::Lost { .. }), "{lost:?}");
    assert!(rig.shared.trackers().is_empty());
}

#[tokio::test]
async fn a_partition_that_is_read_anew_is_not_done_up_to_the_place_where_it_was() {
    let rig = Rig::new(3).await;
    let mut readings = Readings::new(&rig.clients, &rig.shared, Duration::ZERO);
    readings.begin(&rig.tracker(0), 0);
    rig.read_to(&mut readings, 3).await;
    drop(rig.take(10));
    readings.go_back(Duration::ZERO);
    // Nothing has come since, so that librdkafka's position may be the one of before.
    readings.advance();
    let tracker = rig.current();
    assert_eq!(tracker.resume(), Some(0), "nothing is done");
    assert_eq!(tracker.take_commit().map(|(offset, _)| offset), Some(0));

    rig.read_to(&mut readings, 3).await;
    drop(rig.take(10));
    readings.stop(&[tracker.key()]);
    let tracker = rig.tracker(0);
    readings.begin(&tracker, 0);
    readings.advance();
    assert_eq!(tracker.resume(), Some(0), "nothing is done");
}

#[tokio::test]
async fn a_gap_of_trimmed_records_is_passed_at_once_also_where_no_record_follows() {
    let rig = Rig::new(0).await;
    let gaps = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = Arc::clone(&gaps);
    let on_gap: GapFn = Arc::new(move |gap: &Gap| {
        noted.lock().push(gap.cause);
    });
    let search = Search {
        start: OffsetReset::Earliest,
        generation: 0,
        opened_with: [].into(),
    };
    let mut partitions = Partitions::new(
        &rig.clients,
        &rig.shared,
        &rig.settings,
        search,
        Some(on_gap),
    );
    let tracker = rig.tracker(10);
    let log = Log {
        low: 60,
        high: 60,
        topic: None,
    };
    let answer = Answer::Log(Arc::clone(&tracker), Ok(log));
    partitions.answered(answer).expect("gaps are reported");
    assert_eq!(*gaps.lock(), [GapCause::Trimmed]);
    // The next member would report the same gap again.
    assert_eq!(tracker.take_commit().map(|(offset, _)| offset), Some(60));
    assert_eq!(tracker.position(), 60);
}
