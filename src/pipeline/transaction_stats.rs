//! The counts of the transactions that a pipeline ends in.

use std::fmt;
use std::time::Duration;

#[cfg(feature = "kafka")]
pub(super) use counted::TransactionCounts;

/// The counts of a pipeline's transactions, where it ends in them (`to_transactional`). Displayed in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionReport {
    /// Transactions that were committed.
    pub committed: u64,
    /// Transactions that ended since another producer had the same id, or since they took longer than the
    /// `transaction_timeout` of their settings.
    pub fenced: u64,
    /// Transactions of which a call failed, or a partition was lost. One whose commit has no answer is among these, and may be
    /// committed all the same.
    pub failed: u64,
    /// Transactions that were aborted since brokers refused a record.
    pub refused: u64,
    /// Transactions that were aborted since a record was not delivered.
    pub undelivered: u64,
    /// Producers that took another one's place: after a transaction that failed, and after a commit that was slow.
    pub renewed: u64,
    /// Times that the source went back to what is committed, after a transaction that held records.
    pub rewound: u64,
    /// The time since the open transaction began; `None` where none is open.
    pub open: Option<Duration>,
}

impl TransactionReport {
    /// Returns the number of transactions that were not committed, as far as is known.
    #[must_use]
    pub fn aborted(&self) -> u64 {
        self.fenced + self.failed + self.refused + self.undelivered
    }

    /// Returns the sums of these and those of another run or group.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            committed: self.committed + other.committed,
            fenced: self.fenced + other.fenced,
            failed: self.failed + other.failed,
            refused: self.refused + other.refused,
            undelivered: self.undelivered + other.undelivered,
            renewed: self.renewed + other.renewed,
            rewound: self.rewound + other.rewound,
            open: self.open.max(other.open),
        }
    }
}

impl fmt::Display for TransactionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} transactions", self.committed)?;
        match self.aborted() {
            0 => Ok(()),
            aborted => write!(f, ", {aborted} aborted"),
        }
    }
}

#[cfg(feature = "kafka")]
mod counted {
    use std::time::Duration;

    use parking_lot::Mutex;

    use super::super::commit::{Outcome, Step};
    use super::TransactionReport;
    use crate::kafka::Verdict;

    /// Counted by the driver, a few times a second, and read by any.
    #[derive(Debug, Default)]
    pub(in super::super) struct TransactionCounts(Mutex<Counted>);

    #[derive(Debug, Default)]
    struct Counted {
        /// But for the time of the open one.
        report: TransactionReport,
        /// The begin of the open one, and the time at which its gate was closed.
        began: Option<Duration>,
        cut: Duration,
        /// The times of commits that are not published.
        commits: Vec<Duration>,
    }

    impl TransactionCounts {
        /// Notes the outcome of a step, and the next one; `None` at the end.
        pub(in super::super) fn note(
            &self,
            now: Duration,
            step: Step,
            outcome: Outcome,
            next: Option<Step>,
        ) {
            let mut counted = self.0.lock();
            match (step, outcome) {
                (Step::Begin, Outcome::Done) => counted.began = Some(now),
                (Step::Pass { .. }, _) => counted.cut = now,
                (Step::Commit, Outcome::Done) => {
                    counted.began = None;
                    counted.report.committed += 1;
                    let took = now.saturating_sub(counted.cut);
                    counted.commits.push(took);
                }
                (Step::Abort, Outcome::Done) => counted.began = None,
                (Step::Renew, Outcome::Done) => {
                    counted.began = None;
                    counted.report.renewed += 1;
                }
                _ => {}
            }
            let was_open = matches!(step, Step::Deliver | Step::SendOffsets | Step::Commit);
            if was_open && matches!(next, None | Some(Step::Abort | Step::Renew)) {
                let report = &mut counted.report;
                let count = match outcome {
                    Outcome::Failed(Verdict::Fenced) => &mut report.fenced,
                    Outcome::Undelivered => &mut report.undelivered,
                    Outcome::Refused { .. } => &mut report.refused,
                    Outcome::Failed(_)
                    | Outcome::Done
                    | Outcome::Empty
                    | Outcome::Settled { .. } => &mut report.failed,
                };
                *count += 1;
            }
        }

        /// Notes that brokers refused a letter, which ends the pipeline.
        pub(in super::super) fn letter_refused(&self) {
            self.0.lock().report.refused += 1;
        }

        /// Notes that the source goes back to what is committed.
        pub(in super::super) fn rewound(&self) {
            self.0.lock().report.rewound += 1;
        }

        /// Notes that nothing is open any more.
        pub(in super::super) fn closed(&self) {
            self.0.lock().began = None;
        }

        pub(in super::super) fn report(&self, now: Duration) -> TransactionReport {
            let counted = self.0.lock();
            TransactionReport {
                open: counted.began.map(|began| now.saturating_sub(began)),
                ..counted.report
            }
        }

        /// Takes the times of commits, from the closing of the gate to the answer, since this was last asked.
        pub(in super::super) fn take_commits(&self) -> Vec<Duration> {
            std::mem::take(&mut self.0.lock().commits)
        }
    }
}
