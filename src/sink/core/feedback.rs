//! The feedback of answers to budgets and concurrency.

use std::time::Duration;

use super::Core;
use super::entry::State;
use super::lane::Ticket;
use super::throttle::ConsumedAnswer;
use crate::capacity::{
    BudgetKey, CapacityMode, Concurrency, Consumption, Limit, Rate, TableCapacity,
};
use crate::retry::ServiceError;

impl<C, F> Core<C, F> {
    /// Sets the table's capacity from a new description.
    pub(crate) fn set_capacity(&mut self, now: Duration, capacity: TableCapacity) {
        self.throttle.budgets.set_capacity(now, capacity);
        self.follow_needs_consumed();
    }

    /// Lets requests ask for the units that they consume, where the settings or the budgets need
    /// them.
    fn follow_needs_consumed(&mut self) {
        let wanted = self.rules.consumed_capacity || self.throttle.budgets.needs_consumed();
        self.bodies
            .ask_consumed(wanted && self.throttle.consumed != ConsumedAnswer::Refused);
    }

    /// Stops asking for the units that requests consume, if none was ever answered. Returns whether
    /// requests did ask.
    ///
    /// `ScyllaDB`'s Alternator refuses every request that asks for the units of the indexes.
    pub(super) fn stop_asking_consumed(&mut self) -> bool {
        if self.throttle.consumed != ConsumedAnswer::Unknown || !self.bodies.asks_consumed() {
            return false;
        }
        self.throttle.consumed = ConsumedAnswer::Refused;
        self.bodies.ask_consumed(false);
        true
    }

    /// Notes whether describing the table is denied. Returns whether that is news.
    pub(crate) fn deny_describing(&mut self, denied: bool) -> bool {
        self.throttle.budgets.deny_describing(denied)
    }

    /// Returns the table's capacity mode.
    pub(crate) fn mode(&self) -> CapacityMode {
        self.throttle.budgets.mode()
    }

    /// Returns the write units a second that may leave now; `None` where nothing limits them.
    pub(crate) fn rate(&self, now: Duration) -> Option<f64> {
        self.throttle.budgets.rate(now)
    }

    /// Returns the number of hot keys, and the number of writes parked for them.
    pub(crate) fn hot_keys(&self) -> (usize, usize) {
        (
            self.throttle.budgets.hot_keys(),
            self.queue.behind_hot_keys(),
        )
    }

    /// Returns the indexes that writes wait for, a bit for each.
    pub(crate) fn short_indexes(&self, now: Duration) -> u32 {
        let parked = self.queue.parked();
        let is_parked = |key| parked.contains_key(&key);
        self.throttle.short_indexes(now, is_parked)
    }

    /// Sets another rate, chosen by the user.
    pub(crate) fn set_rate(&mut self, now: Duration, rate: Rate) {
        self.throttle.budgets.set_rate(now, rate);
        self.follow_needs_consumed();
    }

    /// Sets another range of the concurrency, chosen by the user.
    pub(crate) fn set_concurrency(&mut self, concurrency: Concurrency) {
        self.throttle.limit.set_range(concurrency);
    }

    /// Returns whether the account's quota was met since the last call. It concerns the other
    /// tables too.
    pub(crate) fn take_account(&mut self) -> bool {
        std::mem::take(&mut self.throttle.account)
    }

    /// Slows down, since another table met the account's quota.
    pub(crate) fn yield_to_account(&mut self, now: Duration) {
        self.throttle.budgets.yield_to_account(now);
    }

    /// Drops the budgets of hot keys that have cooled down and have no parked writes.
    pub(super) fn release_cooled_keys(&mut self, now: Duration) {
        let parked = self.queue.parked();
        let budgets = &mut self.throttle.budgets;
        budgets.release_cooled_keys(now, |key| parked.contains_key(&BudgetKey::HotKey(key)));
    }

    /// Settles the budgets for writes that were carried out.
    pub(super) fn note_taken(
        &mut self,
        now: Duration,
        written: &[Ticket],
        consumed: Option<&Consumption>,
    ) {
        let Self {
            queue, throttle, ..
        } = self;
        let entries = written.iter().filter_map(|ticket| queue.get(*ticket));
        let costs = entries.map(|entry| entry.write.cost);
        throttle.budgets.settled(now, costs, consumed);
    }

    /// Adapts to a request of which `left` were refused because capacity ran out, and `written`
    /// were carried out.
    pub(super) fn note_refused(
        &mut self,
        now: Duration,
        sent_at: Duration,
        left: &[Ticket],
        written: &[Ticket],
        error: Option<&ServiceError>,
    ) {
        let reasons = error.map_or(&[][..], ServiceError::throttling_reasons);
        let (refused, passed) = (self.queue.costs(left), self.queue.costs(written));
        let follow_up = self
            .throttle
            .budgets
            .refused(now, sent_at, &refused, &passed, reasons);
        self.throttle.account |= follow_up.slow_account;
        if follow_up.probe_cause {
            // The reason for a hot key's refusal would concern that key alone.
            let fit = |ticket: &&Ticket| {
                let entry = self.queue.get(**ticket);
                entry.is_some_and(|entry| {
                    entry.write.payload.is_plain()
                        && !self.throttle.budgets.is_hot(entry.write.cost.partition)
                })
            };
            let fit = left.iter().find(fit).copied();
            self.throttle.probe_cause(fit);
        }
        self.outbox.counts.throttled_items += left.len() as u64;
        self.note_answer(now, sent_at);
    }

    /// Feeds the concurrency limit with the time that an answer took.
    pub(super) fn note_answer(&mut self, now: Duration, sent_at: Duration) {
        let in_flight = self.requests.len() + 1;
        self.throttle.limit.on_answer(now, sent_at, in_flight);
    }

    /// Returns the reason why writes wait now.
    pub(crate) fn limited_by(&mut self, now: Duration) -> Limit {
        if self.queue.is_empty() {
            return Limit::Nothing;
        }
        if let Some(cause) = self.throttle.budgets.paused_by(now) {
            return Limit::Throttled(cause);
        }
        let ready = self.queue.has_ready();
        if ready && self.requests.len() >= self.throttle.limit.limit() {
            return Limit::Concurrency(self.throttle.limit.limit());
        }
        if ready && self.throttle.waits_for_permit() {
            return Limit::AllTables;
        }
        if self.throttle.table_waits()
            && let Some(units) = self.throttle.budgets.rate(now)
        {
            let bursting = self.throttle.budgets.is_bursting();
            return Limit::Rate { units, bursting };
        }
        if ready {
            return Limit::Linger;
        }
        let writes = self.queue.behind_hot_keys();
        if writes > 0 {
            let keys = self.throttle.budgets.hot_keys();
            return Limit::HotKeys { keys, writes };
        }
        if let Some(index) = self.queue.fullest_index() {
            let units = self
                .throttle
                .budgets
                .index_rate(index, now)
                .unwrap_or_default();
            return Limit::Index { index, units };
        }
        if self.requests.is_empty() && self.isolation.awaits_description() {
            return Limit::Description;
        }
        if self.queue.has_delayed() || self.isolation.has_parts() {
            return Limit::Retries;
        }
        if self.requests.is_empty() {
            let letters = self.queue.iter();
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
