//! What answers tell of the capacity.

use std::time::Duration;

use super::Core;
use super::lane::Ticket;
use crate::capacity::{
    BudgetKey, CapacityMode, Concurrency, Consumption, Limit, Rate, TableCapacity, ThrottleCause,
    WriteCost,
};
use crate::retry::ServiceError;

impl<C, F> Core<C, F> {
    /// The table was described.
    pub(crate) fn set_capacity(&mut self, now: Duration, capacity: TableCapacity) {
        self.budgets.set_capacity(now, capacity);
        self.follow_needs_consumed();
    }

    /// Has requests ask what they consume where somebody wants to know.
    fn follow_needs_consumed(&mut self) {
        let ask = self.rules.consumed_capacity || self.budgets.needs_consumed();
        self.bodies.ask_consumed(ask);
    }

    /// The table may not be described. Returns whether that is news.
    pub(crate) fn stop_describing(&mut self) -> bool {
        self.budgets.stop_describing()
    }

    /// How the table's capacity is paid for.
    pub(crate) fn mode(&self) -> CapacityMode {
        self.budgets.mode()
    }

    /// Write units a second that may leave now; none where nothing limits them.
    pub(crate) fn rate(&self, now: Duration) -> Option<f64> {
        self.budgets.rate(now)
    }

    /// How many partition keys are held back, and how many writes wait for them.
    pub(crate) fn hot_keys(&self) -> (usize, usize) {
        (self.budgets.hot_keys(), self.parked.behind_hot_keys())
    }

    /// The indexes that writes wait for, by a bit each.
    pub(crate) fn short_indexes(&self, now: Duration) -> u32 {
        self.parked.short_indexes(now)
    }

    /// Whether the table's capacity should be described now.
    pub(crate) fn take_refresh(&mut self, now: Duration) -> bool {
        !self.entries.is_empty() && self.failed.is_none() && self.budgets.take_describe(now)
    }

    /// The user sets another rate.
    pub(crate) fn set_rate(&mut self, now: Duration, rate: Rate) {
        self.budgets.set_rate(now, rate);
        self.follow_needs_consumed();
    }

    /// The user sets another concurrency.
    pub(crate) fn set_concurrency(&mut self, concurrency: Concurrency) {
        self.limit.set_range(concurrency);
    }

    /// Whether the account's limit was met, which concerns the other tables too.
    pub(crate) fn take_account(&mut self) -> bool {
        std::mem::take(&mut self.account)
    }

    /// Another table met the account's limit.
    pub(crate) fn yield_to_account(&mut self, now: Duration) {
        self.budgets.yield_to_account(now);
    }

    /// Lets go of hot keys that are hot no more.
    pub(super) fn release_cooled_keys(&mut self, now: Duration) {
        let Self {
            parked, budgets, ..
        } = self;
        budgets.release_cooled_keys(now, |key| parked.contains(BudgetKey::HotKey(key)));
    }

    /// Writes were carried out.
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
        budgets.settled(now, costs.map(|entry| entry.cost), consumed);
    }

    /// Writes were refused for want of capacity: `left`, while `written` of the same request were not.
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
            entries.map(|entry| entry.cost).collect()
        };
        let reasons = error.map_or(&[][..], ServiceError::throttling_reasons);
        let (refused, passed) = (costs(left), costs(written));
        let follow_up = self
            .budgets
            .refused(now, sent_at, &refused, &passed, reasons);
        self.account |= follow_up.slow_account;
        if follow_up.probe_cause {
            // A hot key's refusal would tell of that key alone.
            let fit = |ticket: &&Ticket| {
                let entry = self.entries.get(ticket.at);
                entry.is_some_and(|entry| {
                    entry.payload.is_plain() && !self.budgets.is_hot(entry.cost.partition)
                })
            };
            self.cause_probe = left.iter().find(fit).copied();
        }
        self.counts.throttled_items += left.len() as u64;
        let items = left.len() + written.len();
        self.note_answer(now, sent_at, items, follow_up.table_refusals);
    }

    /// Feeds the concurrency limit, and rests when even its minimum is too much. Where a rate holds the
    /// writes back, refusals are that rate's business.
    pub(super) fn note_answer(
        &mut self,
        now: Duration,
        sent_at: Duration,
        items: usize,
        left: usize,
    ) {
        let in_flight = self.requests.len() + 1;
        let rated = self.budgets.rate(now).is_some();
        let counted = if rated { 0 } else { left };
        self.limit
            .on_answer(now, sent_at, in_flight, items, counted);
        if rated {
            return;
        }
        if left * 2 > items {
            // Once a round trip: what was sent before the last step tells of the same shortage.
            if sent_at >= self.streak_stepped_at {
                self.throttle_streak = self.throttle_streak.saturating_add(1);
                self.streak_stepped_at = now;
            }
            if self.limit.at_minimum() {
                let rest = self.backoff.delay(self.throttle_streak, &mut self.rng);
                self.paused_until = self.paused_until.max(now.saturating_add(rest));
            }
        } else if left == 0 {
            self.throttle_streak = 0;
        }
    }

    /// What holds writes back now.
    pub(crate) fn limited_by(&mut self, now: Duration) -> Limit {
        if self.entries.is_empty() {
            return Limit::Nothing;
        }
        if let Some(cause) = self.budgets.paused_by(now) {
            return Limit::Throttled(cause);
        }
        if now < self.paused_until {
            return Limit::Throttled(ThrottleCause::NotReported);
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
        if !self.delayed.is_empty() || !self.isolated.is_empty() {
            return Limit::Retries;
        }
        Limit::Answers
    }
}
