//! Requeued writes: those that are sent again, later or in smaller batches.

use std::time::Duration;

use bytes::Bytes;

use super::Core;
use super::entry::State;
use super::lane::Ticket;
use super::request::InFlight;
use crate::retry::{Backoff, RetryBudget, ServiceError};
use crate::sink::payload::Payload;

/// The largest number of steps by which a throttled write's delay grows while a rate limits the
/// table.
///
/// Chosen: 400 ms with the default delays. The rate spaces requests out, so longer delays have no
/// use.
const MAX_THROTTLE_BACKOFF_STEPS: u32 = 4;

/// The delays of retries, and the budget that pays for them.
#[derive(Debug)]
pub(super) struct PaidRetries {
    pub(super) backoff: Backoff,
    pub(super) budget: RetryBudget,
    pub(super) rng: fastrand::Rng,
}

impl PaidRetries {
    /// Returns the delay of the retry of this number, counted from 1.
    pub(super) fn delay(&mut self, attempt: u32) -> Duration {
        self.backoff.delay(attempt, &mut self.rng)
    }
}

impl<C, F> Core<C, F> {
    /// Requeues writes that were refused because capacity ran out, for as long as their deadline
    /// allows.
    pub(super) fn throttled(
        &mut self,
        now: Duration,
        writes: &[Ticket],
        isolated: bool,
        error: Option<&ServiceError>,
    ) {
        // A rate spaces requests out. A write need not wait long in addition.
        let max_steps = if self.throttle.rate(now).is_some() {
            MAX_THROTTLE_BACKOFF_STEPS
        } else {
            u32::MAX
        };
        let mut retries = Vec::with_capacity(writes.len());
        for &ticket in writes {
            let Some(entry) = self.queue.queued(ticket, "a throttled write is not queued") else {
                continue;
            };
            let attempts = &mut entry.write.attempts;
            attempts.throttles = attempts.throttles.saturating_add(1);
            if let Some(error) = error {
                attempts.last_error = Some(error.clone());
            }
            retries.push((ticket, attempts.throttles.min(max_steps)));
        }
        self.requeue(now, retries, false, isolated);
    }

    /// Puts writes back into their lane for which the retry budget can pay.
    ///
    /// While others are under test the two have its retries by turns: a search for a cause does not
    /// starve the writes that are not under test, nor does an outage delay the search.
    pub(super) fn pay(&mut self, now: Duration) {
        let by_turns = self.isolation.has_unpaid_part(now);
        // The writes of one request come back together, and are one retry.
        let mut paid = None;
        while let Some((since, ticket)) = self.queue.first_unpaid() {
            if paid != Some(since) {
                if (by_turns && paid.is_some()) || !self.retries.budget.withdraw(now) {
                    return;
                }
                if let Some(entry) = self.queue.get_mut(ticket) {
                    entry.paid = true;
                }
                self.isolation.set_others_next(false);
            }
            paid = Some(since);
            self.queue.make_ready(now, ticket, true);
        }
    }

    /// Sends the halves of a refused batch again, each by itself.
    pub(super) fn bisect(&mut self, now: Duration, request: InFlight, unpaid: bool) {
        let InFlight { mut writes, id, .. } = request;
        let known = writes.first().and_then(|ticket| self.queue.get(*ticket));
        let known = known.and_then(|entry| entry.write.group);
        let group = known.unwrap_or_else(|| self.isolation.open(writes.len(), id));
        for ticket in &writes {
            let entry = self.queue.queued(*ticket, "a refused write is not queued");
            if let Some(entry) = entry {
                entry.write.group = Some(group);
                detach(&mut entry.write.payload);
            }
        }
        let second = writes.split_off(writes.len() / 2);
        for half in [writes, second] {
            self.isolate(half, now, unpaid);
        }
    }

    /// Queues a part of a bisected batch.
    pub(super) fn isolate(&mut self, writes: Vec<Ticket>, not_before: Duration, unpaid: bool) {
        let part = self.isolation.add_part(writes.clone(), not_before, unpaid);
        for ticket in writes {
            self.queue.set_state(ticket, State::Isolated(part));
        }
    }

    /// Requeues writes, each for the delay of its count of failures, and until the retry budget has
    /// paid for them if they are `unpaid`.
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
        self.outbox.counts.retried += writes.len() as u64;
        for (ticket, _) in &writes {
            let entry = self.queue.queued(*ticket, "a failed write is not queued");
            if let Some(entry) = entry {
                detach(&mut entry.write.payload);
            }
        }
        if isolated {
            let at = now.saturating_add(self.retries.delay(most));
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
                let until = now.saturating_add(self.retries.delay(failures));
                delays.push((failures, until));
                until
            };
            self.queue
                .set_state(ticket, State::Delayed { until, unpaid });
        }
    }
}

/// Copies a record out of its batch's body, so that it does not keep the whole body alive.
fn detach(payload: &mut Payload) {
    if let Payload::Plain { data, .. } = payload {
        *data = Bytes::copy_from_slice(data);
    }
}
