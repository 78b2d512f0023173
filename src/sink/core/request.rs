//! The choice of the next request, and of the time to choose again.

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::entry::State;
use super::lane::{Ticket, Weight};
use super::{Core, is_ready};
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

/// Part of a batch under bisection, to be sent as it is.
#[derive(Debug)]
pub(super) struct Isolated {
    pub(super) writes: Vec<Ticket>,
    pub(super) not_before: Duration,
    /// Set if the retry budget has to pay for it.
    pub(super) unpaid: bool,
}

impl<C, F> Core<C, F> {
    /// Returns the next request to send now, if there is one. Call until `None`.
    pub(crate) fn next_request(&mut self, now: Duration) -> Option<Request> {
        self.expire(now);
        self.mature(now);
        if self.failed.is_some() || self.requests.len() >= self.limit.limit() {
            return None;
        }
        if let Some(request) = self.isolated_request(now, !self.others_next) {
            return Some(request);
        }
        self.pay(now);
        if let Some(request) = self.lane_request(now) {
            if self.unpaid.is_empty() {
                self.others_next = false;
            }
            return Some(request);
        }
        self.isolated_request(now, true)
    }

    /// Returns the next request of those writes that are in a lane.
    fn lane_request(&mut self, now: Duration) -> Option<Request> {
        if let Some(request) = self.cause_probe_request(now) {
            return Some(request);
        }
        self.release_cooled_keys(now);
        self.table_until = None;
        self.parked.due_at = None;
        if !self.parked.is_empty() {
            if let Some(request) = self.parked_request(now) {
                return Some(request);
            }
            if self.table_until.is_some() {
                // The oldest write is parked and waits for units of the table: it must not be
                // passed.
                return None;
            }
        }
        match self.heads() {
            [Some((_, since)), None] => self.batch_if_due(now, since),
            [None, Some(_)] => self.call(now),
            [Some((batch, since)), Some((call, _))] => {
                // The older goes first; a batch that should still fill lets the call pass, one that
                // waits for units does not: what is large would wait for ever.
                if batch < call {
                    if let Some(request) = self.batch_if_due(now, since) {
                        return Some(request);
                    }
                    if self.table_until.is_some() {
                        return None;
                    }
                }
                self.call(now)
            }
            [None, None] => None,
        }
    }

