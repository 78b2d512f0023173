//! All the budgets of one table: its own, its indexes', its hot keys'.

use std::time::Duration;

use super::budget::Budget;
use super::hot_keys::HotKeys;
use super::limit::ThrottleCause;
use super::rate::Rate;
use super::table_capacity::{CapacityMode, TableCapacity};

/// The most often that the table is described because of refusals.
const MIN_DESCRIBE_INTERVAL: Duration = Duration::from_secs(5);

/// How often it is looked for hot keys that are hot no more.
const HOT_KEY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What the user set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CapacityConfig {
    pub(crate) rate: Rate,
    pub(crate) burst: bool,
    pub(crate) share: f64,
    pub(crate) refresh: Duration,
}

/// A write as the budgets see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteCost {
    /// The hash of its partition key.
    pub(crate) partition: u64,
    /// Write units of the table.
    pub(crate) units: u32,
    /// Which global indexes it enters, by a bit for each position.
    pub(crate) indexes: u32,
    /// Write units of an index that holds it whole, and of one that holds keys alone.
    pub(crate) index_units_all: u16,
    pub(crate) index_units_keys_only: u16,
}

/// A global index as far as its budget goes.
#[derive(Clone, Debug)]
pub(crate) struct IndexKind {
    pub(crate) name: String,
    /// Whether it holds keys alone.
    pub(crate) keys_only: bool,
}

/// What a writer has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum BudgetKey {
    /// A hot key.
    HotKey(u64),
    /// An index, by its position.
    Index(usize),
}

/// What refusals ask for beside patience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FollowUp {
    /// How many of the refused writes are the table's business, and not an index's or a hot key's.
    pub(crate) table_refusals: usize,
    /// That one write goes alone, so that a refusal bears its reason.
    pub(crate) probe_cause: bool,
    /// That all tables of the account's sink slow down.
    pub(crate) slow_account: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Budgets {
    pub(super) config: CapacityConfig,
    pub(super) capacity: TableCapacity,
    /// By position.
    pub(super) kinds: Vec<IndexKind>,
    pub(super) table: Budget,
    pub(super) indexes: Vec<Option<Budget>>,
    pub(super) hot_keys: HotKeys,
    pub(super) reported_cause: Option<(ThrottleCause, Duration)>,
    pub(super) probed_at: Option<Duration>,
    pub(super) described_at: Option<Duration>,
    pub(super) describe_soon: bool,
    pub(super) may_describe: bool,
    pub(super) last_cause: Option<(ThrottleCause, Duration)>,
    pub(super) keys_checked_at: Duration,
    /// The indexes that the writes settled last have entered.
    pub(super) settled_indexes: u32,
}

impl Budgets {
    pub(crate) fn new(
        now: Duration,
        config: CapacityConfig,
        capacity: Option<TableCapacity>,
        kinds: Vec<IndexKind>,
    ) -> Self {
        let described_at = capacity.is_some().then_some(now);
        let capacity = capacity.unwrap_or_default();
        let mut budgets = Self {
            table: Budget::new(
                now,
                config.rate.base(capacity.table, config.share),
                config.burst,
            ),
            indexes: Vec::new(),
            config,
            capacity,
            kinds,
            hot_keys: HotKeys::new(),
            reported_cause: None,
            probed_at: None,
            described_at,
            describe_soon: false,
            may_describe: true,
            last_cause: None,
            keys_checked_at: Duration::ZERO,
            settled_indexes: 0,
        };
        if budgets.config.share < 1.0 {
            budgets.table.control.seek_nothing();
        }
        budgets.set_indexes(now);
        budgets
    }

    /// Budgets of a table of which nothing is known.
    #[cfg(test)]
    pub(crate) fn blind() -> Self {
        let config = CapacityConfig {
            rate: Rate::Adaptive,
            burst: true,
            share: 1.0,
            refresh: Duration::from_secs(30),
        };
        Self::new(
            Duration::ZERO,
            config,
            Some(TableCapacity::local_imitation()),
            Vec::new(),
        )
    }

    fn set_indexes(&mut self, now: Duration) {
        let CapacityConfig {
            rate, share, burst, ..
        } = self.config;
        let count = self.kinds.len();
        self.indexes.resize_with(count, || None);
        for (at, slot) in self.indexes.iter_mut().enumerate() {
            let units = self.capacity.indexes.get(at).copied().unwrap_or_default();
            let base = rate.index_base(units, share);
            match (base, slot) {
                (None, slot) => *slot = None,
                (Some(base), Some(budget)) => budget.learn(now, base),
                (Some(base), slot) => *slot = Some(Budget::new(now, base, burst)),
            }
        }
    }

