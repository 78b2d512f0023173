//! A lease that this worker has: when to write to it, and whether the worker still has it.
//!
//! A lease is *valid* for the failover time after the last write that the service accepted, counted
//! from when that write was sent: no other worker can have seen the new counter earlier and take
//! the lease before. A worker that could not write for that time stops its work on the shard
//! without waiting for an answer.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::{SequenceNumber, ShardId};
use super::change::Change;
use super::checkpointing::Checkpointing;
use super::row::{Checkpoint, LeaseRow};
use super::validity::Validity;

/// A lease that this worker has.
#[derive(Debug)]
pub(crate) struct HeldLease {
    me: String,
    counter: u64,
    handing_over: bool,
    validity: Validity,
    checkpointing: Checkpointing,
    /// The time at which the lease was first taken, in milliseconds since 1970, until stored.
    first_taken: Option<u64>,
    end: End,
    /// The time at which a look showed that the row is gone, until a write proves otherwise.
    doubted: Option<Duration>,
}

/// The way in which the lease is to be given up.
#[derive(Clone, Debug, PartialEq)]
enum End {
    No,
    LetGo,
    Finished(BTreeSet<ShardId>),
}

/// The meaning of a refused write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An earlier write of this worker was applied although it seemed to fail.
    Adopted,
    /// Another worker asks for the lease.
    HandOver,
    /// The lease was given up by an earlier write, which was applied although it seemed to fail.
    GivenUp,
    /// The lease is not this worker's any more.
    Lost,
    /// The worker that asked for the lease has withdrawn.
    Withdrawn,
    /// The row was deleted. It is made again from this worker's state.
    Missing,
}

impl HeldLease {
    /// Returns the lease of `row`, as it stands after a write sent at `taken` took it.
    pub(crate) fn new(
        me: &str,
        row: &LeaseRow,
        taken: Duration,
        failover: Duration,
        checkpoint_interval: Duration,
    ) -> Self {
        Self {
            me: me.to_owned(),
            counter: row.counter,
            handing_over: false,
            validity: Validity::new(taken, failover),
            checkpointing: Checkpointing::new(row.checkpoint.clone(), taken, checkpoint_interval),
            first_taken: None,
            end: End::No,
            doubted: None,
        }
    }

    /// Returns the same lease as one that never lapses, since no other worker can take it.
    pub(crate) fn lasting(self) -> Self {
        Self {
            validity: self.validity.lasting(),
            ..self
        }
    }

    pub(crate) fn counter(&self) -> u64 {
        self.counter
    }

    pub(crate) fn is_handing_over(&self) -> bool {
        self.handing_over
    }

    pub(crate) fn stored(&self) -> &Checkpoint {
        self.checkpointing.stored()
    }

    /// Returns when the lease stops being this worker's, unless a write is accepted before.
    pub(crate) fn valid_until(&self) -> Duration {
        self.validity.until()
    }

    /// Notes that all effects up to this record are durable.
    pub(crate) fn reach(&mut self, sequence: SequenceNumber) {
        self.checkpointing.reach(sequence);
    }

    /// Notes that the shard was read at this time, in milliseconds since 1970.
    pub(crate) fn read_at(&mut self, time: u64) {
        self.checkpointing.read_at(time);
    }

    /// Notes when the lease was taken, in milliseconds since 1970, for its row to store.
    pub(crate) fn note_taken(&mut self, time: u64) {
        self.first_taken = Some(time);
    }

    /// Notes that another worker has asked for the lease.
    pub(crate) fn hand_over(&mut self) {
        self.handing_over = true;
    }

    /// Notes that the row was gone in a look at this time: a write is due at once, which finds out.
    pub(crate) fn doubt(&mut self, now: Duration) {
        self.doubted = Some(now);
    }

    /// Gives the lease up with the next write.
    pub(crate) fn let_go(&mut self) {
        if self.end == End::No {
            self.end = End::LetGo;
        }
    }

    /// Gives the lease up with the next write, as that of a shard that has been worked through.
    pub(crate) fn finish(&mut self, children: BTreeSet<ShardId>) {
        self.end = End::Finished(children);
    }

    /// Returns when the next write is due.
    pub(crate) fn due(&self) -> Duration {
        if let Some(due) = self.validity.retry_due() {
            return due;
        }
        if self.end != End::No || self.first_taken.is_some() || self.doubted.is_some() {
            return Duration::ZERO;
        }
        let renewal = self.validity.renewal_due();
        self.checkpointing
            .due()
            .map_or(renewal, |due| renewal.min(due))
    }

    /// Returns what to write now. Its checkpoint is `None` where that has not moved.
    pub(crate) fn change(&self) -> Change {
        let checkpoint = match &self.end {
            End::Finished(_) => Some(Checkpoint::ShardEnd),
            _ => self.checkpointing.unstored(),
        };
        Change {
            checkpoint,
            children: match &self.end {
                End::Finished(children) => children.clone(),
                _ => BTreeSet::new(),
            },
            created: self.first_taken,
            read: self.checkpointing.unstored_read(),
            let_go: self.end != End::No,
        }
    }

    /// Notes that a write sent at `sent` was accepted.
    pub(crate) fn accepted(&mut self, change: &Change, sent: Duration) {
        self.counter += 1;
        self.validity.accepted(sent);
        // A write from before the look says nothing of the row since.
        self.doubted = self.doubted.filter(|at| *at > sent);
        if change.created.is_some() {
            self.first_taken = None;
        }
        if let Some(checkpoint) = &change.checkpoint {
            self.checkpointing.store(checkpoint, sent);
        }
    }

    /// Notes that a write sent at `sent` failed. It may have been applied all the same.
    pub(crate) fn failed(&mut self, sent: Duration) {
        self.validity.failed(sent);
    }

    /// Notes that a write sent at `sent` was refused. Returns the meaning, by the row as it stands.
    pub(crate) fn refused(&mut self, row: Option<&LeaseRow>, sent: Duration) -> Verdict {
        self.validity.refused(sent);
        self.doubted = self.doubted.filter(|at| *at > sent);
        let Some(row) = row else {
            return Verdict::Missing;
        };
        if row.reader() != Some(self.me.as_str()) {
            let next = self.counter + 1;
            let given_up = self.end != End::No && row.counter == next && self.validity.has_failed();
            return if given_up {
                Verdict::GivenUp
            } else {
                Verdict::Lost
            };
        }
        let asked = row.checkpoint_owner.is_some() && !self.handing_over;
        let withdrawn = row.checkpoint_owner.is_none() && self.handing_over;
        if row.counter == self.counter && !asked && !withdrawn {
            // Refused in spite of the same counter: the row is not as this worker last saw it.
            return Verdict::Lost;
        }
        self.counter = row.counter;
        self.validity.explained();
        if asked {
            self.handing_over = true;
            return Verdict::HandOver;
        }
        if withdrawn {
            self.handing_over = false;
            return Verdict::Withdrawn;
        }
        Verdict::Adopted
    }

    /// Notes that the row was made again by a write sent at `sent`.
    pub(crate) fn made_again(&mut self, sent: Duration) {
        self.counter = 0;
        self.handing_over = false;
        self.validity.accepted(sent);
    }
}

#[cfg(test)]
#[path = "held_lease_tests.rs"]
mod tests;
