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
        self.requeue(now, retries, now, isolated);
    }

    /// Sends the halves of a refused batch again, each by itself.
    pub(super) fn bisect(&mut self, now: Duration, request: InFlight) {
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
            self.isolate(half, now);
        }
    }

    /// Queues a part of a bisected batch.
    pub(super) fn isolate(&mut self, writes: Vec<Ticket>, not_before: Duration) {
        for ticket in &writes {
            if let Some(entry) = self.entries.get_mut(ticket.at) {
                entry.state = State::Isolated;
            }
        }
        self.isolated.push_back(Isolated { writes, not_before });
    }

    /// Requeues writes, each for the delay of its count of failures and not before `not_before`.
    pub(super) fn requeue(
        &mut self,
        now: Duration,
        writes: Vec<(Ticket, u32)>,
        not_before: Duration,
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
            let at = now
                .saturating_add(self.backoff.delay(most, &mut self.rng))
                .max(not_before);
            let writes = writes.into_iter().map(|(ticket, _)| ticket).collect();
            return self.isolate(writes, at);
        }
        // Equal counts get equal delays, so that these writes fill a batch again. A write that has
        // failed often does not delay the others of its request.
        let mut delays: Vec<(u32, Duration)> = Vec::with_capacity(1);
        for (ticket, failures) in writes {
            let known = delays.iter().find(|(count, _)| *count == failures);
            let at = if let Some((_, at)) = known {
                *at
            } else {
                let delay = self.backoff.delay(failures, &mut self.rng);
                let at = now.saturating_add(delay).max(not_before);
                delays.push((failures, at));
                at
            };
            let Some(entry) = self.entries.get_mut(ticket.at) else {
                continue;
            };
            entry.state = State::Delayed;
            // What is late is rejected in a moment.
            if entry.write.deadline.is_none_or(|deadline| deadline > now) {
                self.delayed.push(Reverse((at, ticket)));
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