    /// The table was described.
    pub(crate) fn set_capacity(&mut self, now: Duration, capacity: TableCapacity) {
        self.described_at = Some(now);
        self.describe_soon = false;
        if capacity == self.capacity {
            return;
        }
        self.capacity = capacity;
        self.rebase(now);
    }

    /// The table may not be described: nothing will be known of it. Returns whether that is news.
    pub(crate) fn stop_describing(&mut self) -> bool {
        std::mem::replace(&mut self.may_describe, false)
    }

    /// The user has set another rate.
    pub(crate) fn set_rate(&mut self, now: Duration, rate: Rate) {
        self.config.rate = rate;
        self.rebase(now);
    }

    fn rebase(&mut self, now: Duration) {
        let CapacityConfig { rate, share, .. } = self.config;
        let base = rate.base(self.capacity.table, share);
        self.table.learn(now, base);
        self.set_indexes(now);
    }

    /// Whether the table should be described now: while it is written to, at intervals, and after
    /// refusals that what is known does not explain.
    pub(crate) fn take_describe(&mut self, now: Duration) -> bool {
        if !self.config.rate.is_adaptive() || self.capacity.local_imitation || !self.may_describe {
            return false;
        }
        let every = if self.describe_soon {
            MIN_DESCRIBE_INTERVAL.min(self.config.refresh)
        } else {
            self.config.refresh
        };
        let due = self
            .described_at
            .is_none_or(|at| now.saturating_sub(at) >= every);
        if due {
            self.described_at = Some(now);
            self.describe_soon = false;
        }
        due
    }

    /// Whether the service should be asked what each request consumes.
    pub(crate) fn needs_consumed(&self) -> bool {
        self.config.rate.is_adaptive() && self.capacity.table.mode() != CapacityMode::Unknown
    }

    /// Whether the table's units are known.
    pub(crate) fn is_known(&self) -> bool {
        self.table.control.known().is_some()
    }

    pub(crate) fn mode(&self) -> CapacityMode {
        self.capacity.table.mode()
    }

    /// How many units of the table may leave now; see [`Budget::permit`].
    pub(crate) fn permit(&mut self, now: Duration, want: u32, least: u32) -> Result<u32, Duration> {
        self.table.permit(now, want, least)
    }

    /// How many units of the table are there, of those wanted beside what goes in any case.
    pub(crate) fn available(&mut self, now: Duration, want: u32) -> u32 {
        self.table.permit(now, want, 0).unwrap_or_default()
    }

    /// As [`permit`](Self::permit), for those who wait in a lot.
    pub(crate) fn permit_for(
        &mut self,
        now: Duration,
        key: BudgetKey,
        want: u32,
        least: u32,
    ) -> Result<u32, Duration> {
        match self.budget_for(key) {
            Some(budget) => budget.permit(now, want, least),
            None => Ok(u32::MAX),
        }
    }

    fn budget_for(&mut self, key: BudgetKey) -> Option<&mut Budget> {
        match key {
            BudgetKey::HotKey(key) => self.hot_keys.budget(key),
            BudgetKey::Index(at) => self.indexes.get_mut(at)?.as_mut(),
        }
    }

    /// Whether no write has to be looked at for itself.
    pub(crate) fn has_only_table_budget(&self) -> bool {
        self.hot_keys.len() == 0 && self.indexes.iter().all(Option::is_none)
    }

    /// Which lot a write has to wait in, if any; `passed` is one that it has waited in.
    pub(crate) fn blocking_budget(
        &mut self,
        now: Duration,
        cost: WriteCost,
        passed: Option<BudgetKey>,
    ) -> Option<BudgetKey> {
        if self.hot_keys.len() > 0
            && passed.is_none()
            && let Some(budget) = self.hot_keys.budget(cost.partition)
            && !budget.allows(now, cost.units)
        {
            return Some(BudgetKey::HotKey(cost.partition));
        }
        if cost.indexes != 0 {
            for (at, index) in self.indexes.iter_mut().enumerate() {
                if cost.enters(at)
                    && passed != Some(BudgetKey::Index(at))
                    && let Some(index) = index
                    && !index.allows(now, cost.index_units(at, &self.kinds))
                {
                    return Some(BudgetKey::Index(at));
                }
            }
        }
        None
    }

    /// A write leaves, as far as its key and its indexes go.
    pub(crate) fn take_for_write(&mut self, now: Duration, cost: WriteCost) {
        if self.hot_keys.len() > 0
            && let Some(budget) = self.hot_keys.budget(cost.partition)
        {
            budget.take(now, cost.units);
        }
        if cost.indexes != 0 {
            for (at, index) in self.indexes.iter_mut().enumerate() {
                if cost.enters(at)
                    && let Some(index) = index
                {
                    index.take(now, cost.index_units(at, &self.kinds));
                }
            }
        }
    }

