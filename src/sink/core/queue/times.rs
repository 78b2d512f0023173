//! The times of the queue: deadlines, and the delays of retries.

use std::time::Duration;

use super::Queue;
use crate::sink::core::deadlines::Due;
use crate::sink::core::entry::{State, Write};
use crate::sink::core::lane::Ticket;

/// The largest number of writes that one call moves when their time has come.
///
/// Chosen: about a millisecond of work, so that other tasks of the runtime have their turn.
const MAX_WRITES_PER_STEP: usize = 1_000;

impl<C> Queue<C> {
    /// Forgets the deadline of a write that leaves its slot.
    pub(in crate::sink::core) fn drop_deadline(&mut self, write: &Write<C>, at: usize) {
        if let Some(due) = Due::of(write, at) {
            self.deadlines.remove(&due);
        }
    }

    /// Moves the delayed writes whose time has come into their lanes, or to those that have to be
    /// paid for. At most [`MAX_WRITES_PER_STEP`] at a time.
    pub(in crate::sink::core) fn mature(&mut self, now: Duration) {
        for _ in 0..MAX_WRITES_PER_STEP {
            let due = self.delayed.first().filter(|(until, _)| *until <= now);
            let Some(&(until, ticket)) = due else {
                return;
            };
            let state = self.get(ticket).map(|entry| &entry.state);
            if let Some(State::Delayed { unpaid: true, .. }) = state {
                self.set_state(ticket, State::Unpaid(until));
            } else {
                self.make_ready(now, ticket, true);
            }
        }
    }

    /// Returns the first write whose retry is to be paid for, and since when it waits.
    pub(in crate::sink::core) fn first_unpaid(&self) -> Option<(Duration, Ticket)> {
        self.unpaid.first().copied()
    }

    /// Removes the deadlines that have passed, up to [`MAX_WRITES_PER_STEP`] of them.
    pub(in crate::sink::core) fn take_due(&mut self, now: Duration) -> Vec<Due> {
        let mut due = Vec::new();
        while due.len() < MAX_WRITES_PER_STEP
            && let Some(first) = self.deadlines.first()
            && first.time <= now
        {
            due.extend(self.deadlines.pop_first());
        }
        due
    }

    /// Adds the deadlines again that have passed of a write and of those whose place it has taken.
    pub(in crate::sink::core) fn renew_due(&mut self, now: Duration, ticket: Ticket) {
        let entry = self.entries.get(ticket.at);
        if let Some(entry) = entry.filter(|entry| entry.seq == ticket.seq) {
            let writes = entry.older.values().chain([&entry.write]);
            let due = writes.filter_map(|write| Due::of(write, ticket.at));
            self.deadlines.extend(due.filter(|due| due.time <= now));
        }
    }

    /// Returns whether a deadline has passed.
    pub(in crate::sink::core) fn has_due(&self, now: Duration) -> bool {
        self.deadlines.first().is_some_and(|due| due.time <= now)
    }

    /// Returns the next time at which a write is late, or is to be sent again.
    pub(in crate::sink::core) fn wake_at(&self) -> Option<Duration> {
        let due = self.deadlines.first().map(|due| due.time);
        let delayed = self.delayed.first().map(|(until, _)| *until);
        due.into_iter().chain(delayed).min()
    }
}
