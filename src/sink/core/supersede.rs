//! Coalescing: a newer write of a key takes the place of one that was not sent yet.
//!
//! The older one has its outcome when the newer one does. `Superseded` is then true: the table holds
//! what came after it. If the newer write fails without having been applied, the older one is back
//! in its place, and sent.

use std::time::Duration;

use super::entry::{Entry, State};
use super::lane::Ticket;
use super::{Core, Settled};
use crate::capacity::WriteCost;
use crate::retry::ServiceError;
use crate::sink::outcome::Outcome;
use crate::sink::payload::Payload;

/// A write whose place a newer one has taken. It was never sent.
#[derive(Debug)]
pub(super) struct Older<C> {
    pub(super) payload: Payload,
    batch_len: usize,
    cost: WriteCost,
    completion: C,
    accepted_at: Duration,
    epoch: u64,
    deadline: Option<Duration>,
}

impl<C, F> Core<C, F> {
    /// Puts a newer write into the older one's place in line, so that its key does not lose its
    /// turn.
    pub(super) fn supersede(&mut self, at: usize, newer: Entry<C>) {
        let Some(older) = self.entries.get_mut(at) else {
            return;
        };
        let ticket = Ticket { seq: older.seq, at };
        if let Some(deadline) = older.deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        if let Some(deadline) = newer.deadline {
            self.deadlines.insert((deadline, ticket));
        }
        match older.state {
            State::Ready => self.batched.resize(older.weight(), newer.weight()),
            State::Parked(key) => self.parked.resize(key, older.weight(), newer.weight()),
            _ => {}
        }
        let replaced = Older {
            payload: std::mem::replace(&mut older.payload, newer.payload),
            batch_len: std::mem::replace(&mut older.batch_len, newer.batch_len),
            cost: std::mem::replace(&mut older.cost, newer.cost),
            completion: std::mem::replace(&mut older.completion, newer.completion),
            accepted_at: std::mem::replace(&mut older.accepted_at, newer.accepted_at),
            epoch: std::mem::replace(&mut older.epoch, newer.epoch),
            deadline: std::mem::replace(&mut older.deadline, newer.deadline),
        };
        older.older.push(replaced);
        older.attempts = 0;
        older.failures = 0;
        older.throttles = 0;
        older.last_error = None;
        older.may_have_applied = newer.may_have_applied;
        older.first_sent = newer.first_sent;
    }

    /// Settles the writes whose place this one has taken, now that it has its outcome.
    ///
    /// If it failed and was not applied, the newest of them takes its place back, and the completion
    /// and the epoch of the write that failed are returned.
    pub(super) fn settle_older(
        &mut self,
        now: Duration,
        ticket: Ticket,
        outcome: &Outcome,
    ) -> Option<Settled<C>> {
        // Sent now, an older write could come after one that may have been applied.
        let over = outcome.may_have_applied() || matches!(outcome, Outcome::Unwritten { .. });
        if over || self.failed.is_some() {
            let failed = self.failed.clone();
            let cause = match outcome {
                Outcome::Unwritten { cause, .. } => cause.as_ref(),
                _ => failed.as_ref(),
            };
            self.end_older(ticket, outcome.is_written(), cause);
            return None;
        }
        let entry = self.entries.get_mut(ticket.at)?;
        let back = entry.older.pop()?;
        let settled = Settled {
            completion: std::mem::replace(&mut entry.completion, back.completion),
            outcome: outcome.clone(),
            accepted_at: std::mem::replace(&mut entry.accepted_at, back.accepted_at),
            handled: false,
        };
        let epoch = std::mem::replace(&mut entry.epoch, back.epoch);
        entry.payload = back.payload;
        entry.batch_len = back.batch_len;
        entry.cost = back.cost;
        entry.deadline = back.deadline;
        entry.attempts = 0;
        entry.failures = 0;
        entry.throttles = 0;
        entry.first_sent = None;
        entry.group = None;
        entry.suspicion = None;
        entry.last_error = None;
        if let Some(deadline) = entry.deadline {
            self.deadlines.insert((deadline, ticket));
        }
        // It may have waited for its turn when it failed, or for the dead-letter handler since.
        let lines = entry.lines.as_slice().iter();
        let blocked = lines
            .filter(|&&line| !self.keys.is_head(line, ticket.at))
            .count();
        entry.state = State::Blocked(blocked);
        if blocked == 0 {
            self.make_ready(now, ticket, true);
        }
        self.epochs.leave(epoch, &mut self.flushed);
        Some(settled)
    }

    /// Ends the writes whose place this one has taken: superseded if it was written, else handed
    /// back.
    pub(super) fn end_older(
        &mut self,
        ticket: Ticket,
        written: bool,
        cause: Option<&ServiceError>,
    ) {
        let Some(entry) = self.entries.get_mut(ticket.at) else {
            return;
        };
        for older in std::mem::take(&mut entry.older) {
            let outcome = if written {
                Outcome::Superseded
            } else {
                Outcome::Unwritten {
                    may_have_applied: false,
                    record: Some(older.payload.to_record(&self.table, 0)),
                    cause: cause.cloned(),
                }
            };
            self.settled.push(Settled {
                completion: older.completion,
                outcome,
                accepted_at: older.accepted_at,
                handled: false,
            });
            self.epochs.leave(older.epoch, &mut self.flushed);
        }
    }
}
