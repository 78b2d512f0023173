//! Parked writes: those that wait for the budget of their hot key or of an index.
//!
//! Each such budget has a lane of its own. Writes wait in it in order, and all other writes pass
//! them. A write that leaves its lane goes into the next batch before the writes of the common
//! lane, since it waited longer.

use std::time::Duration;

use super::lane::Ticket;
use super::request::Sum;
use super::{Core, Request};
use crate::capacity::{BudgetKey, WriteCost};

impl<C, F> Core<C, F> {
    /// Parks a write that would be the next of its lane.
    pub(super) fn park(&mut self, now: Duration, ticket: Ticket, key: BudgetKey) {
        self.queue.park(now, ticket, key);
        self.throttle.parked(now, key);
    }

    /// Returns the budget that a write has to wait for: one that other writes wait for already, or
    /// one that is used up.
    pub(super) fn parking_key(&mut self, now: Duration, cost: WriteCost) -> Option<BudgetKey> {
        let parked = self.queue.parked();
        if !parked.is_empty() {
            let hot_key = BudgetKey::HotKey(cost.partition);
            if parked.contains_key(&hot_key) {
                return Some(hot_key);
            }
            let index = |key: &&BudgetKey| matches!(key, BudgetKey::Index(at) if cost.enters(*at));
            if let Some(key) = parked.keys().find(index) {
                return Some(*key);
            }
        }
        self.throttle.budgets.blocking_budget(now, cost, None)
    }

    /// Returns the next budget that a write has to wait for after `passed`.
    fn next_parking_key(
        &mut self,
        now: Duration,
        cost: WriteCost,
        passed: BudgetKey,
    ) -> Option<BudgetKey> {
        let behind = |key: &&BudgetKey| {
            **key > passed && matches!(key, BudgetKey::Index(at) if cost.enters(*at))
        };
        let behind = self.queue.parked().keys().find(behind).copied();
        let budgets = &mut self.throttle.budgets;
        behind.or_else(|| budgets.blocking_budget(now, cost, Some(passed)))
    }

    /// Returns the first parked write of each budget that has units for it, oldest first, with the
    /// units that the budget grants.
    fn due_parked(&mut self, now: Duration) -> Vec<(Ticket, BudgetKey, u32)> {
        let most = self.rules.max_batch_items;
        let mut due = Vec::new();
        let mut empty = false;
        for (&key, lane) in self.queue.parked() {
            let Some((first, entry)) = self.queue.first_parked(key) else {
                empty = true;
                continue;
            };
            let least = entry.write.cost.units;
            let want = lane.units(most).max(least);
            match self.throttle.budgets.permit_for(now, key, want, least) {
                Ok(allowed) => due.push((first, key, allowed)),
                Err(until) => self.throttle.wait_for_parked(until),
            }
        }
        if empty {
            self.queue.report("a lane of parked writes is empty");
        }
        due.sort_unstable();
        due
    }

    /// Returns a request of parked writes whose budgets now have the units.
    pub(super) fn parked_request(&mut self, now: Duration) -> Option<Request> {
        let most = self.rules.max_batch_items;
        // By age, among themselves and beside the common lanes: no write is passed for ever.
        let due = self.due_parked(now);
        let &(first, _, _) = due.first()?;
        let common = self.queue.heads().into_iter().flatten();
        if common.map(|(ticket, _)| ticket).any(|head| head < first) {
            // The common lanes set their own time to wake.
            return None;
        }
        let least = self.queue.get(first)?.write.cost.units;
        let mut allowed = self.throttle.permitted(now, least, least)?;
        let mut writes = Vec::new();
        let mut sum = Sum::default();
        for (_, key, mut key_units) in due {
            while writes.len() < most
                && let Some((ticket, entry)) = self.queue.first_parked(key)
            {
                let (bytes, cost) = (entry.write.batch_len, entry.write.cost);
                let plain = entry.write.payload.is_plain();
                if self.lapsed(now, ticket) {
                    continue;
                }
                if cost.units > key_units.max(1) && !writes.is_empty() {
                    break;
                }
                if let Some(next) = self.next_parking_key(now, cost, key) {
                    self.park(now, ticket, next);
                    continue;
                }
                if !plain {
                    if !writes.is_empty() {
                        break;
                    }
                    return self.send_call(now, ticket, cost);
                }
                let grown = sum.len + bytes;
                let fits = self.bodies.batch_overhead() + grown <= self.rules.max_batch_bytes;
                if !writes.is_empty() && (cost.units > allowed || !fits) {
                    break;
                }
                self.throttle.budgets.take_for_write(now, cost);
                key_units = key_units.saturating_sub(cost.units);
                allowed = allowed.saturating_sub(cost.units);
                sum.len = grown;
                sum.units = sum.units.saturating_add(cost.units);
                self.choose(ticket);
                writes.push(ticket);
                if key_units == 0 {
                    break;
                }
            }
        }
        if writes.is_empty() {
            self.throttle.wait_for_parked(now);
            return None;
        }
        self.batch(now, writes, sum)
    }
}
