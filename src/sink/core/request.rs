//! The choice of the next request, and of the time to choose again.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::Core;
use super::entry::State;
use super::isolation::Part;
use super::lane::Ticket;
use crate::capacity::WriteCost;
use crate::sink::payload::{Bodies, Payload};
use crate::transport::Operation;

/// A request to send.
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) operation: Operation,
    pub(crate) body: Bytes,
    pub(crate) items: usize,
    /// The highest attempt number among its writes, 1 for a first sending.
    pub(crate) attempt: u32,
}

/// A request whose answer is awaited.
pub(super) struct InFlight {
    pub(super) id: u64,
    pub(super) operation: Operation,
    pub(super) writes: Vec<Ticket>,
    pub(super) sent_at: Duration,
    pub(super) isolated: bool,
    /// The newest request up to which the table was proven to be unchanged when this one was sent.
    pub(super) proven: Option<u64>,
    /// Set if it asks what it consumes.
    pub(super) asked: bool,
    /// The number of retries that the budget has paid for it.
    pub(super) payments: u32,
    /// The body, whose buffer is reused after the answer.
    pub(super) body: Bytes,
}

/// The requests in flight.
#[derive(Debug, Default)]
pub(super) struct Requests {
    in_flight: HashMap<u64, InFlight>,
    next: u64,
}

impl Requests {
    /// Returns the number of requests in flight.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Returns the number of the next request; numbers rise with the time of sending.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Adds a request with its number.
    fn add(&mut self, request: InFlight) {
        self.next += 1;
        self.in_flight.insert(request.id, request);
    }

    /// Removes a request that was answered; `None` where the table was aborted since.
    pub(super) fn take(&mut self, id: u64) -> Option<InFlight> {
        self.in_flight.remove(&id)
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut InFlight> {
        self.in_flight.get_mut(&id)
    }

    /// Returns the writes of a request.
    #[cfg(test)]
    pub(super) fn writes(&self, id: u64) -> &[Ticket] {
        self.in_flight
            .get(&id)
            .map_or(&[], |request| &request.writes)
    }

    /// Removes all requests.
    pub(super) fn clear(&mut self) {
        self.in_flight.clear();
    }
}

/// Sizes only: contents never reach a log.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("operation", &self.operation)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Sizes only: contents never reach a log.
impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("id", &self.id)
            .field("writes", &self.writes.len())
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The sum of the writes in a batch so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) len: usize,
    pub(super) units: u32,
}

impl<C, F> Core<C, F> {
    /// Returns the next request to send now, if there is one. Call until `None`.
    pub(crate) fn next_request(&mut self, now: Duration) -> Option<Request> {
        self.advance(now);
        let request = self.choose_request(now);
        self.check(now);
        request
    }

    /// Gives up what is late, and makes ready whose delay is over.
    pub(crate) fn advance(&mut self, now: Duration) {
        self.expire(now);
        self.queue.mature(now);
    }

    /// Returns whether [`next_request`](Self::next_request) may have one: it is not worth while to ask
    /// for permission to send otherwise.
    pub(crate) fn may_send(&self) -> bool {
        let waits = self.queue.has_ready()
            || self.queue.first_unpaid().is_some()
            || !self.queue.parked().is_empty()
            || self.isolation.has_parts()
            || self.throttle.has_cause_probe();
        waits && self.failed.is_none() && self.requests.len() < self.throttle.limit.limit()
    }

    /// Sends nothing while the limit over all tables does not permit it.
    pub(crate) fn hold(&mut self, held: bool) {
        self.throttle.hold(held);
    }

    /// Returns whether nothing is sent because of the limit over all tables.
    pub(crate) fn is_held(&self) -> bool {
        self.throttle.is_held()
    }

