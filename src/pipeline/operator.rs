//! An operator's name, policy and counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::delivery::{Delivery, Ended, Failure, Holder};
use super::reason::Reason;
use crate::health::{Health, OperationReporter};

/// The policy for a record that an operator refuses: an invalid one, a failed or missing lookup, a
/// panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnFailure {
    /// It goes to the dead-letter output with the reason; where there is none, the pipeline stops.
    #[default]
    DeadLetter,
    /// The pipeline stops with an error; the record stays un-acknowledged.
    Stop,
    /// It is counted as skipped, and acknowledged.
    Skip,
}

/// An operator, the source or the sink, as it is known to others.
#[derive(Debug)]
pub struct Operator {
    pub(super) name: Arc<str>,
    pub(super) kind: &'static str,
    pub(super) on_failure: OnFailure,
    pub(super) counts: Counts,
    /// The state of what it tries without end, for log and health: an operator's lookups, a sink's
    /// writes.
    reporter: OnceLock<OperationReporter>,
}

/// Counted by the one task that runs the pipeline, read by any: so a load and a store do, which
/// cost no locked instruction.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) taken: Count,
    pub(super) passed: Count,
    pub(super) skipped: Count,
    pub(super) withdrawn: Count,
    /// Not only by that task: a sink rejects from wherever it finds out.
    pub(super) dead_lettered: AtomicU64,
    pub(super) errors: AtomicU64,
    /// Only of the source, and of the dead-letter output.
    pub(super) acknowledged: AtomicU64,
}

/// A count with one writer.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add_one(&self) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Operator {
    pub(super) fn new(kind: &'static str, name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            kind,
            on_failure: OnFailure::default(),
            counts: Counts::default(),
            reporter: OnceLock::new(),
        }
    }

    /// Has failures of an operation reported. `longest_gap` is the longest time between two
    /// attempts.
    pub(super) fn report(&self, operation: &'static str, longest_gap: Duration) {
        self.reporter
            .get_or_init(|| OperationReporter::new(&self.name, operation, longest_gap));
    }

    /// Notes a failure of the operation that is reported.
    pub(super) fn failed(&self, cause: String) {
        if let Some(reporter) = self.reporter.get() {
            reporter.failed(cause);
        }
    }

    /// Notes a success of the operation that is reported.
    pub(super) fn succeeded(&self) {
        if let Some(reporter) = self.reporter.get() {
            reporter.succeeded();
        }
    }

    pub(super) fn health(&self) -> Health {
        let reporter = self.reporter.get();
        reporter.map_or(Health::Healthy, OperationReporter::health)
    }

    /// Returns the delivery if its record is still the source's, else ends the work on it.
    pub(super) fn current(&self, delivery: Delivery) -> Option<Delivery> {
        if delivery.is_current() {
            return Some(delivery);
        }
        self.counts.withdrawn.add_one();
        delivery.withdraw();
        None
    }

    /// Hands a delivery to the sink or the dead-letter output if its record is still the source's,
    /// else ends the work on it.
    pub(super) fn hand(&self, mut delivery: Delivery, holder: Holder) -> Option<Delivery> {
        if delivery.hand_to(holder) {
            return Some(delivery);
        }
        self.counts.withdrawn.add_one();
        delivery.withdraw();
        None
    }

    /// Numbered by its place among the operators, the first being 1.
    pub(super) fn numbered(kind: &'static str, number: usize) -> Self {
        Self::new(kind, format!("{kind}-{number}"))
    }

    /// Ends a value that this operator refuses, by its policy.
    pub(super) fn fail(&self, delivery: Delivery, reason: Reason) {
        self.end(delivery, reason, self.on_failure);
    }

    /// Ends a value that this operator refuses, by its policy, after so many attempts.
    pub(super) fn fail_after(&self, delivery: Delivery, reason: Reason, attempts: u32) {
        self.end_after(delivery, reason, self.on_failure, attempts);
    }

    /// Ends a value that this operator refuses.
    pub(super) fn end(&self, delivery: Delivery, reason: Reason, policy: OnFailure) {
        self.end_after(delivery, reason, policy, 1);
    }

    fn end_after(&self, delivery: Delivery, reason: Reason, policy: OnFailure, attempts: u32) {
        if policy == OnFailure::Skip {
            return self.skip(delivery);
        }
        let ended = delivery.fail(Failure {
            operator: Arc::clone(&self.name),
            reason,
            attempts,
            stop: policy == OnFailure::Stop,
        });
        if ended == Ended::Withdrawn {
            self.counts.withdrawn.add_one();
        }
        self.count_end(ended);
    }

    pub(super) fn count_end(&self, ended: Ended) {
        let count = match ended {
            Ended::DeadLettered => &self.counts.dead_lettered,
            Ended::Stopped => &self.counts.errors,
            // Counted by the one task that may count it.
            Ended::Withdrawn => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a value of which nothing comes, with nothing wrong.
    pub(super) fn skip(&self, delivery: Delivery) {
        self.counts.skipped.add_one();
        delivery.done();
    }
}
