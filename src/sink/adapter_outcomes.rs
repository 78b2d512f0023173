//! The outcomes that an adapter keeps for its owner.

use parking_lot::Mutex;

use super::outcome::Outcome;

/// Outcomes of the writes that went through one [`RecordSink`](super::RecordSink).
#[derive(Debug, Default)]
pub(super) struct AdapterOutcomes {
    state: Mutex<AdapterState>,
}

#[derive(Debug, Default)]
struct AdapterState {
    failed: Vec<Outcome>,
    /// Set once the adapter was dropped, and reports no more.
    orphaned: bool,
}

/// The largest number of failures that an adapter keeps for its owner. Further ones are reported by
/// `flush` and `close` of the table.
const MAX_KEPT_FAILURES: usize = 100;

impl AdapterOutcomes {
    /// Takes an outcome. A failed write that the dead-letter handler has taken is not kept.
    pub(super) fn take(&self, outcome: Outcome, handled: bool) -> Result<(), Outcome> {
        let failed = matches!(
            outcome,
            Outcome::Rejected { .. } | Outcome::Unknown { .. } | Outcome::Unwritten { .. }
        );
        if !failed || handled {
            return Ok(());
        }
        let mut state = self.state.lock();
        if state.orphaned || state.failed.len() >= MAX_KEPT_FAILURES {
            return Err(outcome);
        }
        state.failed.push(outcome);
        Ok(())
    }

    /// Notes that the adapter is gone, and returns the failures that it has not reported.
    pub(super) fn orphan(&self) -> Vec<Outcome> {
        let mut state = self.state.lock();
        state.orphaned = true;
        std::mem::take(&mut state.failed)
    }

    /// Returns the failures that are kept, once.
    pub(super) fn take_failed(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.state.lock().failed)
    }
}
