//! Deadlines: the times at which writes without an outcome are given up.
//!
//! A write that waits is rejected at its deadline. One in flight is not: the answer decides, and if
//! it does not, the write is rejected then. The same holds of a write whose place a newer one has
//! taken: whether it is superseded shows once the newer one is written, and it does not wait for
//! that beyond its own deadline.

use std::time::Duration;

use super::entry::{State, Write};
use super::lane::Ticket;
use super::{Core, Outcome, RejectReason};

/// The deadline of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) time: Duration,
    /// The write's number.
    pub(super) number: u64,
    /// The slot of its place.
    pub(super) at: usize,
}

impl Due {
    /// Returns the deadline of a write in this slot, if it has one.
    pub(super) fn of<C>(write: &Write<C>, at: usize) -> Option<Self> {
        let (time, number) = (write.deadline?, write.number);
        Some(Self { time, number, at })
    }
}

impl<C, F> Core<C, F> {
    /// Rejects the late writes of a request that was answered, and those whose places they have
    /// taken.
    pub(super) fn expire_answered(&mut self, now: Duration, writes: &[Ticket]) {
        for ticket in writes {
            self.queue.renew_due(now, *ticket);
        }
        self.expire(now);
    }

    /// Rejects writes whose deadline has passed, except those in flight: their answer decides.
    pub(super) fn expire(&mut self, now: Duration) {
        for due in self.queue.take_due(now) {
            // The rejection of one may end others of its group, deadline and all.
            let Some(ticket) = self.queue.ticket_at(due.at) else {
                continue;
            };
            let Some(entry) = self.queue.get(ticket) else {
                continue;
            };
            if matches!(entry.state, State::InFlight) {
                continue;
            }
            if entry.write.number == due.number {
                self.expire_write(now, ticket);
            } else if entry.older.contains_key(&due.number) {
                self.expire_older(now, ticket, due.number);
            }
        }
    }

    fn expire_write(&mut self, now: Duration, ticket: Ticket) {
        let Some(entry) = self.queue.queued(ticket, "a late write is not queued") else {
            return;
        };
        match entry.state {
            State::DeadLettered(_) => return,
            State::RefusedAlone => {
                // Its group is decided already, or continues without it.
                if let Some(group) = entry.write.group.take() {
                    self.isolation.forget(group, ticket);
                }
            }
            _ => {}
        }
        let reason = RejectReason::DeadlineExceeded {
            attempts: entry.write.attempts.count,
            may_have_applied: entry.write.attempts.may_have_applied,
            last: entry.write.attempts.last_error.clone(),
        };
        self.reject(now, ticket, reason);
    }

    /// Rejects a write whose place a newer one has taken.
    fn expire_older(&mut self, now: Duration, place: Ticket, number: u64) {
        let Some(entry) = self
            .queue
            .queued(place, "the place of a late write is empty")
        else {
            return;
        };
        let Some(older) = entry.older.remove(&number) else {
            return self.queue.report("a late write has left its place");
        };
        let newer = entry.write.attempts.last_error.as_ref();
        let last = older.attempts.last_error.as_ref().or(newer);
        let reason = RejectReason::DeadlineExceeded {
            attempts: older.attempts.count,
            may_have_applied: false,
            last: last.cloned(),
        };
        let record = older.to_record(&self.table);
        let outcome = Outcome::Rejected { reason, record };
        if !self.rules.dead_letters {
            return self.complete(older, place.at, outcome);
        }
        // A dead letter holds its key: it stands in line ahead of the newer write.
        match self.queue.enter_before(place, older) {
            Some(ticket) => {
                self.settle(now, ticket, outcome);
                self.wait_in_line(now, place);
            }
            None => self.queue.report("a write has lost its place in line"),
        }
    }

    /// Makes a write that may have been the head of its line wait for its turn.
    fn wait_in_line(&mut self, now: Duration, ticket: Ticket) {
        self.throttle.cancel_cause_probe(ticket);
        match self.queue.get(ticket).map(|entry| &entry.state) {
            Some(State::Ready(_) | State::Parked(..)) => {
                self.queue.make_ready(now, ticket, true);
            }
            Some(State::Isolated(_)) => {
                // The others of its batch are sent on.
                let until = now.saturating_add(self.retries.delay(1));
                let unpaid = false;
                self.queue
                    .set_state(ticket, State::Delayed { until, unpaid });
                self.decide_group(now, ticket);
            }
            _ => {}
        }
    }
}
