//! The writes of a request, and its body.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::{InFlight, Request, Sum};
use crate::capacity::WriteCost;
use crate::sink::core::Core;
use crate::sink::core::entry::State;
use crate::sink::core::isolation::Part;
use crate::sink::core::lane::Ticket;
use crate::sink::payload::{Bodies, Payload};
use crate::transport::Operation;

impl<C, F> Core<C, F> {
    /// Returns a batch of these writes, whose hot keys and indexes are paid for, and of writes of
    /// the lane.
    pub(in crate::sink::core) fn batch(
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
    pub(in crate::sink::core) fn choose(&mut self, ticket: Ticket) {
        self.queue.set_state(ticket, State::InFlight);
    }

    /// Returns a request of writes that are under test: one that is `payable`, or one that costs no
    /// retry.
    pub(super) fn isolated_request(&mut self, now: Duration, payable: bool) -> Option<Request> {
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

    pub(super) fn call(&mut self, now: Duration) -> Option<Request> {
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
    pub(in crate::sink::core) fn lapsed(&mut self, now: Duration, ticket: Ticket) -> bool {
        let Some(entry) = self.queue.get(ticket) else {
            return false;
        };
        let write = &entry.write;
        let lapsed = write.attempts.may_have_applied
            && !write.may_be_sent_again(now, self.rules.token_lifetime);
        if lapsed {
            self.unknown(now, ticket);
        }
        lapsed
    }

    /// Sends a write by itself.
    pub(in crate::sink::core) fn send_call(
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
    pub(super) fn cause_probe_request(&mut self, now: Duration) -> Option<Request> {
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
