//! A queued write and its state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::lane::{Stay, Weight};
use super::list::{Linked, Links};
use crate::capacity::{BudgetKey, WriteCost};
use crate::retry::ServiceError;
use crate::sink::outcome::Outcome;
use crate::sink::payload::Payload;
use crate::sink::record::WriteRecord;

/// The state of a queued write. It says in which queue the write stands, see
/// [`Queue`](super::queue::Queue).
#[derive(Debug)]
pub(super) enum State {
    /// Behind an earlier write of one of its keys.
    Blocked,
    /// In a lane.
    Ready(Stay),
    /// Parked: waits for the budget of its hot key or of an index.
    Parked(BudgetKey, Stay),
    /// To be sent again, not before this time.
    Delayed {
        until: Duration,
        /// Set if the retry budget has to pay for it.
        unpaid: bool,
    },
    /// To be sent again since this time, once the retry budget has paid for it.
    Unpaid(Duration),
    /// In the part of this number of a batch under bisection, to be sent again.
    Isolated(u64),
    /// In a request.
    InFlight,
    /// Refused alone. It is rejected once its group shows that the table is unchanged.
    RefusedAlone,
    /// Has its outcome. The dead-letter handler has the record, and the key stays taken until the
    /// handler has answered.
    DeadLettered(Box<Outcome>),
}

/// The places (one for each key) of a write in the lines of its keys.
#[derive(Debug)]
pub(super) enum Places {
    One(usize),
    Many(Vec<usize>),
}

impl Places {
    pub(super) fn as_slice(&self) -> &[usize] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
        }
    }

    /// Returns the same number of places, made from each of these.
    pub(super) fn try_map(&self, make: impl FnMut(usize) -> Option<usize>) -> Option<Self> {
        let mut make = make;
        match self {
            Self::One(place) => make(*place).map(Self::One),
            Self::Many(places) => {
                let places: Option<_> = places.iter().map(|&place| make(place)).collect();
                places.map(Self::Many)
            }
        }
    }
}

/// The attempts to carry a write out.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// All attempts, for reports.
    pub(super) count: u32,
    /// Attempts that failed for another reason than throttling. They count against the retry
    /// policy.
    pub(super) failures: u32,
    /// Attempts throttled in a row. They only set the delay.
    pub(super) throttles: u32,
    pub(super) may_have_applied: bool,
    pub(super) first_sent: Option<Duration>,
    pub(super) last_error: Option<ServiceError>,
    /// The number of the request in which the write was refused alone first.
    pub(super) refused_in: Option<u64>,
    /// The times that it was sent again because its refusal proved nothing yet.
    pub(super) repeats: u8,
}

/// A write as it was submitted, and its attempts. `C` completes it.
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
    pub(super) attempts: Attempts,
    /// The batch under bisection that it belongs to.
    pub(super) group: Option<u64>,
}

impl<C> Write<C> {
    /// Returns the write as callers see it.
    pub(super) fn to_record(&self, table: &Arc<str>) -> WriteRecord {
        self.payload.to_record(table, self.attempts.count)
    }

    /// Returns whether a write that may have been applied may be sent again.
    pub(super) fn may_be_sent_again(&self, now: Duration, token_lifetime: Duration) -> bool {
        match &self.payload {
            Payload::Plain { .. } => true,
            Payload::Single { idempotent, .. } => *idempotent,
            Payload::Transaction { .. } => self
                .attempts
                .first_sent
                .is_none_or(|sent| now.saturating_sub(sent) < token_lifetime),
        }
    }
}

/// A place in the queue, and the write that has it.
#[derive(Debug)]
pub(super) struct Entry<C> {
    /// The number of the first write in this place, which a newer one may have taken since. It is
    /// the place's age, and distinguishes it from others that had its slot.
    pub(super) seq: u64,
    pub(super) places: Places,
    pub(super) state: State,
    links: Links,
    /// Set while it has a retry from the budget, for its request or for those that failed with it.
    pub(super) paid: bool,
    pub(super) write: Write<C>,
    /// Writes whose place this one has taken, by their numbers: any of them may be late first.
    pub(super) older: BTreeMap<u64, Write<C>>,
}

impl<C> Linked for Entry<C> {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl<C> Entry<C> {
    /// Returns a place of its own for a write.
    pub(super) fn new(write: Write<C>, places: Places) -> Self {
        Self {
            seq: write.number,
            places,
            state: State::Blocked,
            links: Links::default(),
            paid: false,
            write,
            older: BTreeMap::new(),
        }
    }

    pub(super) fn weight(&self) -> Weight {
        Weight {
            bytes: self.write.batch_len,
            units: self.write.cost.units,
        }
    }

    /// Returns whether it waits for the time or the budget of its next attempt.
    pub(super) fn is_delayed(&self) -> bool {
        matches!(self.state, State::Delayed { .. } | State::Unpaid(_))
    }

    /// Returns whether a newer plain write may take this one's place.
    pub(super) fn may_be_superseded(&self) -> bool {
        let waits = matches!(
            self.state,
            State::Blocked | State::Ready(_) | State::Parked(..)
        );
        self.write.payload.is_plain()
            && self.write.group.is_none()
            && !self.write.attempts.may_have_applied
            && (waits || self.is_delayed())
    }
}