    fn choose_request(&mut self, now: Duration) -> Option<Request> {
        // What is late is not sent.
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
        self.throttle.is_held() || self.requests.len() >= self.throttle.limit.limit()
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
                // waits for units does not: what is large would wait for ever.
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

    /// Low load sends at once; while half of the slots that there may ever be are taken, a batch
    /// may fill, for no longer than the linger. An adapted limit below that is reached at once, and
    /// batches fill behind it.
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

    /// Returns a batch of these writes, whose hot keys and indexes are paid for, and of writes of
    /// the lane.
    pub(super) fn batch(
        &mut self,
        now: Duration,
        mut writes: Vec<Ticket>,
        Sum { mut len, mut units }: Sum,
    ) -> Option<Request> {
        let most = self.rules.max_batch_items;
        let allowed = if writes.is_empty() {
            let (_, first) = self.queue.first_batched()?;
            let least = first.write.cost.units;
            let want = self.queue.batched().units(most).max(least);
            self.throttle.permitted(now, want, least)?
        } else {
            let wanted = self.queue.batched().units(most - writes.len());
            let budgets = &mut self.throttle.budgets;
            budgets.available(now, units.saturating_add(wanted))
        };
        writes.reserve(self.queue.batched().count().min(most - writes.len()));
        let plain = self.throttle.budgets.has_only_table_budget();
        while writes.len() < most {
            let Some((ticket, entry)) = self.queue.first_batched() else {
                break;
            };
            let (bytes, cost) = (entry.write.batch_len, entry.write.cost);
            if !plain && let Some(key) = self.parking_key(now, cost) {
                self.park(now, ticket, key);
                continue;
            }
            if units.saturating_add(cost.units) > allowed && !writes.is_empty() {
                break;
            }
            let grown = len + bytes;
            // The last write has no comma behind it.
            let over = self.bodies.batch_overhead() + grown - 1 > self.rules.max_batch_bytes;
            if over && !writes.is_empty() {
                break;
            }
            len = grown;
            units = units.saturating_add(cost.units);
            if !plain {
                self.throttle.budgets.take_for_write(now, cost);
            }
            self.choose(ticket);
            writes.push(ticket);
        }
        if writes.is_empty() {
            return None;
        }
        self.throttle.budgets.take(now, units);
        Some(self.send_batch(now, writes, len, false))
    }

    /// Makes a write part of the next request.
    pub(super) fn choose(&mut self, ticket: Ticket) {
        self.queue.set_state(ticket, State::InFlight);
    }

    /// Returns a request of writes that are under test: one that is `payable`, or one that costs no retry.
    fn isolated_request(&mut self, now: Duration, payable: bool) -> Option<Request> {
        if !self.isolation.has_parts() {
            return None;
        }
        let payable = payable && self.retries.budget.has_retry(now);
        while let Some(part) = self.isolation.take_part(now, payable) {
            let Part {
                number,
                mut writes,
                unpaid,
                ..
            } = part;
            let (mut len, mut units) = (0, 0_u32);
            writes.retain(|ticket| {
                let entry = self.queue.get(*ticket);
                let waits = entry
                    .filter(|entry| matches!(entry.state, State::Isolated(part) if part == number));
                if let Some(entry) = waits {
                    len += entry.write.batch_len;
                    units = units.saturating_add(entry.write.cost.units);
                }
                waits.is_some()
            });
            if !writes.is_empty() {
                self.throttle.budgets.take(now, units);
                let request = self.send_batch(now, writes, len, true);
                if unpaid && let Some(sent) = self.requests.get_mut(request.id) {
                    self.retries.budget.withdraw(now);
                    sent.payments += 1;
                    self.isolation.set_others_next(true);
                }
                return Some(request);
            }
        }
        None
    }

    fn send_batch(
        &mut self,
        now: Duration,
        writes: Vec<Ticket>,
        len: usize,
        isolated: bool,
    ) -> Request {
        let mut body = self.buffer_pool.take(self.bodies.batch_overhead() + len);
        let mut sent: Vec<(Ticket, Range<usize>)> = Vec::with_capacity(writes.len());
        self.bodies.open_batch(&mut body);
        for ticket in writes {
            let broken = "a write of a batch is not queued, or is no put or delete";
            let entry = self.queue.queued(ticket, broken);
            let payload = entry.map(|entry| &mut entry.write.payload);
            match payload.and_then(|payload| Bodies::add_to_batch(&mut body, payload)) {
                Some(range) => sent.push((ticket, range)),
                None => self.queue.report(broken),
            }
        }
        self.bodies.close_batch(&mut body);
        let body = Bytes::from(body);
        // From here on the record exists once, in the body.
        let mut writes = Vec::with_capacity(sent.len());
        for (ticket, range) in sent {
            if let Some(entry) = self.queue.get_mut(ticket)
                && let Payload::Plain { data, .. } = &mut entry.write.payload
            {
                *data = body.slice(range);
            }
            writes.push(ticket);
        }
        self.sent(now, Operation::BatchWriteItem, body, writes, isolated)
    }

    fn call(&mut self, now: Duration) -> Option<Request> {
        loop {
            let (ticket, entry) = self.queue.first_single()?;
            let cost = entry.write.cost;
            if self.lapsed(now, ticket) {
                continue;
            }
            if let Some(key) = self.parking_key(now, cost) {
                self.park(now, ticket, key);
                continue;
            }
            self.throttle.permitted(now, cost.units, cost.units)?;
            return self.send_call(now, ticket, cost);
        }
    }

    /// Settles a write as unknown if its answer was lost and its token has lapsed since, and
    /// returns whether it did: such a write can't be sent again.
    pub(super) fn lapsed(&mut self, now: Duration, ticket: Ticket) -> bool {
        let Some(entry) = self.queue.get(ticket) else {
            return false;
        };
        let write = &entry.write;
        let lapsed =
            write.attempts.may_have_applied && !write.may_be_sent_again(now, self.rules.token_life);
        if lapsed {
            self.unknown(now, ticket);
        }
        lapsed
    }

    /// Sends a write by itself.
    pub(super) fn send_call(
        &mut self,
        now: Duration,
        ticket: Ticket,
        cost: WriteCost,
    ) -> Option<Request> {
        let entry = self
            .queue
            .queued(ticket, "a write of a call is not queued")?;
        let operation = entry.write.payload.operation();
        let Some(body) = self.bodies.call(&entry.write.payload) else {
            self.queue
                .report("a put or delete for a batch is sent by itself");
            return None;
        };
        self.throttle.budgets.take_for_write(now, cost);
        self.throttle.budgets.take(now, cost.units);
        Some(self.sent(now, operation, body, vec![ticket], false))
    }

    /// Returns a request of one write that was refused without a reason, sent again at once.
    ///
    /// It is a batch of its own: where a batch is refused whole, the service reports the reason.
    fn cause_probe_request(&mut self, now: Duration) -> Option<Request> {
        let ticket = self.throttle.take_cause_probe()?;
        let entry = self.queue.get(ticket).filter(|entry| entry.is_delayed())?;
        let (bytes, units) = (entry.write.batch_len, entry.write.cost.units);
        self.throttle.budgets.take(now, units);
        Some(self.send_batch(now, vec![ticket], bytes, false))
    }

    fn sent(
        &mut self,
        now: Duration,
        operation: Operation,
        body: Bytes,
        writes: Vec<Ticket>,
        isolated: bool,
    ) -> Request {
        let id = self.requests.next();
        let mut attempt = 0;
        let mut payments = 0;
        for &ticket in &writes {
            self.queue.set_state(ticket, State::InFlight);
            if let Some(entry) = self.queue.get_mut(ticket) {
                let attempts = &mut entry.write.attempts;
                attempts.count = attempts.count.saturating_add(1);
                attempts.first_sent.get_or_insert(now);
                attempt = attempt.max(attempts.count);
                payments += u32::from(std::mem::take(&mut entry.paid));
            }
        }
        let items = writes.len();
        self.requests.add(InFlight {
            id,
            operation,
            writes,
            sent_at: now,
            isolated,
            proven: self.isolation.proven(),
            asked: self.bodies.asks_consumed(),
            payments,
            body: body.clone(),
        });
        Request {
            id,
            operation,
            body,
            items,
            attempt,
        }
    }
}
