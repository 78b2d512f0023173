//! The feedback of answers to budgets and concurrency.

use std::time::Duration;

use super::Core;
use super::entry::State;
use super::lane::Ticket;
use crate::capacity::{
    BudgetKey, CapacityMode, Concurrency, Consumption, Limit, Rate, TableCapacity, WriteCost,
};
use crate::retry::ServiceError;

/// The answer to requests that ask for the units that they consume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ConsumedAnswer {
    /// None was carried out.
    #[default]
    Unknown,
    /// One was carried out.
    Given,
    /// All were refused: it is not asked any more.
    Refused,
}

impl<C, F> Core<C, F> {
    /// Sets the table's capacity from a new description.
    pub(crate) fn set_capacity(&mut self, now: Duration, capacity: TableCapacity) {
        self.budgets.set_capacity(now, capacity);
        self.follow_needs_consumed();
    }

    /// Lets requests ask for the units that they consume, where the settings or the budgets need
    /// them.
    fn follow_needs_consumed(&mut self) {
        let wanted = self.rules.consumed_capacity || self.budgets.needs_consumed();
        self.bodies
            .ask_consumed(wanted && self.consumed != ConsumedAnswer::Refused);
    }

    /// Stops asking for the units that requests consume, if none was ever answered. Returns whether
    /// requests did ask.
    ///
    /// `ScyllaDB`'s Alternator refuses every request that asks for the units of the indexes.
    pub(super) fn stop_asking_consumed(&mut self) -> bool {
        if self.consumed != ConsumedAnswer::Unknown || !self.bodies.asks_consumed() {
            return false;
        }
        self.consumed = ConsumedAnswer::Refused;
        self.bodies.ask_consumed(false);
        true
    }

    /// Notes whether describing the table is denied. Returns whether that is news.
    pub(crate) fn deny_describing(&mut self, denied: bool) -> bool {
        self.budgets.deny_describing(denied)
    }

    /// Returns the table's capacity mode.
    pub(crate) fn mode(&self) -> CapacityMode {
        self.budgets.mode()
    }

    /// Returns the write units a second that may leave now; `None` where nothing limits them.
    pub(crate) fn rate(&self, now: Duration) -> Option<f64> {
        self.budgets.rate(now)
    }

    /// Returns the number of hot keys, and the number of writes parked for them.
    pub(crate) fn hot_keys(&self) -> (usize, usize) {
        (self.budgets.hot_keys(), self.parked.behind_hot_keys())
    }

    /// Returns the indexes that writes wait for, a bit for each.
    pub(crate) fn short_indexes(&self, now: Duration) -> u32 {
        self.parked.short_indexes(now)
    }

    /// Returns whether the table's capacity should be described now, and notes that it was.
    pub(crate) fn take_refresh(&mut self, now: Duration) -> bool {
        !self.entries.is_empty() && self.failed.is_none() && self.budgets.take_describe(now)
    }

    /// Sets another rate, chosen by the user.
    pub(crate) fn set_rate(&mut self, now: Duration, rate: Rate) {
        self.budgets.set_rate(now, rate);
        self.follow_needs_consumed();
    }

    /// Sets another range of the concurrency, chosen by the user.
    pub(crate) fn set_concurrency(&mut self, concurrency: Concurrency) {
        self.limit.set_range(concurrency);
    }

    /// Returns whether the account's quota was met since the last call. It concerns the other
    /// tables too.
    pub(crate) fn take_account(&mut self) -> bool {
        std::mem::take(&mut self.account)
    }

    /// Slows down, since another table met the account's quota.
    pub(crate) fn yield_to_account(&mut self, now: Duration) {
        self.budgets.yield_to_account(now);
    }

    /// Drops the budgets of hot keys that have cooled down and have no parked writes.
    pub(super) fn release_cooled_keys(&mut self, now: Duration) {
        let Self {
            parked, budgets, ..
        } = self;
        budgets.release_cooled_keys(now, |key| parked.contains(BudgetKey::HotKey(key)));
    }

    /// Settles the budgets for writes that were carried out.
    pub(super) fn note_taken(
        &mut self,
        now: Duration,
        written: &[Ticket],
        consumed: Option<&Consumption>,
    ) {
        let Self {
            entries, budgets, ..
        } = self;
        let costs = written.iter().filter_map(|ticket| entries.get(ticket.at));
        budgets.settled(now, costs.map(|entry| entry.write.cost), consumed);
    }

    /// Reacts to a request of which `left` were refused for want of capacity and `written` were
    /// carried out.
    pub(super) fn note_refused(
        &mut self,
        now: Duration,
        sent_at: Duration,
        left: &[Ticket],
        written: &[Ticket],
        error: Option<&ServiceError>,
    ) {
        let costs = |tickets: &[Ticket]| -> Vec<WriteCost> {
            let entries = tickets
                .iter()
                .filter_map(|ticket| self.entries.get(ticket.at));
            entries.map(|entry| entry.write.cost).collect()
        };
        let reasons = error.map_or(&[][..], ServiceError::throttling_reasons);
        let (refused, passed) = (costs(left), costs(written));
        let follow_up = self
            .budgets
            .refused(now, sent_at, &refused, &passed, reasons);
        self.account |= follow_up.slow_account;
        if follow_up.probe_cause {
            // The reason for a hot key's refusal would concern that key alone.
            let fit = |ticket: &&Ticket| {
                let entry = self.entries.get(ticket.at);
                entry.is_some_and(|entry| {
                    entry.write.payload.is_plain()
                        && !self.budgets.is_hot(entry.write.cost.partition)
                })
            };
            self.cause_probe = left.iter().find(fit).copied();
        }
        self.counts.throttled_items += left.len() as u64;
        self.note_answer(now, sent_at);
    }

    /// Feeds the concurrency limit with the time that an answer took.
    pub(super) fn note_answer(&mut self, now: Duration, sent_at: Duration) {
        let in_flight = self.requests.len() + 1;
        self.limit.on_answer(now, sent_at, in_flight);
    }

    /// Returns the reason why writes wait now.
    pub(crate) fn limited_by(&mut self, now: Duration) -> Limit {
        if self.entries.is_empty() {
            return Limit::Nothing;
        }
        if let Some(cause) = self.budgets.paused_by(now) {
            return Limit::Throttled(cause);
        }
        let ready = self.batched.count() + self.single.count() > 0;
        if ready && self.requests.len() >= self.limit.limit() {
            return Limit::Concurrency(self.limit.limit());
        }
        if self.table_until.is_some()
            && let Some(units) = self.budgets.rate(now)
        {
            let bursting = self.budgets.is_bursting();
            return Limit::Rate { units, bursting };
        }
        if ready {
            return Limit::Linger;
        }
        let writes = self.parked.behind_hot_keys();
        if writes > 0 {
            let keys = self.budgets.hot_keys();
            return Limit::HotKeys { keys, writes };
        }
        if let Some(index) = self.parked.fullest_index() {
            let units = self.budgets.index_rate(index, now).unwrap_or_default();
            return Limit::Index { index, units };
        }
        if self.requests.is_empty() && self.groups.awaits_description() {
            return Limit::Description;
        }
        if !(self.delayed.is_empty() && self.unpaid.is_empty() && self.isolated.is_empty()) {
            return Limit::Retries;
        }
        if self.requests.is_empty() {
            let letters = self.entries.iter();
            let letters =
                letters.filter(|(_, entry)| matches!(entry.state, State::DeadLettered(_)));
            let letters = letters.count();
            if letters > 0 {
                return Limit::DeadLetters(letters);
            }
        }
        Limit::Answers
    }
}
