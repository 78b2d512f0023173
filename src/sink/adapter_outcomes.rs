//! The outcomes that an adapter keeps for its owner.

use parking_lot::Mutex;

use super::outcome::Outcome;
use crate::progress::Unobserved;

/// Outcomes of the writes that went through one [`RecordSink`](super::RecordSink).
#[derive(Debug)]
pub(super) struct AdapterOutcomes {
    state: Mutex<AdapterState>,
}

#[derive(Debug)]
struct AdapterState {
    failed: Unobserved<Outcome>,
    /// Set once the adapter was dropped, and reports no more.
    orphaned: bool,
}

/// The largest number of failures that an adapter keeps for its owner. Further ones are reported by
/// `flush` and `close` of the table.
const MAX_KEPT_FAILURES: usize = 100;

impl AdapterOutcomes {
    /// Returns an empty store, for failures with records of this many bytes at most.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            state: Mutex::new(AdapterState {
                failed: Unobserved::new(MAX_KEPT_FAILURES, max_bytes),
                orphaned: false,
            }),
        }
    }

    /// Takes an outcome, or gives it back where there is no room or no owner any more. A failed write
    /// that the dead-letter handler has taken is not kept.
    pub(super) fn take(&self, outcome: Outcome, handled: bool) -> Result<(), Outcome> {
        let failed = matches!(
            outcome,
            Outcome::Rejected { .. } | Outcome::Unknown { .. } | Outcome::Unwritten { .. }
        );
        if !failed || handled {
            return Ok(());
        }
        let mut state = self.state.lock();
        if state.orphaned || state.failed.is_full() {
            return Err(outcome);
        }
        let bytes = outcome.held_bytes();
        state.failed.keep(outcome, bytes);
        Ok(())
    }

    /// Notes that the adapter is gone, and returns the failures that it has not reported.
    pub(super) fn orphan(&self) -> Vec<Outcome> {
        let mut state = self.state.lock();
        state.orphaned = true;
        state.failed.take()
    }

    /// Returns the failures that are kept, once.
    pub(super) fn take_failed(&self) -> Vec<Outcome> {
        self.state.lock().failed.take()
    }
}
