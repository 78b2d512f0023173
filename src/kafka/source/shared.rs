//! The state shared by the source's handles, its thread and librdkafka's callbacks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Notify;

use super::super::connection::Connection;
use super::super::error::KafkaError;
use super::super::stats::SourceMeter;
use super::message::Key;
use super::output::Output;
use super::tracker::{Admission, PartitionTracker};
use crate::admission::Limits;
use crate::error::ErrorKind;
use crate::health::OperationReporter;

/// The longest time between two commits that are tried.
const COMMIT_GAP: Duration = Duration::from_secs(60);

pub(super) struct Shared {
    pub(super) output: Output,
    pub(super) admission: Arc<Admission>,
    pub(super) meter: SourceMeter,
    pub(super) connection: Connection,
    /// The state of commits, for log and health.
    pub(super) commits: OperationReporter,
    /// The state of questions for the partitions' starts, for log and health.
    pub(super) lookups: OperationReporter,
    /// The state of partitions that have records of which none comes.
    pub(super) silence: OperationReporter,
    /// Nothing more is handed out.
    pub(super) stopped: AtomicBool,
    /// The number of partitions whose start is known.
    pub(super) open: AtomicUsize,
    /// Wakes the source's thread.
    pub(super) wake: Arc<Notify>,
    trackers: Mutex<HashMap<Key, Arc<PartitionTracker>>>,
    failure: Mutex<Option<KafkaError>>,
}

impl Shared {
    pub(super) fn new(limits: Limits, group: &str) -> Arc<Self> {
        let wake = Arc::new(Notify::new());
        let name = Arc::from("kafka consumer");
        Arc::new(Self {
            output: Output::default(),
            admission: Arc::new(Admission::new(limits, Arc::clone(&wake))),
            meter: SourceMeter::new(group),
            connection: Connection::new("kafka consumer"),
            commits: OperationReporter::new(&name, "offset commit", COMMIT_GAP),
            lookups: OperationReporter::new(&name, "offset lookup", COMMIT_GAP),
            silence: OperationReporter::new(&name, "fetch", COMMIT_GAP),
            stopped: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            wake,
            trackers: Mutex::default(),
            failure: Mutex::default(),
        })
    }

    pub(super) fn tracker(&self, key: &Key) -> Option<Arc<PartitionTracker>> {
        self.trackers.lock().get(key).cloned()
    }

    pub(super) fn trackers(&self) -> Vec<Arc<PartitionTracker>> {
        self.trackers.lock().values().cloned().collect()
    }

    /// Adds the tracker of a partition, or replaces it.
    pub(super) fn track(&self, tracker: &Arc<PartitionTracker>) {
        let key = (Arc::clone(&tracker.topic), tracker.partition);
        let mut trackers = self.trackers.lock();
        let before = trackers.insert(key, Arc::clone(tracker));
        self.admission.share_among(trackers.len());
        drop(trackers);
        if let Some(before) = before {
            before.retire();
        }
    }

    /// Ends a partition: what was handed out of it and is not done is not current any more, and what
    /// was not taken is taken back.
    pub(super) fn untrack(&self, key: &Key) -> Option<Arc<PartitionTracker>> {
        let tracker = {
            let mut trackers = self.trackers.lock();
            let tracker = trackers.remove(key)?;
            self.admission.share_among(trackers.len());
            tracker
        };
        tracker.retire();
        self.output.withdraw(&key.0, key.1);
        // Its next member has the lag from now on: summed up, it would count twice.
        self.meter.lag(&key.0, key.1, 0);
        Some(tracker)
    }

    /// Returns the error of a client that may not use its group.
    pub(super) fn group_refused(&self) -> KafkaError {
        KafkaError::GroupRefused {
            group: self.meter.group().into(),
            reason: RDKafkaErrorCode::GroupAuthorizationFailed
                .to_string()
                .into(),
        }
    }

    /// Returns the reason why the client works no more.
    pub(super) fn failure(&self) -> Option<KafkaError> {
        let failure = self.failure.lock();
        failure.clone()
    }

    /// Notes why the client works no more. The first reason counts.
    pub(super) fn fail(&self, error: &KafkaError) {
        let mut failure = self.failure.lock();
        failure.get_or_insert_with(|| error.clone());
        drop(failure);
        self.wake.notify_one();
    }

    /// Publishes the gauges, and logs what has begun to last.
    pub(super) fn publish(&self) {
        let level = self.admission.level();
        let open = self.open.load(SeqCst);
        self.meter.level(level.records, level.bytes, open);
        self.connection.advance();
        self.commits.advance();
        self.lookups.advance();
        self.silence.advance();
    }
}

/// Ends the output however the thread ends: a caller must not wait for ever.
pub(super) struct EndOutput(pub(super) Arc<Shared>);

impl Drop for EndOutput {
    fn drop(&mut self) {
        let error = std::thread::panicking().then(|| KafkaError::Fatal {
            kind: ErrorKind::Internal,
            reason: "the source's thread panicked".into(),
        });
        if let Some(error) = &error {
            self.0.fail(error);
        }
        self.0.output.end(error);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use metrics::{Counter, Gauge, Histogram, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;

    /// The gauge of the lag of the one partition that there is.
    #[derive(Default)]
    struct LagGauge(Mutex<Arc<AtomicU64>>);

    impl Recorder for LagGauge {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &metrics::Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, key: &metrics::Key, _: &Metadata<'_>) -> Gauge {
            match key.name() {
                "kafka_source_lag" => Gauge::from_arc(Arc::clone(&self.0.lock())),
                _ => Gauge::noop(),
            }
        }

        fn register_histogram(&self, _: &metrics::Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn a_partition_that_is_another_members_has_no_lag_here() {
        let recorder = LagGauge::default();
        metrics::with_local_recorder(&recorder, || {
            let limits = Limits {
                records: 10,
                bytes: 1 << 20,
            };
            let shared = Shared::new(limits, "group");
            let admission = Arc::clone(&shared.admission);
            let tracker = PartitionTracker::new("events".into(), 0, admission);
            shared.track(&tracker);
            shared.meter.lag("events", 0, 7);
            let lag = || f64::from_bits(recorder.0.lock().load(SeqCst));
            assert_eq!(lag().to_bits(), 7_f64.to_bits());
            shared.untrack(&tracker.key());
            assert_eq!(lag().to_bits(), 0_f64.to_bits());
        });
    }
}
