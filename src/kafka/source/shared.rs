//! The state shared by the source's handles, its thread and librdkafka's callbacks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::{Notify, oneshot};

use super::super::connection::Connection;
use super::super::error::KafkaError;
use super::super::stats::SourceMeter;
use super::admission::Admission;
use super::message::Key;
use super::output::Output;
use super::tracker::{PartitionTracker, to_commit};
use crate::admission::Limits;
use crate::error::ErrorKind;
use crate::health::OperationReporter;

/// The longest time between two commits that are tried.
const COMMIT_GAP: Duration = Duration::from_secs(60);

/// The answer to a caller that waits for a rewind.
type Rewound = oneshot::Sender<()>;

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
    /// Offsets are committed by a transaction, and never here.
    pub(super) by_transaction: AtomicBool,
    /// Nothing more is handed out.
    pub(super) stopped: AtomicBool,
    /// The number of partitions whose start is known.
    pub(super) open: AtomicUsize,
    /// Wakes the source's thread.
    pub(super) wake: Arc<Notify>,
    trackers: Mutex<HashMap<Key, Arc<PartitionTracker>>>,
    /// Callers that wait until all partitions begin anew at the group's offsets. `None` once the thread has ended.
    rewinds: Mutex<Option<Vec<Rewound>>>,
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
            by_transaction: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            wake,
            trackers: Mutex::default(),
            rewinds: Mutex::new(Some(Vec::new())),
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

    /// Has all open partitions begin anew at the group's offsets. Resolves when nothing that was handed out before is current.
    #[cfg(feature = "pipeline")]
    pub(super) async fn rewind(&self) {
        let (done, rewound) = oneshot::channel();
        let is_asked = match &mut *self.rewinds.lock() {
            Some(rewinds) => {
                rewinds.push(done);
                true
            }
            None => false,
        };
        // Where the thread has ended, or ends meanwhile, nothing is current either.
        if is_asked {
            self.wake.notify_one();
            let _ = rewound.await;
        }
    }

    /// Takes the callers that wait for a rewind.
    pub(super) fn take_rewinds(&self) -> Vec<Rewound> {
        let mut rewinds = self.rewinds.lock();
        rewinds.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns what of these partitions is to be committed, which counts as committed from then on. None of
    /// it is where a transaction commits: an offset of its own would pass one that is open.
    pub(super) fn to_commit(
        &self,
        trackers: &[Arc<PartitionTracker>],
    ) -> Option<TopicPartitionList> {
        let by_transaction = self.by_transaction.load(SeqCst);
        (!by_transaction).then(|| to_commit(trackers)).flatten()
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
        drop(self.0.rewinds.lock().take());
        // A control may be kept for longer.
        self.0.open.store(0, SeqCst);
        self.0.meter.level(0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::Recorded;

    fn shared() -> Arc<Shared> {
        let limits = Limits {
            records: 10,
            bytes: 1 << 20,
        };
        Shared::new(limits, "group")
    }

    #[test]
    fn a_partition_that_is_another_members_has_no_lag_here() {
        let recorded = Recorded::default();
        metrics::with_local_recorder(&recorded, || {
            let shared = shared();
            let admission = Arc::clone(&shared.admission);
            let tracker = PartitionTracker::new("events".into(), 0, admission);
            shared.track(&tracker);
            shared.meter.lag("events", 0, 7);
            let lag = || recorded.gauge("kafka_source_lag{group,events,0}");
            assert_eq!(lag(), Some(7));
            shared.untrack(&tracker.key());
            assert_eq!(lag(), Some(0));
        });
    }

    #[cfg(feature = "pipeline")]
    #[test]
    fn a_rewind_is_over_once_the_thread_has_ended() {
        use futures::FutureExt as _;

        let shared = shared();
        let mut waiting = Box::pin(shared.rewind());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(EndOutput(Arc::clone(&shared)));
        assert!(waiting.now_or_never().is_some(), "asked before");
        assert!(shared.rewind().now_or_never().is_some(), "asked after");
        assert!(shared.take_rewinds().is_empty());
    }

    #[test]
    fn nothing_is_committed_where_a_transaction_does_and_it_is_not_taken_for_committed() {
        let shared = shared();
        let admission = Arc::clone(&shared.admission);
        let tracker = PartitionTracker::new("events".into(), 0, admission);
        tracker.start(5, "mark".into());
        let trackers = [Arc::clone(&tracker)];
        shared.by_transaction.store(true, SeqCst);
        assert!(shared.to_commit(&trackers).is_none());
        assert_eq!(tracker.owned(), Some((5, "mark".into())));
        tracker.close();
        assert!(tracker.owned().is_some(), "until it is given up");
        tracker.retire();
        assert_eq!(tracker.owned(), None);
        shared.by_transaction.store(false, SeqCst);
        assert!(shared.to_commit(&trackers).is_some());
    }
}
