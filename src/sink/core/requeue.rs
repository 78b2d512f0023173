//! Requeued writes: those that are sent again, later or in smaller batches.

use std::cmp::Reverse;
use std::time::Duration;

use bytes::Bytes;

use super::Core;
use super::entry::State;
use super::lane::Ticket;
use super::request::{InFlight, Isolated};
use crate::retry::ServiceError;
use crate::sink::payload::Payload;

/// The largest number of steps by which a throttled write's delay grows while a rate limits the
/// table.
///
/// Chosen: 400 ms with the default delays. The rate spaces requests out, so longer delays have no
/// use.
const MAX_THROTTLE_BACKOFF_STEPS: u32 = 4;

/// A write to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Delayed {
    pub(super) until: Duration,
    pub(super) ticket: Ticket,
    /// Set if the retry budget has to pay for it.
    pub(super) unpaid: bool,
}

impl<C, F> Core<C, F> {
    /// Requeues writes that were refused for want of capacity, for as long as their deadline
    /// allows.
    pub(super) fn throttled(
        &mut self,
        now: Duration,
        writes: &[Ticket],
        isolated: bool,
        error: Option<&ServiceError>,
    ) {
        // A rate spaces requests out. A write need not wait long in addition.
        let most = if self.budgets.rate(now).is_some() {
            MAX_THROTTLE_BACKOFF_STEPS
        } else {
            u32::MAX
        };
        let mut retries = Vec::with_capacity(writes.len());
        for &ticket in writes {
            let Some(entry) = self.entries.get_mut(ticket.at) else {
                continue;
            };
            entry.throttles = entry.throttles.saturating_add(1);
            if let Some(error) = error {
                entry.write.last_error = Some(error.clone());
            }
            retries.push((ticket, entry.throttles.min(most)));
        }
        self.requeue(now, retries, false, isolated);
    }

    fn is_delayed(&self, ticket: Ticket) -> bool {
        let entry = self.entries.get(ticket.at);
        entry
            .is_some_and(|entry| entry.is_live(ticket.seq) && matches!(entry.state, State::Delayed))
    }

    /// Puts delayed writes whose time has come back into their lane, or among those that have to be paid
    /// for.
    pub(super) fn mature(&mut self, now: Duration) {
        while let Some(Reverse(delayed)) = self.delayed.peek().copied()
            && delayed.until <= now
        {
            self.delayed.pop();
            if !self.is_delayed(delayed.ticket) {
                continue;
            }
            if delayed.unpaid {
                self.unpaid.push_back((delayed.until, delayed.ticket));
            } else {
                self.make_ready(now, delayed.ticket, true);
            }
        }
    }

    /// Puts writes back into their lane for which the retry budget can pay.
    ///
    /// While others are under test the two have its retries by turns: a search for a cause does not
    /// starve what is not under test, nor does an outage hold up the search.
    pub(super) fn pay(&mut self, now: Duration) {
        let mut isolated = self.isolated.iter();
        let by_turns = isolated.any(|isolated| isolated.unpaid && isolated.not_before <= now);
        // The writes of one request come back together, and are one retry.
        let mut paid = None;
        while let Some(&(until, ticket)) = self.unpaid.front() {
            if self.is_delayed(ticket) {
                if paid != Some(until) {
                    if (by_turns && paid.is_some()) || !self.budget.withdraw(now) {
                        return;
                    }
                    if let Some(entry) = self.entries.get_mut(ticket.at) {
                        entry.paid = true;
                    }
                    self.others_next = false;
                }
                paid = Some(until);
                self.make_ready(now, ticket, true);
            }
            self.unpaid.pop_front();
        }
    }

    /// Sends the halves of a refused batch again, each by itself.
    pub(super) fn bisect(&mut self, now: Duration, request: InFlight, unpaid: bool) {
        let InFlight { mut writes, id, .. } = request;
        let known = writes
            .first()
            .and_then(|ticket| self.entries.get(ticket.at))
            .and_then(|entry| entry.group);
        let group = known.unwrap_or_else(|| self.groups.open(writes.len(), id));
        for ticket in &writes {
            if let Some(entry) = self.entries.get_mut(ticket.at) {
                entry.group = Some(group);
                own(&mut entry.write.payload);
            }
        }
        let second = writes.split_off(writes.len() / 2);
        for half in [writes, second] {
            self.isolate(half, now, unpaid);
        }
    }

    /// Queues a part of a bisected batch.
    pub(super) fn isolate(&mut self, writes: Vec<Ticket>, not_before: Duration, unpaid: bool) {
        for ticket in &writes {
            if let Some(entry) = self.entries.get_mut(ticket.at) {
                entry.state = State::Isolated;
            }
        }
        self.isolated.push_back(Isolated {
            writes,
            not_before,
            unpaid,
        });
    }

    /// Requeues writes, each for the delay of its count of failures, and until the retry budget has paid
    /// for them if they are `unpaid`.
    pub(super) fn requeue(
        &mut self,
        now: Duration,
        writes: Vec<(Ticket, u32)>,
        unpaid: bool,
        isolated: bool,
    ) {
        if self.failed.is_some() {
            let writes: Vec<Ticket> = writes.into_iter().map(|(ticket, _)| ticket).collect();
            return self.unwritten(now, &writes);
        }
        let Some(most) = writes.iter().map(|(_, failures)| *failures).max() else {
            return;
        };
        self.counts.retried += writes.len() as u64;
        for (ticket, _) in &writes {
            if let Some(entry) = self.entries.get_mut(ticket.at) {
                own(&mut entry.write.payload);
            }
        }
        if isolated {
            let at = now.saturating_add(self.backoff.delay(most, &mut self.rng));
            let writes = writes.into_iter().map(|(ticket, _)| ticket).collect();
            return self.isolate(writes, at, unpaid);
        }
        // Equal counts get equal delays, so that these writes fill a batch again. A write that has
        // failed often does not delay the others of its request.
        let mut delays: Vec<(u32, Duration)> = Vec::with_capacity(1);
        for (ticket, failures) in writes {
            let known = delays.iter().find(|(count, _)| *count == failures);
            let until = if let Some((_, until)) = known {
                *until
            } else {
                let delay = self.backoff.delay(failures, &mut self.rng);
                let until = now.saturating_add(delay);
                delays.push((failures, until));
                until
            };
            let Some(entry) = self.entries.get_mut(ticket.at) else {
                continue;
            };
            entry.state = State::Delayed;
            // What is late is rejected in a moment.
            if entry.write.deadline.is_none_or(|deadline| deadline > now) {
                self.delayed.push(Reverse(Delayed {
                    until,
                    ticket,
                    unpaid,
                }));
            }
        }
    }
}

/// Copies a record out of its batch's body, so that it does not keep the whole body alive.
fn own(payload: &mut Payload) {
    if let Payload::Plain { data, .. } = payload {
        *data = Bytes::copy_from_slice(data);
    }
}
