//! A queued write and where it stands.

use std::time::Duration;

use super::lane::Weight;
use crate::capacity::{BudgetKey, WriteCost};
use crate::retry::ServiceError;
use crate::sink::outcome::Outcome;
use crate::sink::payload::Payload;

/// Where a write stands.
#[derive(Debug)]
pub(super) enum State {
    /// Behind an earlier write on this many of its keys.
    Blocked(usize),
    /// In a lane.
    Ready,
    /// Waits for its partition key's or an index's budget.
    Parked(BudgetKey),
    /// To be sent again, not before a time.
    Delayed,
    /// In a batch under bisection, to be sent again.
    Isolated,
    /// In this request.
    InFlight,
    /// Refused alone; the verdict waits for its group.
    Suspect,
    /// Has its outcome; the dead-letter handler has the record, and the key is held until it
    /// answered.
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
    /// What it takes of the budgets.
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
    pub(super) last_error: Option<ServiceError>,
}

impl<C> Entry<C> {
    pub(super) fn weight(&self) -> Weight {
        Weight {
            bytes: self.batch_len,
            units: self.cost.units,
        }
    }

    pub(super) fn is_live(&self, seq: u64) -> bool {
        self.seq == seq
    }

    /// Whether a write that may have been applied may be sent again.
    pub(super) fn may_be_sent_again(&self, now: Duration, token_life: Duration) -> bool {
        match &self.payload {
            Payload::Plain { .. } => true,
            Payload::Single { idempotent, .. } => *idempotent,
            Payload::Transaction { .. } => self
                .first_sent
                .is_none_or(|sent| now.saturating_sub(sent) < token_life),
        }
    }

    /// Whether a newer plain write may take this one's place.
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