    /// Returns when to call [`next_request`](Self::next_request) again if nothing else happens
    /// before.
    pub(crate) fn wake_at(&mut self) -> Option<Duration> {
        let mut wake: Option<Duration> = None;
        let mut at = |time: Duration| wake = Some(wake.map_or(time, |wake| wake.min(time)));
        if let Some(due) = self.deadlines.first() {
            at(due.time);
        }
        if let Some(Reverse(delayed)) = self.delayed.peek() {
            at(delayed.until);
        }
        if self.failed.is_none()
            && let Some(time) = self.description.due_at()
        {
            at(time);
        }
        if self.failed.is_none() && self.requests.len() < self.limit.limit() {
            if !self.unpaid.is_empty() {
                at(self.budget.due_at());
            }
            for isolated in &self.isolated {
                at(if isolated.unpaid {
                    isolated.not_before.max(self.budget.due_at())
                } else {
                    isolated.not_before
                });
            }
            if let Some(time) = self.parked.due_at {
                at(time);
            }
            if let Some(time) = self.table_until {
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
        let full = self.batched.count() >= self.rules.max_batch_items
            || self.bodies.batch_overhead() + self.batched.bytes() >= self.rules.max_batch_bytes;
        let in_flight = self.requests.len();
        let free = in_flight == 0 || in_flight * 2 < self.limit.max();
        let due = full
            || free
            || self.draining
            || self.epochs.flushing()
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
            let entries = &self.entries;
            let (first, _) = self.batched.peek(|ticket| is_ready(entries, ticket))?;
            let least = self.entries.get(first.at)?.write.cost.units;
            self.permitted(now, self.batched.units(most).max(least), least)?
        } else {
            let wanted = self.batched.units(most - writes.len());
            self.budgets.available(now, units.saturating_add(wanted))
        };
        writes.reserve(self.batched.count().min(most - writes.len()));
        let plain = self.budgets.has_only_table_budget();
        while writes.len() < most {
            let entries = &self.entries;
            let Some((ticket, _)) = self.batched.peek(|ticket| is_ready(entries, ticket)) else {
                break;
            };
            let Some(entry) = self.entries.get(ticket.at) else {
                break;
            };
            let (weight, cost) = (entry.weight(), entry.write.cost);
            if !plain && let Some(key) = self.parking_key(now, cost) {
                self.batched.pop(weight);
                self.park(now, ticket, key);
                continue;
            }
            if units.saturating_add(cost.units) > allowed && !writes.is_empty() {
                break;
            }
            let grown = len + weight.bytes;
            // The last write has no comma behind it.
            let over = self.bodies.batch_overhead() + grown - 1 > self.rules.max_batch_bytes;
            if over && !writes.is_empty() {
                break;
            }
            len = grown;
            units = units.saturating_add(cost.units);
            if !plain {
                self.budgets.take_for_write(now, cost);
            }
            self.batched.pop(weight);
            self.choose(ticket);
            writes.push(ticket);
        }
        if writes.is_empty() {
            return None;
        }
        self.budgets.take(now, units);
        Some(self.send_batch(now, writes, len, false))
    }

    /// Marks a write as part of the next request. A lane may hold a second ticket of it, left behind by
    /// a write that had taken its place.
    pub(super) fn choose(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entries.get_mut(ticket.at) {
            entry.state = State::InFlight;
        }
    }

    /// Returns the units of the table that may leave now; `None` where they have to wait, until the
    /// time noted in `table_until`.
    pub(super) fn permitted(&mut self, now: Duration, want: u32, least: u32) -> Option<u32> {
        match self.budgets.permit(now, want, least) {
            Ok(units) => Some(units),
            Err(until) => {
                self.table_until = Some(until);
                None
            }
        }
    }

    /// Returns a request of writes that are under test: one that is `payable`, or one that costs no retry.
    fn isolated_request(&mut self, now: Duration, payable: bool) -> Option<Request> {
        let payable = payable && self.budget.has_retry(now);
        let ready =
            |isolated: &Isolated| isolated.not_before <= now && (payable || !isolated.unpaid);
        while let Some(place) = self.isolated.iter().position(ready) {
            let Isolated {
                mut writes, unpaid, ..
            } = self.isolated.remove(place)?;
            let mut len = 0;
            writes.retain(|ticket| {
                let waits = self.entries.get(ticket.at).filter(|entry| {
                    entry.is_live(ticket.seq) && matches!(entry.state, State::Isolated)
                });
                len += waits.map_or(0, |entry| entry.write.batch_len);
                waits.is_some()
            });
            if !writes.is_empty() {
                let units = writes
                    .iter()
                    .filter_map(|ticket| self.entries.get(ticket.at));
                let units = units.fold(0_u32, |sum, entry| {
                    sum.saturating_add(entry.write.cost.units)
                });
                self.budgets.take(now, units);
                let request = self.send_batch(now, writes, len, true);
                if unpaid && let Some(sent) = self.requests.get_mut(&request.id) {
                    self.budget.withdraw(now);
                    sent.payments += 1;
                    self.others_next = true;
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
        let mut ranges = Vec::with_capacity(writes.len());
        self.bodies.open_batch(&mut body);
        for ticket in &writes {
            if let Some(entry) = self.entries.get_mut(ticket.at) {
                ranges.push(Bodies::add_to_batch(&mut body, &mut entry.write.payload));
            }
        }
        self.bodies.close_batch(&mut body);
        let body = Bytes::from(body);
        // From here on the record exists once, in the body.
        for (ticket, range) in writes.iter().zip(ranges) {
            if let Some(entry) = self.entries.get_mut(ticket.at)
                && let Payload::Plain { data, .. } = &mut entry.write.payload
            {
                *data = body.slice(range);
            }
        }
        self.sent(now, Operation::BatchWriteItem, body, writes, isolated)
    }

    fn call(&mut self, now: Duration) -> Option<Request> {
        loop {
            let entries = &self.entries;
            let (ticket, _) = self.single.peek(|ticket| is_ready(entries, ticket))?;
            let entry = self.entries.get(ticket.at)?;
            let (weight, cost) = (entry.weight(), entry.write.cost);
            if self.lapsed(now, ticket) {
                continue;
            }
            if let Some(key) = self.parking_key(now, cost) {
                self.single.pop(weight);
                self.park(now, ticket, key);
                continue;
            }
            self.permitted(now, cost.units, cost.units)?;
            self.single.pop(weight);
            return self.send_call(now, ticket, cost);
        }
    }

    /// Settles a write as unknown if its answer was lost and its token has lapsed since, and
    /// returns whether it did: such a write can't be sent again.
    pub(super) fn lapsed(&mut self, now: Duration, ticket: Ticket) -> bool {
        let Some(entry) = self.entries.get(ticket.at) else {
            return false;
        };
        if !entry.may_have_applied || entry.may_be_sent_again(now, self.rules.token_life) {
            return false;
        }
        self.unknown(now, ticket);
        true
    }

    /// Sends a write by itself.
    pub(super) fn send_call(
        &mut self,
        now: Duration,
        ticket: Ticket,
        cost: WriteCost,
    ) -> Option<Request> {
        let entry = self.entries.get(ticket.at)?;
        let operation = entry.write.payload.operation();
        let body = self.bodies.call(&entry.write.payload)?;
        self.budgets.take_for_write(now, cost);
        self.budgets.take(now, cost.units);
        Some(self.sent(now, operation, body, vec![ticket], false))
    }

    /// Returns a request of one write that was refused without a reason, sent again at once.
    ///
    /// It is a batch of its own: where a batch is refused whole, the service reports the reason.
    fn cause_probe_request(&mut self, now: Duration) -> Option<Request> {
        let ticket = self.cause_probe.take()?;
        let entry = self.entries.get(ticket.at)?;
        if !entry.is_live(ticket.seq) || !matches!(entry.state, State::Delayed) {
            return None;
        }
        let Weight { bytes, units } = entry.weight();
        self.budgets.take(now, units);
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
        let id = self.next_request;
        self.next_request += 1;
        let mut attempt = 0;
        let mut payments = 0;
        for ticket in &writes {
            if let Some(entry) = self.entries.get_mut(ticket.at) {
                entry.state = State::InFlight;
                entry.write.attempts = entry.write.attempts.saturating_add(1);
                entry.first_sent.get_or_insert(now);
                attempt = attempt.max(entry.write.attempts);
                payments += u32::from(std::mem::take(&mut entry.paid));
            }
        }
        let items = writes.len();
        self.requests.insert(
            id,
            InFlight {
                id,
                operation,
                writes,
                sent_at: now,
                isolated,
                proven: self.groups.proven(),
                asked: self.bodies.asks_consumed(),
                payments,
                body: body.clone(),
            },
        );
        Request {
            id,
            operation,
            body,
            items,
            attempt,
        }
    }
}