    /// A request leaves, as far as the table goes.
    pub(crate) fn take(&mut self, now: Duration, units: u32) {
        self.table.take(now, units);
    }

    /// Writes were taken by the service, which says what they consumed or doesn't.
    pub(crate) fn settled(
        &mut self,
        now: Duration,
        passed: impl Iterator<Item = WriteCost>,
        consumed: Option<&Consumption>,
    ) {
        let mut units = 0_u32;
        let mut entered = [0_u32; 32];
        let mut indexes = 0;
        let watches_keys = !self.hot_keys.is_idle();
        for cost in passed {
            units = units.saturating_add(cost.units);
            indexes |= cost.indexes;
            let mut bits = cost.indexes;
            while bits != 0 {
                let at = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if let Some(sum) = entered.get_mut(at) {
                    *sum = sum.saturating_add(cost.index_units(at, &self.kinds));
                }
            }
            if watches_keys {
                self.hot_keys.passed(now, cost.partition, cost.units);
            }
        }
        self.settled_indexes = indexes;
        let used = consumed.map(|consumed| consumed.table);
        self.table.settle(now, units, used);
        let reported = consumed.is_some_and(|consumed| !consumed.indexes.is_empty());
        if indexes == 0 && !reported {
            return;
        }
        for (at, index) in self.indexes.iter_mut().enumerate() {
            let Some(index) = index else { continue };
            let predicted = entered.get(at).copied().unwrap_or(0);
            // An index that is not named was not written.
            let used = consumed.map(|consumed| consumed.index(at));
            if predicted > 0 || used.is_some_and(|used| used > 0.0) {
                index.settle(now, predicted, used);
            }
        }
    }

    /// The request that was settled last was taken whole.
    pub(crate) fn accepted(&mut self) {
        self.table.accepted();
        for (at, index) in self.indexes.iter_mut().enumerate() {
            if let Some(index) = index
                && has(self.settled_indexes, at)
            {
                index.accepted();
            }
        }
    }

    /// Whether a partition key is held back.
    pub(crate) fn is_hot(&self, partition: u64) -> bool {
        self.hot_keys.contains(partition)
    }

    /// Another table met the account's limit.
    pub(crate) fn yield_to_account(&mut self, now: Duration) {
        self.last_cause = Some((ThrottleCause::Account, now));
        self.table.yield_to_others(now);
    }

    /// Lets go of hot keys that are hot no more.
    pub(crate) fn release_cooled_keys(&mut self, now: Duration, waits: impl Fn(u64) -> bool) {
        if self.hot_keys.len() > 0
            && now.saturating_sub(self.keys_checked_at) >= HOT_KEY_CHECK_INTERVAL
        {
            self.keys_checked_at = now;
            self.hot_keys.release_cooled(now, waits);
        }
    }

    pub(crate) fn hot_keys(&self) -> usize {
        self.hot_keys.len()
    }

    /// What may leave, in units a second; none where nothing limits it.
    pub(crate) fn rate(&self, now: Duration) -> Option<f64> {
        self.table.control.speed(now)
    }

    /// Whether more than the rate may leave now.
    pub(crate) fn is_bursting(&self) -> bool {
        self.table.control.is_bursting()
    }

    /// What was met, where nothing is sent for that reason.
    pub(crate) fn paused_by(&self, now: Duration) -> Option<ThrottleCause> {
        let (cause, _) = self.last_cause?;
        self.table.is_paused(now).then_some(cause)
    }

    /// What may enter an index, in units a second.
    pub(crate) fn index_rate(&self, at: usize, now: Duration) -> Option<f64> {
        self.indexes.get(at)?.as_ref()?.control.speed(now)
    }
}

/// Whether a set of positions, a bit for each, holds this one.
fn has(set: u32, at: usize) -> bool {
    u32::try_from(at)
        .ok()
        .and_then(|at| 1_u32.checked_shl(at))
        .is_some_and(|bit| set & bit != 0)
}

impl WriteCost {
    /// Whether it enters the index at this position.
    pub(crate) fn enters(self, at: usize) -> bool {
        has(self.indexes, at)
    }

    fn index_units(self, at: usize, kinds: &[IndexKind]) -> u32 {
        match kinds.get(at) {
            Some(kind) if self.enters(at) => u32::from(if kind.keys_only {
                self.index_units_keys_only
            } else {
                self.index_units_all
            }),
            _ => 0,
        }
    }
}

/// What the service says a request consumed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Consumption {
    /// Of the table and its local indexes.
    pub(crate) table: f64,
    /// Of global indexes, by position.
    pub(crate) indexes: Vec<(usize, f64)>,
}

impl Consumption {
    fn index(&self, at: usize) -> f64 {
        let found = self.indexes.iter().find(|(index, _)| *index == at);
        found.map_or(0.0, |(_, units)| *units)
    }
}
