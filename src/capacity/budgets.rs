//! All budgets of one table: one for the table, one for each global index, one for each hot key.
//!
//! A write leaves when every budget that it draws on has the units. A write that lacks units of an
//! index or of its hot key waits apart, so that it does not delay writes that draw on neither.

use std::time::Duration;

use super::budget::Budget;
use super::hot_keys::HotKeys;
use super::index_budgets::{Entries, IndexBudgets};
use super::limit::ThrottleCause;
use super::rate::Rate;
use super::speed::{Answer, Refusal, SpeedConfig};
use super::table_capacity::{CapacityMode, TableCapacity};
use super::write_cost::{Consumption, IndexKind, WriteCost};

/// The least time between a description and the next one that refusals cause.
///
/// Chosen: a change of capacity is then followed within seconds, and constant refusals cost one
/// `DescribeTable` in five seconds.
const MIN_DESCRIBE_INTERVAL: Duration = Duration::from_secs(5);

/// The user's capacity settings of one table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CapacityConfig {
    pub(crate) rate: Rate,
    /// Set if burst credit may be spent.
    pub(crate) burst: bool,
    /// The share of the described capacity that this sink may use, above 0 and up to 1.
    pub(crate) share: f64,
    /// The time between two descriptions of the table.
    pub(crate) refresh: Duration,
    /// The time of day at which the sink's time is zero.
    pub(crate) opened: Duration,
}

impl CapacityConfig {
    pub(super) fn index_speed(self) -> SpeedConfig {
        SpeedConfig {
            gaps: false,
            ..self.speed()
        }
    }

    pub(super) fn speed(self) -> SpeedConfig {
        SpeedConfig {
            burst: self.burst,
            // Of a share, only what this sink left unused itself is its own.
            may_seek: self.share >= 1.0,
            gaps: true,
            opened: self.opened,
        }
    }
}

/// The budget that a parked write waits for.
///
/// Hot keys sort before indexes: a write waits for its key first, and then for its indexes in
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum BudgetKey {
    /// The budget of a hot key, by the hash of the partition key.
    HotKey(u64),
    /// The budget of an index, by its position.
    Index(usize),
}

/// The actions that refusals call for, beside the changes of the budgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FollowUp {
    /// Set if one refused write is to be sent alone: a request that is refused whole bears a
    /// reason.
    pub(crate) probe_cause: bool,
    /// Set if all tables of the sink are to slow down, since the account's quota was met.
    pub(crate) slow_account: bool,
}

/// All budgets of one table. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Budgets {
    pub(super) config: CapacityConfig,
    pub(super) capacity: TableCapacity,
    pub(super) table: Budget,
    pub(super) indexes: IndexBudgets,
    pub(super) hot_keys: HotKeys,
    /// The last cause that the service reported, and when.
    pub(super) reported_cause: Option<(ThrottleCause, Duration)>,
    /// The time of the last probe for a reason.
    pub(super) probed_at: Option<Duration>,
    pub(super) described_at: Option<Duration>,
    /// Set if refusals made an early description worthwhile.
    pub(super) describe_soon: bool,
    /// Set while describing the table is denied.
    pub(super) denied: bool,
    /// The cause of the last refusal, reported or inferred, and when.
    pub(super) last_cause: Option<(ThrottleCause, Duration)>,
}

