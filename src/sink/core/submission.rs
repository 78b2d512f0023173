//! The input of the state machine, and its output.

use std::time::Duration;

use crate::item::Key;
use crate::sink::cost::Cost;
use crate::sink::outcome::Outcome;
use crate::sink::payload::Payload;

/// A write to queue.
#[derive(Debug)]
pub(crate) struct Submission<C> {
    pub(crate) payload: Payload,
    pub(crate) keys: SubmissionKeys,
    /// The time that it may take, from now on.
    pub(crate) deadline: Option<Duration>,
    pub(crate) completion: C,
    /// Set for a restored write that was in flight when it was saved.
    pub(crate) may_have_applied: bool,
    /// Its predicted cost.
    pub(crate) cost: Cost,
    /// The hash of its partition key; of a transaction, of its first part's.
    pub(crate) partition: u64,
}

/// The keys a write touches.
#[derive(Debug)]
pub(crate) enum SubmissionKeys {
    One(Key),
    Many(Vec<Key>),
}

impl SubmissionKeys {
    pub(crate) fn as_slice(&self) -> &[Key] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }
}

/// A write with its outcome.
#[derive(Debug)]
pub(crate) struct Settled<C> {
    /// Its number, in the order of submission.
    pub(super) number: u64,
    pub(crate) completion: C,
    pub(crate) outcome: Outcome,
    pub(crate) accepted_at: Duration,
    /// Set if the dead-letter handler has taken it.
    pub(crate) handled: bool,
}

/// A rejected write that waits for the dead-letter handler.
#[derive(Debug)]
pub(crate) struct DeadLettered {
    pub(crate) ticket: (usize, u64),
    pub(crate) outcome: Outcome,
}
