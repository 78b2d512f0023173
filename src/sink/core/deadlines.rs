//! Deadlines: the times at which writes without an outcome are given up.
//!
//! A write that waits is rejected at its deadline. One in flight is not: the answer decides, and if it
//! does not, the write is rejected then. The same holds of a write whose place a newer one has taken:
//! whether it is superseded shows once the newer one is written, and it does not wait for that beyond
//! its own deadline.

use std::cmp::Reverse;
use std::time::Duration;

use super::entry::{Entry, State, Write};
use super::lane::Ticket;
use super::requeue::Delayed;
use super::{Core, Outcome, RejectReason};

/// The deadline of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) time: Duration,
    /// The write's number.
    number: u64,
    /// The slot of its place.
    at: usize,
}

impl Due {
    fn of<C>(write: &Write<C>, at: usize) -> Option<Self> {
        let (time, number) = (write.deadline?, write.number);
        Some(Self { time, number, at })
    }
}

impl<C, F> Core<C, F> {
    pub(super) fn note_deadline(&mut self, write: &Write<C>, at: usize) {
        self.deadlines.extend(Due::of(write, at));
    }

    pub(super) fn drop_deadline(&mut self, write: &Write<C>, at: usize) {
        if let Some(due) = Due::of(write, at) {
            self.deadlines.remove(&due);
        }
    }

    /// Rejects what is late of the writes of a request that was answered, and of those whose places
    /// they have taken.
    pub(super) fn expire_answered(&mut self, now: Duration, writes: &[Ticket]) {
        for ticket in writes {
            let place = self.entries.get(ticket.at);
            if let Some(entry) = place.filter(|entry| entry.is_live(ticket.seq)) {
                let writes = entry.older.iter().chain([&entry.write]);
                let due = writes.filter_map(|write| Due::of(write, ticket.at));
                self.deadlines.extend(due.filter(|due| due.time <= now));
            }
        }
        self.expire(now);
    }

    /// Rejects writes whose deadline has passed, except those in flight: their answer decides.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(due) = self.deadlines.first().copied()
            && due.time <= now
        {
            self.deadlines.pop_first();
            let Some(entry) = self.entries.get(due.at) else {
                continue;
            };
            if matches!(entry.state, State::InFlight) {
                continue;
            }
            let ticket = Ticket {
                seq: entry.seq,
                at: due.at,
            };
            let mut older = entry.older.iter();
            if entry.write.number == due.number {
                self.expire_write(now, ticket);
            } else if let Some(nth) = older.position(|older| older.number == due.number) {
                self.expire_older(now, ticket, nth);
            }
        }
    }

    fn expire_write(&mut self, now: Duration, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut(ticket.at) else {
            return;
        };
        match entry.state {
            State::DeadLettered(_) => return,
            State::RefusedAlone => {
                // Its group has its verdict already, or goes on without it.
                if let Some(group) = entry.group.take() {
                    self.groups.forget(group, ticket);
                }
            }
            _ => {}
        }
        let reason = RejectReason::DeadlineExceeded {
            attempts: entry.write.attempts,
            may_have_applied: entry.may_have_applied,
            last: entry.write.last_error.clone(),
        };
        self.reject(now, ticket, reason);
    }

    /// Rejects a write whose place a newer one has taken.
    fn expire_older(&mut self, now: Duration, place: Ticket, nth: usize) {
        let Some(entry) = self.entries.get_mut(place.at) else {
            return;
        };
        let Some(older) = entry.older.remove(nth) else {
            return;
        };
        let last = older
            .last_error
            .as_ref()
            .or(entry.write.last_error.as_ref());
        let reason = RejectReason::DeadlineExceeded {
            attempts: older.attempts,
            may_have_applied: false,
            last: last.cloned(),
        };
        let record = older.to_record(&self.table);
        let outcome = Outcome::Rejected { reason, record };
        if !self.rules.dead_letters {
            return self.complete(older, place.at, outcome);
        }
        // A dead letter holds its key: it stands in line ahead of the newer write.
        let lines = entry.lines.clone();
        let at = self.entries.vacant_key();
        for &line in lines.as_slice() {
            self.keys.enter_before(line, place.at, at);
        }
        let ticket = Ticket {
            seq: older.number,
            at,
        };
        self.entries.insert(Entry::new(older, lines));
        self.settle(now, ticket, outcome);
        self.hold(now, place);
    }

    /// Makes a write that may have been the head of its line wait for its turn.
    fn hold(&mut self, now: Duration, ticket: Ticket) {
        self.cause_probe.take_if(|probe| *probe == ticket);
        let Some(entry) = self.entries.get_mut(ticket.at) else {
            return;
        };
        match entry.state {
            State::Ready | State::Parked(_) => {
                self.leave_lane(ticket);
                self.make_ready(now, ticket, true);
            }
            State::Isolated => {
                // The others of its batch go on.
                entry.state = State::Delayed;
                let delay = self.backoff.delay(1, &mut self.rng);
                self.delayed.push(Reverse(Delayed {
                    until: now.saturating_add(delay),
                    ticket,
                    unpaid: false,
                }));
                self.decide_group(now, ticket, false);
            }
            _ => {}
        }
    }
}
