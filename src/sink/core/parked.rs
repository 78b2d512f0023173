//! Parked writes: those that wait for the budget of their hot key or of an index.
//!
//! Each such budget has a lane of its own. Writes wait in it in order, and all other writes pass
//! them. A write that leaves its lane goes into the next batch before the writes of the common
//! lane, since it waited longer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::entry::State;
use super::lane::{Lane, Ticket, Weight};
use super::request::Sum;
use super::{Core, Request};
use crate::capacity::{BudgetKey, WriteCost};

/// The time for which an index counts as short after a write was last parked for it.
///
/// Chosen: longer than the moments without a parked write of an index that stays short.
const SHORT_INDEX_MEMORY: Duration = Duration::from_secs(1);

/// The lanes of parked writes, by the budget that they wait for.
#[derive(Debug, Default)]
pub(super) struct ParkedWrites {
    lanes: BTreeMap<BudgetKey, Lane>,
    /// The time when the next of them may leave, as of the last check.
    pub(super) due_at: Option<Duration>,
    /// The indexes that writes were parked for, and the last time of each.
    short: Vec<(usize, Duration)>,
}

impl ParkedWrites {
    /// Returns whether no write is parked.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Returns the number of writes that wait for hot keys.
    pub(super) fn behind_hot_keys(&self) -> usize {
        let lanes = self.lanes.iter();
        lanes
            .filter(|(key, _)| matches!(key, BudgetKey::HotKey(_)))
            .map(|(_, lane)| lane.count())
            .sum()
    }

    /// Returns the index that the most writes wait for.
    pub(super) fn fullest_index(&self) -> Option<usize> {
        let indexes = self.lanes.iter().filter_map(|(key, lane)| match key {
            BudgetKey::Index(at) => Some((lane.count(), *at)),
            BudgetKey::HotKey(_) => None,
        });
        indexes.max().map(|(_, at)| at)
    }

    /// Returns whether writes wait for this budget.
    pub(super) fn contains(&self, key: BudgetKey) -> bool {
        self.lanes.contains_key(&key)
    }

    /// Notes that a write was parked for an index.
    fn note_short(&mut self, index: usize, now: Duration) {
        match self.short.iter_mut().find(|(at, _)| *at == index) {
            Some((_, noted)) => *noted = now,
            None => self.short.push((index, now)),
        }
    }

    /// Returns the indexes that writes wait for, or waited for a moment ago, a bit for each.
    pub(super) fn short_indexes(&self, now: Duration) -> u32 {
        let short = self.short.iter().filter(|(at, noted)| {
            now.saturating_sub(*noted) < SHORT_INDEX_MEMORY || self.contains(BudgetKey::Index(*at))
        });
        short.fold(0, |bits, (at, _)| {
            bits | 1_u32.wrapping_shl(u32::try_from(*at).unwrap_or(0))
        })
    }

    /// Returns the budgets that writes wait for.
    pub(super) fn keys(&self) -> impl Iterator<Item = BudgetKey> {
        self.lanes.keys().copied()
    }

    /// Replaces the weight of a parked write.
    pub(super) fn resize(&mut self, key: BudgetKey, old: Weight, new: Weight) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.resize(old, new);
        }
    }

    /// Removes a write that left its lane other than to be sent.
    pub(super) fn forget(&mut self, key: BudgetKey, weight: Weight) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.forget(weight);
            if lane.count() == 0 {
                self.lanes.remove(&key);
            }
        }
    }
}

impl<C, F> Core<C, F> {
    /// Parks a write that has just left its lane.
    pub(super) fn park(&mut self, now: Duration, ticket: Ticket, key: BudgetKey) {
        if let Some(entry) = self.entries.get_mut(ticket.at) {
            let waited = matches!(entry.state, State::Parked(_));
            entry.state = State::Parked(key);
            let lane = self.parked.lanes.entry(key).or_default();
            // A write that was parked elsewhere keeps the place of its age.
            lane.push(ticket, entry.weight(), now, waited);
            // Its budget is checked again before the worker sleeps.
            self.parked.due_at = Some(now);
            if let BudgetKey::Index(at) = key {
                self.parked.note_short(at, now);
            }
        }
    }

    /// Returns the budget that a write has to wait for: one that other writes wait for already, or
    /// one that is used up.
    pub(super) fn parking_key(&mut self, now: Duration, cost: WriteCost) -> Option<BudgetKey> {
        if !self.parked.is_empty() {
            let hot_key = BudgetKey::HotKey(cost.partition);
            if self.parked.contains(hot_key) {
                return Some(hot_key);
            }
            let index = |key: &BudgetKey| matches!(key, BudgetKey::Index(at) if cost.enters(*at));
            if let Some(key) = self.parked.keys().find(index) {
                return Some(key);
            }
        }
        self.budgets.blocking_budget(now, cost, None)
    }

