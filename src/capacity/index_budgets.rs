//! The budgets of a table's global indexes.

use std::time::Duration;

use super::allowance::Allowance;
use super::budget::Budget;
use super::speed::{Answer, Refusal, SpeedConfig};
use super::write_cost::{Consumption, IndexKind, WriteCost};

/// The most indexes that have budgets of their own. DynamoDB allows 20 global ones unless asked for
/// more (developer guide, "Service quotas").
const MAX_INDEXES: usize = 32;

/// Writes that entered each index, by position.
#[derive(Debug, Default)]
pub(super) struct Entries {
    units: [u32; MAX_INDEXES],
    writes: [u16; MAX_INDEXES],
}

impl Entries {
    /// Returns whether no index was entered.
    fn is_empty(&self) -> bool {
        self.writes.iter().all(|writes| *writes == 0)
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct IndexBudgets {
    config: SpeedConfig,
    /// The indexes, by position.
    kinds: Vec<IndexKind>,
    /// Their budgets. `None` where an index has no limit of its own.
    budgets: Vec<Option<Budget>>,
    /// The writes that were settled last.
    settled: Entries,
}

impl IndexBudgets {
    /// Creates the indexes, without a budget.
    pub(super) fn new(config: SpeedConfig, kinds: Vec<IndexKind>) -> Self {
        Self {
            config,
            budgets: kinds.iter().map(|_| None).collect(),
            kinds,
            settled: Entries::default(),
        }
    }

    /// Sets the allowance of each index, by position; `None` takes its budget away.
    pub(super) fn set(&mut self, now: Duration, allowance: impl Fn(usize) -> Option<Allowance>) {
        for (at, slot) in self.budgets.iter_mut().enumerate() {
            match (allowance(at), slot) {
                (None, slot) => *slot = None,
                (Some(allowance), Some(budget)) => budget.set(now, allowance),
                (Some(allowance), slot) => *slot = Some(Budget::new(now, allowance, self.config)),
            }
        }
    }

    /// Returns the position of an index.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.kinds.iter().position(|kind| kind.name == name)
    }

    /// Returns whether no index has a limit of its own.
    pub(super) fn is_empty(&self) -> bool {
        self.budgets.iter().all(Option::is_none)
    }

    /// Returns the budget of an index.
    pub(super) fn budget(&mut self, at: usize) -> Option<&mut Budget> {
        self.budgets.get_mut(at)?.as_mut()
    }

    /// Returns the rate of an index in units a second; `None` where nothing limits it.
    pub(super) fn rate(&self, at: usize, now: Duration) -> Option<f64> {
        self.budgets.get(at)?.as_ref()?.speed.at(now)
    }

    /// Returns the first index that lacks the units for a write, if any. `passed` is one that the
    /// write has waited for already.
    pub(super) fn blocking(
        &mut self,
        now: Duration,
        cost: WriteCost,
        passed: Option<usize>,
    ) -> Option<usize> {
        if cost.indexes == 0 {
            return None;
        }
        for (at, budget) in self.budgets.iter_mut().enumerate() {
            if cost.enters(at)
                && passed != Some(at)
                && let Some(budget) = budget
                && !budget.allows(now, cost.index_units(at, &self.kinds))
            {
                return Some(at);
            }
        }
        None
    }

    /// Takes the units of a write that leaves.
    pub(super) fn take(&mut self, now: Duration, cost: WriteCost) {
        if cost.indexes == 0 {
            return;
        }
        for (at, budget) in self.budgets.iter_mut().enumerate() {
            if cost.enters(at)
                && let Some(budget) = budget
            {
                budget.take(now, cost.index_units(at, &self.kinds));
            }
        }
    }

    /// Adds a write that the service took.
    pub(super) fn count(&self, entries: &mut Entries, cost: WriteCost) {
        let mut bits = cost.indexes;
        while bits != 0 {
            let at = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let units = &mut entries.units[at];
            *units = units.saturating_add(cost.index_units(at, &self.kinds));
            entries.writes[at] = entries.writes[at].saturating_add(1);
        }
    }

    /// Settles writes that the service took. `consumed` is its report, if there is one.
    pub(super) fn settle(
        &mut self,
        now: Duration,
        entries: Entries,
        consumed: Option<&Consumption>,
    ) {
        let reported = consumed.is_some_and(|consumed| !consumed.indexes.is_empty());
        self.settled = entries;
        if self.settled.is_empty() && !reported {
            return;
        }
        for (at, budget) in self.budgets.iter_mut().enumerate() {
            let Some(budget) = budget else { continue };
            let predicted = self.settled.units.get(at).copied().unwrap_or(0);
            // A report names every index that was written.
            let used = consumed.map(|consumed| consumed.index(at));
            if predicted > 0 || used.is_some_and(|used| used > 0.0) {
                budget.settle(now, predicted, used);
            }
        }
    }

    /// Takes in the writes that were settled last, but for the index at `except`.
    pub(super) fn taken(&mut self, now: Duration, sent_at: Duration, except: Option<usize>) {
        for (at, budget) in self.budgets.iter_mut().enumerate() {
            let entries = self.settled.writes.get(at).copied().unwrap_or(0);
            if let Some(budget) = budget
                && entries > 0
                && except != Some(at)
            {
                let answer = Answer {
                    sent_at,
                    taken: usize::from(entries),
                    refused: 0,
                };
                budget.answered(now, answer, 0, Refusal::NotReported);
            }
        }
    }

    /// Takes in writes that an index refused. Returns whether there is such an index.
    pub(super) fn refused(
        &mut self,
        now: Duration,
        at: usize,
        answer: Answer,
        units: u32,
        why: Refusal,
    ) -> bool {
        let Some(slot) = self.budgets.get_mut(at) else {
            return false;
        };
        let budget = slot.get_or_insert_with(|| {
            // An index of unknown capacity gets its budget now, and its rate from the answers.
            let config = SpeedConfig {
                burst: false,
                ..self.config
            };
            Budget::new(now, Allowance::Unknown, config)
        });
        budget.answered(now, answer, units, why);
        true
    }
}
