//! A queued write and its state.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::lane::Weight;
use crate::capacity::{BudgetKey, WriteCost};
use crate::retry::ServiceError;
use crate::sink::outcome::Outcome;
use crate::sink::payload::Payload;
use crate::sink::record::Record;

/// The state of a queued write.
#[derive(Debug)]
pub(super) enum State {
    /// Behind an earlier write of one of its keys.
    Blocked,
    /// In a lane.
    Ready,
    /// Parked: waits for the budget of its hot key or of an index.
    Parked(BudgetKey),
    /// To be sent again, not before a time.
    Delayed,
    /// In a batch under bisection, to be sent again.
    Isolated,
    /// In a request.
    InFlight,
    /// Refused alone. It is rejected once its group shows that the table is unchanged.
    RefusedAlone,
    /// Has its outcome. The dead-letter handler has the record, and the key stays taken until the
    /// handler has answered.
    DeadLettered(Box<Outcome>),
}

/// The lines (one per key) that a write stands in.
#[derive(Clone, Debug)]
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

/// A write as it was submitted. `C` is what completes it.
#[derive(Debug)]
pub(super) struct Write<C> {
    /// Its number, in the order of submission.
    pub(super) number: u64,
    pub(super) epoch: u64,
    pub(super) payload: Payload,
    /// Length in a batch's body, known here because the data move into the body.
    pub(super) batch_len: usize,
    /// The units that the write takes from the budgets.
    pub(super) cost: WriteCost,
    pub(super) completion: C,
    pub(super) accepted_at: Duration,
    pub(super) deadline: Option<Duration>,
    /// Attempts in all, for reports.
    pub(super) attempts: u32,
    pub(super) last_error: Option<ServiceError>,
}

impl<C> Write<C> {
    /// Returns the write as callers see it.
    pub(super) fn to_record(&self, table: &Arc<str>) -> Record {
        self.payload.to_record(table, self.attempts)
    }
}

/// A place in the queue, and the write that has it.
#[derive(Debug)]
pub(super) struct Entry<C> {
    /// The number of the first write in this place, which a newer one may have taken since. It is the
    /// place's age, and tells it from others that had its slot.
    pub(super) seq: u64,
    pub(super) write: Write<C>,
    pub(super) lines: Lines,
    pub(super) state: State,
    /// Attempts that failed for another reason than throttling; these count against the policy.
    pub(super) failures: u32,
    /// Attempts throttled in a row; these drive the delay alone.
    pub(super) throttles: u32,
    pub(super) may_have_applied: bool,
    pub(super) first_sent: Option<Duration>,
    pub(super) group: Option<u64>,
    /// The number of the request in which it was refused alone first.
    pub(super) refused_in: Option<u64>,
    /// The times that it was sent again since its refusal was in doubt.
    pub(super) doubts: u8,
    /// Set while it has a retry from the budget, for its request or for those that failed with it.
    pub(super) paid: bool,
    /// Writes whose place this one has taken, oldest first.
    pub(super) older: VecDeque<Write<C>>,
}

impl<C> Entry<C> {
    /// Returns a place of its own for a write that was not sent.
    pub(super) fn new(write: Write<C>, lines: Lines) -> Self {
        Self {
            seq: write.number,
            write,
            lines,
            state: State::Blocked,
            failures: 0,
            throttles: 0,
            may_have_applied: false,
            first_sent: None,
            group: None,
            refused_in: None,
            doubts: 0,
            paid: false,
            older: VecDeque::new(),
        }
    }

    /// Puts another write into this place, to be sent anew. Returns the one that had it.
    pub(super) fn replace(&mut self, write: Write<C>) -> Write<C> {
        self.failures = 0;
        self.throttles = 0;
        self.may_have_applied = false;
        self.first_sent = None;
        self.group = None;
        self.refused_in = None;
        self.doubts = 0;
        std::mem::replace(&mut self.write, write)
    }

    pub(super) fn weight(&self) -> Weight {
        Weight {
            bytes: self.write.batch_len,
            units: self.write.cost.units,
        }
    }

    pub(super) fn is_live(&self, seq: u64) -> bool {
        self.seq == seq
    }

    /// Returns whether a write that may have been applied may be sent again.
    pub(super) fn may_be_sent_again(&self, now: Duration, token_life: Duration) -> bool {
        match &self.write.payload {
            Payload::Plain { .. } => true,
            Payload::Single { idempotent, .. } => *idempotent,
            Payload::Transaction { .. } => self
                .first_sent
                .is_none_or(|sent| now.saturating_sub(sent) < token_life),
        }
    }

    /// Returns whether a newer plain write may take this one's place.
    pub(super) fn may_be_superseded(&self) -> bool {
        self.write.payload.is_plain()
            && self.group.is_none()
            && !self.may_have_applied
            && matches!(
                self.state,
                State::Blocked | State::Ready | State::Parked(_) | State::Delayed
            )
    }
}
