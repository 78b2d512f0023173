//! The lanes of the queue: the writes that can be sent, or wait for a budget.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Queue;
use crate::capacity::{BudgetKey, WriteCost};
use crate::sink::core::entry::{Entry, State};
use crate::sink::core::lane::{Lane, Ticket};

impl<C> Queue<C> {
    /// Returns the lane of the puts and deletes that go in batches.
    pub(in crate::sink::core) fn batched(&self) -> &Lane {
        &self.batched
    }

    /// Returns the first write of the batched lane.
    pub(in crate::sink::core) fn first_batched(&self) -> Option<(Ticket, &Entry<C>)> {
        let ticket = self.batched.first(&self.entries)?;
        Some((ticket, self.get(ticket)?))
    }

    /// Returns the first write of the single lane.
    pub(in crate::sink::core) fn first_single(&self) -> Option<(Ticket, &Entry<C>)> {
        let ticket = self.single.first(&self.entries)?;
        Some((ticket, self.get(ticket)?))
    }

    /// Returns the first write that is parked for a budget.
    pub(in crate::sink::core) fn first_parked(
        &self,
        key: BudgetKey,
    ) -> Option<(Ticket, &Entry<C>)> {
        let ticket = self.parked.get(&key)?.first(&self.entries)?;
        Some((ticket, self.get(ticket)?))
    }

    /// Returns the first writes of the batched and the single lane, and since when each waits.
    pub(in crate::sink::core) fn heads(&self) -> [Option<(Ticket, Duration)>; 2] {
        [self.first_batched(), self.first_single()].map(|head| {
            let (ticket, entry) = head?;
            match entry.state {
                State::Ready(stay) => Some((ticket, stay.since)),
                _ => None,
            }
        })
    }

    /// Returns whether a write can be sent.
    pub(in crate::sink::core) fn has_ready(&self) -> bool {
        self.batched.count() + self.single.count() > 0
    }

    /// Returns whether a write waits for a retry.
    pub(in crate::sink::core) fn has_delayed(&self) -> bool {
        !(self.delayed.is_empty() && self.unpaid.is_empty())
    }

    /// Returns the lanes of parked writes, by the budget that they wait for.
    pub(in crate::sink::core) fn parked(&self) -> &BTreeMap<BudgetKey, Lane> {
        &self.parked
    }

    /// Returns the number of writes that wait for hot keys.
    pub(in crate::sink::core) fn behind_hot_keys(&self) -> usize {
        let lanes = self.parked.iter();
        lanes
            .filter(|(key, _)| matches!(key, BudgetKey::HotKey(_)))
            .map(|(_, lane)| lane.count())
            .sum()
    }

    /// Returns the index that the most writes wait for.
    pub(in crate::sink::core) fn fullest_index(&self) -> Option<usize> {
        let indexes = self.parked.iter().filter_map(|(key, lane)| match key {
            BudgetKey::Index(at) => Some((lane.count(), *at)),
            BudgetKey::HotKey(_) => None,
        });
        indexes.max().map(|(_, at)| at)
    }

    /// Returns the costs of writes.
    pub(in crate::sink::core) fn costs(&self, tickets: &[Ticket]) -> Vec<WriteCost> {
        let entries = tickets.iter().filter_map(|ticket| self.get(*ticket));
        entries.map(|entry| entry.write.cost).collect()
    }
}
