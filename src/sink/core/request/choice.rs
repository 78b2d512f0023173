//! The choice of the next request, and of the time to choose again.

use std::time::Duration;

use super::{Request, Sum};
use crate::sink::core::Core;

impl<C, F> Core<C, F> {
    /// Returns the next request to send now, if there is one. Call until `None`.
    pub(crate) fn next_request(&mut self, now: Duration) -> Option<Request> {
        self.advance(now);
        let request = self.choose_request(now);
        self.check(now);
        request
    }

    /// Gives up writes that are late, and makes those ready whose delay is over.
    pub(crate) fn advance(&mut self, now: Duration) {
        self.expire(now);
        self.queue.mature(now);
    }

    /// Returns whether [`next_request`](Self::next_request) may have one. Otherwise no permit is
    /// requested.
    pub(crate) fn may_send(&mut self) -> bool {
        let waits = self.queue.has_ready()
            || self.queue.first_unpaid().is_some()
            || !self.queue.parked().is_empty()
            || self.isolation.has_parts()
            || self.throttle.has_cause_probe();
        if !waits {
            // Those that waited for a budget have left by another way.
            self.throttle.begin_check();
        }
        waits && self.failed.is_none() && self.requests.len() < self.throttle.limit.limit()
    }

    /// Sets whether nothing is sent because of the limit over all tables.
    pub(crate) fn set_waits_for_permit(&mut self, waits: bool) {
        self.throttle.set_waits_for_permit(waits);
    }

    /// Returns whether nothing is sent because of the limit over all tables.
    pub(crate) fn waits_for_permit(&self) -> bool {
        self.throttle.waits_for_permit()
    }

    fn choose_request(&mut self, now: Duration) -> Option<Request> {
        // A write that is late is not sent.
        if self.failed.is_some() || self.is_busy() || self.queue.has_due(now) {
            return None;
        }
        if let Some(request) = self.isolated_request(now, !self.isolation.others_next()) {
            return Some(request);
        }
        self.pay(now);
        if let Some(request) = self.lane_request(now) {
            if self.queue.first_unpaid().is_none() {
                self.isolation.set_others_next(false);
            }
            return Some(request);
        }
        self.isolated_request(now, true)
    }

    /// Returns whether as many requests are in flight as there may be.
    fn is_busy(&self) -> bool {
        self.throttle.waits_for_permit() || self.requests.len() >= self.throttle.limit.limit()
    }

    /// Returns the next request of those writes that are in a lane.
    fn lane_request(&mut self, now: Duration) -> Option<Request> {
        if let Some(request) = self.cause_probe_request(now) {
            return Some(request);
        }
        self.release_cooled_keys(now);
        self.throttle.begin_check();
        if !self.queue.parked().is_empty() {
            if let Some(request) = self.parked_request(now) {
                return Some(request);
            }
            if self.throttle.table_waits() {
                // The oldest write is parked and waits for units of the table: it must not be
                // passed.
                return None;
            }
        }
        match self.queue.heads() {
            [Some((_, since)), None] => self.batch_if_due(now, since),
            [None, Some(_)] => self.call(now),
            [Some((batch, since)), Some((call, _))] => {
                // The older goes first; a batch that should still fill lets the call pass, one that
                // waits for units does not: a large write would wait for ever.
                if batch < call {
                    if let Some(request) = self.batch_if_due(now, since) {
                        return Some(request);
                    }
                    if self.throttle.table_waits() {
                        return None;
                    }
                }
                self.call(now)
            }
            [None, None] => None,
        }
    }

    /// Returns when to call [`next_request`](Self::next_request) again if nothing else happens
    /// before. A time that has passed asks for it at once, after other tasks have had their turn.
    pub(crate) fn wake_at(&mut self) -> Option<Duration> {
        let mut wake = self.queue.wake_at();
        let mut at = |time: Duration| wake = Some(wake.map_or(time, |wake| wake.min(time)));
        if self.failed.is_some() {
            return wake;
        }
        if let Some(time) = self.isolation.description.due_at() {
            at(time);
        }
        if !self.is_busy() {
            let paid_at = self.retries.budget.due_at();
            if self.queue.first_unpaid().is_some() {
                at(paid_at);
            }
            if let Some(time) = self.isolation.wake_at(paid_at) {
                at(time);
            }
            if let Some(time) = self.throttle.parked_until() {
                at(time);
            }
            if let Some(time) = self.throttle.table_until() {
                at(time);
            } else if let Some(since) = self.oldest_ready() {
                at(since.saturating_add(self.rules.linger));
            }
        }
        wake
    }

    /// Returns the next batch, if it is due. Under low load it is due at once. While half of the
    /// largest concurrency is in use, it may fill, for no longer than the linger. An adapted limit
    /// below that is reached at once, and batches fill behind it.
    fn batch_if_due(&mut self, now: Duration, since: Duration) -> Option<Request> {
        let batched = self.queue.batched();
        let full = batched.count() >= self.rules.max_batch_items
            || self.bodies.batch_overhead() + batched.bytes() >= self.rules.max_batch_bytes;
        let in_flight = self.requests.len();
        let free = in_flight == 0 || in_flight * 2 < self.throttle.limit.max();
        let due = full
            || free
            || self.outbox.is_flushing()
            || now >= since.saturating_add(self.rules.linger);
        if due {
            self.batch(now, Vec::new(), Sum::default())
        } else {
            None
        }
    }
}