    /// Returns the next budget that a write has to wait for after `passed`.
    fn next_parking_key(
        &mut self,
        now: Duration,
        cost: WriteCost,
        passed: BudgetKey,
    ) -> Option<BudgetKey> {
        let behind = |key: &BudgetKey| {
            *key > passed && matches!(key, BudgetKey::Index(at) if cost.enters(*at))
        };
        let behind = self.parked.keys().find(behind);
        behind.or_else(|| self.budgets.blocking_budget(now, cost, Some(passed)))
    }

    /// Returns the oldest write in the common lanes.
    fn oldest_ticket(&mut self) -> Option<Ticket> {
        let heads = self.heads().into_iter().flatten();
        heads.map(|(ticket, _)| ticket).min()
    }

    /// Returns the first write that waits for a budget.
    fn first_parked(&mut self, key: BudgetKey) -> Option<Ticket> {
        let entries = &self.entries;
        let lane = self.parked.lanes.get_mut(&key)?;
        let live = |ticket: Ticket| {
            entries.get(ticket.at).is_some_and(|entry| {
                entry.is_live(ticket.seq)
                    && matches!(entry.state, State::Parked(found) if found == key)
            })
        };
        lane.peek(live).map(|(ticket, _)| ticket)
    }

    /// Takes the first write that waits for a budget out of its lane.
    fn unpark(&mut self, key: BudgetKey, weight: Weight) {
        if let Some(lane) = self.parked.lanes.get_mut(&key) {
            lane.pop(weight);
            if lane.count() == 0 {
                self.parked.lanes.remove(&key);
            }
        }
    }

    /// Returns a request of parked writes whose budgets now have the units.
    pub(super) fn parked_request(&mut self, now: Duration) -> Option<Request> {
        let most = self.rules.max_batch_items;
        let keys: Vec<BudgetKey> = self.parked.keys().collect();
        let mut due = Vec::new();
        for key in keys {
            let Some(first) = self.first_parked(key) else {
                continue;
            };
            let Some(least) = self
                .entries
                .get(first.at)
                .map(|entry| entry.write.cost.units)
            else {
                continue;
            };
            let want = self
                .parked
                .lanes
                .get(&key)
                .map_or(0, |lane| lane.units(most));
            match self.budgets.permit_for(now, key, want.max(least), least) {
                Ok(allowed) => due.push((first, key, allowed)),
                Err(until) => {
                    let due_at = self.parked.due_at.map_or(until, |due_at| due_at.min(until));
                    self.parked.due_at = Some(due_at);
                }
            }
        }
        // By age, among themselves and beside the common lanes: no write is passed for ever.
        due.sort_unstable();
        let &(first, _, _) = due.first()?;
        if self.oldest_ticket().is_some_and(|oldest| oldest < first) {
            // The common lanes set their own time to wake.
            return None;
        }
        let least = self.entries.get(first.at)?.write.cost.units;
        let mut allowed = self.permitted(now, least, least)?;
        let mut writes = Vec::new();
        let mut sum = Sum::default();
        for (_, key, mut key_units) in due {
            while writes.len() < most
                && let Some(ticket) = self.first_parked(key)
            {
                if self.lapsed(now, ticket) {
                    continue;
                }
                let Some(entry) = self.entries.get(ticket.at) else {
                    break;
                };
                let (weight, cost, plain) = (
                    entry.weight(),
                    entry.write.cost,
                    entry.write.payload.is_plain(),
                );
                if cost.units > key_units.max(1) && !writes.is_empty() {
                    break;
                }
                if let Some(next) = self.next_parking_key(now, cost, key) {
                    self.unpark(key, weight);
                    self.park(now, ticket, next);
                    continue;
                }
                if !plain {
                    if !writes.is_empty() {
                        break;
                    }
                    self.unpark(key, weight);
                    return self.send_call(now, ticket, cost);
                }
                let grown = sum.len + weight.bytes;
                let fits = self.bodies.batch_overhead() + grown <= self.rules.max_batch_bytes;
                if !writes.is_empty() && (cost.units > allowed || !fits) {
                    break;
                }
                self.unpark(key, weight);
                self.budgets.take_for_write(now, cost);
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
            self.parked.due_at = Some(now);
            return None;
        }
        self.batch(now, writes, sum)
    }
}