impl Budgets {
    /// Creates the budgets of a table with the given indexes. `capacity` is `None` where the table
    /// was not described.
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
                config.rate.allowance(capacity.table, config.share),
                config.speed(),
            ),
            indexes: IndexBudgets::new(config.index_speed(), kinds),
            config,
            capacity,
            hot_keys: HotKeys::new(),
            reported_cause: None,
            probed_at: None,
            described_at,
            describe_soon: false,
            denied: false,
            last_cause: None,
        };
        budgets.rebase(now);
        budgets
    }

    /// Creates the budgets of a table of unknown capacity.
    #[cfg(test)]
    pub(crate) fn blind() -> Self {
        let config = CapacityConfig {
            rate: Rate::Adaptive,
            burst: true,
            share: 1.0,
            refresh: Duration::from_secs(30),
            opened: Duration::ZERO,
        };
        Self::new(
            Duration::ZERO,
            config,
            Some(TableCapacity::local_imitation()),
            Vec::new(),
        )
    }

    /// Sets the capacity from a new description.
    pub(crate) fn set_capacity(&mut self, now: Duration, capacity: TableCapacity) {
        self.described_at = Some(now);
        self.describe_soon = false;
        if capacity == self.capacity {
            return;
        }
        self.capacity = capacity;
        self.rebase(now);
    }

    /// Notes whether describing the table is denied. Returns whether that is news.
    pub(crate) fn deny_describing(&mut self, denied: bool) -> bool {
        std::mem::replace(&mut self.denied, denied) != denied
    }

    /// Sets another rate, chosen by the user.
    pub(crate) fn set_rate(&mut self, now: Duration, rate: Rate) {
        self.config.rate = rate;
        self.rebase(now);
    }

    /// Brings all budgets in line with the capacity and the settings.
    fn rebase(&mut self, now: Duration) {
        let CapacityConfig { rate, share, .. } = self.config;
        let allowance = rate.allowance(self.capacity.table, share);
        self.table.set(now, allowance);
        self.indexes.set(now, |at| {
            let units = self.capacity.indexes.get(at).copied().unwrap_or_default();
            rate.index_allowance(units, share)
        });
    }

    /// Returns whether the table should be described now, and notes that it was.
    ///
    /// That is so at intervals, and earlier after refusals that the described capacity does not
    /// explain.
    pub(crate) fn take_describe(&mut self, now: Duration) -> bool {
        if !self.config.rate.is_adaptive() || self.capacity.local_imitation {
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

    /// Returns whether requests should ask the service for the units that they consume.
    pub(crate) fn needs_consumed(&self) -> bool {
        self.config.rate.is_adaptive() && self.capacity.table.mode() != CapacityMode::Unknown
    }

    /// Returns whether the table's units are known.
    pub(crate) fn is_known(&self) -> bool {
        self.table.speed.known().is_some()
    }

    /// Returns the table's capacity mode.
    pub(crate) fn mode(&self) -> CapacityMode {
        self.capacity.table.mode()
    }

    /// Returns the units of the table that may leave now, or when to ask again. See
    /// [`Budget::permit`].
    pub(crate) fn permit(&mut self, now: Duration, want: u32, least: u32) -> Result<u32, Duration> {
        self.table.permit(now, want, least)
    }

    /// Returns the units of the table that may leave now, for writes that ride along with a request
    /// that leaves in any case.
    pub(crate) fn available(&mut self, now: Duration, want: u32) -> u32 {
        self.table.permit(now, want, 0).unwrap_or_default()
    }

    /// Returns the units that may leave now for writes parked for this budget, or when to ask
    /// again.
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

    /// Returns the budget of this key; `None` where it limits nothing any more.
    fn budget_for(&mut self, key: BudgetKey) -> Option<&mut Budget> {
        match key {
            BudgetKey::HotKey(key) => self.hot_keys.budget(key),
            BudgetKey::Index(at) => self.indexes.budget(at),
        }
    }

    /// Returns whether the table's budget is the only one, so that no write needs a check of its
    /// own.
    pub(crate) fn has_only_table_budget(&self) -> bool {
        self.hot_keys.len() == 0 && self.indexes.is_empty()
    }

    /// Returns the first budget that lacks the units for a write, if any. `passed` is one that the
    /// write has waited for already.
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
        let passed = match passed {
            Some(BudgetKey::Index(at)) => Some(at),
            Some(BudgetKey::HotKey(_)) | None => None,
        };
        let blocking = self.indexes.blocking(now, cost, passed);
        blocking.map(BudgetKey::Index)
    }

    /// Takes the units of a write that leaves from the budgets of its hot key and its indexes.
    pub(crate) fn take_for_write(&mut self, now: Duration, cost: WriteCost) {
        if self.hot_keys.len() > 0
            && let Some(budget) = self.hot_keys.budget(cost.partition)
        {
            budget.take(now, cost.units);
        }
        self.indexes.take(now, cost);
    }

    /// Takes the units of a request that leaves from the table's budget.
    pub(crate) fn take(&mut self, now: Duration, units: u32) {
        self.table.take(now, units);
    }

    /// Settles the budgets for writes that the service has taken. `consumed` is what the service
    /// reports for them, if it does.
    pub(crate) fn settled(
        &mut self,
        now: Duration,
        passed: impl Iterator<Item = WriteCost>,
        consumed: Option<&Consumption>,
    ) {
        let mut units = 0_u32;
        let mut entries = Entries::default();
        let watches_keys = !self.hot_keys.is_idle();
        for cost in passed {
            units = units.saturating_add(cost.units);
            self.indexes.count(&mut entries, cost);
            if watches_keys {
                self.hot_keys.passed(now, cost.partition, cost.units);
            }
        }
        let used = consumed.map(|consumed| consumed.table);
        self.table.settle(now, units, used);
        self.indexes.settle(now, entries, consumed);
    }

    /// Notes that the request that was settled last, of so many writes, was taken whole.
    pub(crate) fn accepted(&mut self, now: Duration, sent_at: Duration, writes: usize) {
        self.taken(now, sent_at, writes, None);
    }

    /// Feeds the budgets with the writes that were settled last, but for the index at `except`.
    pub(super) fn taken(
        &mut self,
        now: Duration,
        sent_at: Duration,
        writes: usize,
        except: Option<usize>,
    ) {
        if writes > 0 {
            let answer = Answer {
                sent_at,
                taken: writes,
                refused: 0,
            };
            self.table.answered(now, answer, 0, Refusal::NotReported);
        }
        self.indexes.taken(now, sent_at, except);
    }

    /// Returns whether a partition key is hot, by its hash.
    pub(crate) fn is_hot(&self, partition: u64) -> bool {
        self.hot_keys.contains(partition)
    }

    /// Slows down, since another table met the account's quota.
    pub(crate) fn yield_to_account(&mut self, now: Duration) {
        self.last_cause = Some((ThrottleCause::Account, now));
        self.table.yield_to_others(now);
    }

    /// Drops the budgets of hot keys that have cooled down. `waits` returns whether writes of a key
    /// are parked: such a key stays.
    pub(crate) fn release_cooled_keys(&mut self, now: Duration, waits: impl Fn(u64) -> bool) {
        self.hot_keys.release_cooled(now, waits);
    }

    /// Returns the number of hot keys.
    pub(crate) fn hot_keys(&self) -> usize {
        self.hot_keys.len()
    }

    /// Returns the table's rate in units a second; `None` where nothing limits it.
    pub(crate) fn rate(&self, now: Duration) -> Option<f64> {
        self.table.speed.at(now)
    }

    /// Returns whether burst credit is being spent.
    pub(crate) fn is_bursting(&self) -> bool {
        self.table.speed.is_bursting()
    }

    /// Returns the cause of the last refusal while the table pauses for it.
    pub(crate) fn paused_by(&self, now: Duration) -> Option<ThrottleCause> {
        let (cause, _) = self.last_cause?;
        self.table.is_paused(now).then_some(cause)
    }

    /// Returns the rate of an index in units a second; `None` where nothing limits it.
    pub(crate) fn index_rate(&self, at: usize, now: Duration) -> Option<f64> {
        self.indexes.rate(at, now)
    }
}
