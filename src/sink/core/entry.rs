//! A queued write and its state.

use std::sync::Arc;
use std::time::Duration;

use super::access::Suspicion;
use super::lane::Weight;
use super::supersede::Older;
use crate::capacity::{BudgetKey, WriteCost};
use crate::retry::ServiceError;
use crate::sink::outcome::{Outcome, Record};
use crate::sink::payload::Payload;

/// The state of a queued write.
#[derive(Debug)]
pub(super) enum State {
    /// Behind an earlier write on this many of its keys.
    Blocked(usize),
    /// In a lane.
    Ready,
    /// Parked: waits for the budget of its hot key or of an index.
    Parked(BudgetKey),
    /// To be sent again, not before a time.
    Delayed,
    /// In a batch under bisection, to be sent again.
    Isolated,
    /// In this request.
    InFlight,
    /// Refused alone. It is rejected once its group shows that the table is unchanged.
    RefusedAlone,
    /// Has its outcome. The dead-letter handler has the record, and the key stays taken until the
    /// handler has answered.
    DeadLettered(Box<Outcome>),
}

/// The lines (one per key) that a write stands in.
#[derive(Debug)]
pub(super) enum Lines {
    One(usize),
    Many(Vec<usize>),
}

impl Lines {
    pub(super) fn as_slice(&self) -> &[usize] {
        match self {
            Self::One(line) => std::slice::from_ref(line),
            Self::Many(lines) => lines,
        }
    }
}

/// A queued write. `C` is what completes it.
#[derive(Debug)]
pub(super) struct Entry<C> {
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) payload: Payload,
    /// Length in a batch's body, known here because the data moves into the body.
    pub(super) batch_len: usize,
    /// The units that the write takes from the budgets.
    pub(super) cost: WriteCost,
    pub(super) lines: Lines,
    pub(super) state: State,
    pub(super) completion: C,
    pub(super) accepted_at: Duration,
    pub(super) deadline: Option<Duration>,
    /// Attempts in all, for reports.
    pub(super) attempts: u32,
    /// Attempts that failed for another reason than throttling; these count against the policy.
    pub(super) failures: u32,
    /// Attempts throttled in a row; these drive the delay alone.
    pub(super) throttles: u32,
    pub(super) may_have_applied: bool,
    pub(super) first_sent: Option<Duration>,
    pub(super) group: Option<u64>,
    /// Set once it was refused by itself for a reason that it need not be the cause of.
    pub(super) suspicion: Option<Suspicion>,
    pub(super) last_error: Option<ServiceError>,
    /// Writes whose place this one has taken, oldest first.
    pub(super) older: Vec<Older<C>>,
}

impl<C> Entry<C> {
    pub(super) fn weight(&self) -> Weight {
        Weight {
            bytes: self.batch_len,
            units: self.cost.units,
        }
    }

    /// Returns the write as callers see it.
    pub(super) fn to_record(&self, table: &Arc<str>) -> Record {
        self.payload.to_record(table, self.attempts)
    }

    pub(super) fn is_live(&self, seq: u64) -> bool {
        self.seq == seq
    }

    /// Returns whether a write that may have been applied may be sent again.
    pub(super) fn may_be_sent_again(&self, now: Duration, token_life: Duration) -> bool {
        match &self.payload {
            Payload::Plain { .. } => true,
            Payload::Single { idempotent, .. } => *idempotent,
            Payload::Transaction { .. } => self
                .first_sent
                .is_none_or(|sent| now.saturating_sub(sent) < token_life),
        }
    }

    /// Returns whether a newer plain write may take this one's place.
    pub(super) fn may_be_superseded(&self) -> bool {
        self.payload.is_plain()
            && self.group.is_none()
            && !self.may_have_applied
            && matches!(
                self.state,
                State::Blocked(_) | State::Ready | State::Parked(_) | State::Delayed
            )
    }
}
