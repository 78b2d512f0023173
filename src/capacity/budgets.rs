//! All the budgets of one table: its own, its indexes', its hot keys'.

use std::time::Duration;

use super::budget::Budget;
use super::hot::HotKeys;
use super::known::{CapacityMode, Known};
use super::limit::Met;
use super::rate::Rate;

/// The most often that the table is described because of refusals.
const DESCRIBE_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked for hot keys that are hot no more.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// What the user set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    pub(crate) rate: Rate,
    pub(crate) burst: bool,
    pub(crate) share: f64,
    pub(crate) refresh: Duration,
}

/// A write as the budgets see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// The hash of its partition key.
    pub(crate) partition: u64,
    /// Write units of the table.
    pub(crate) units: u32,
    /// Which global indexes it enters, by a bit for each position.
    pub(crate) indexes: u32,
    /// Write units of an index that holds it whole, and of one that holds keys alone.
    pub(crate) whole: u16,
    pub(crate) keys: u16,
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
pub(crate) enum Lot {
    /// A hot key.
    Key(u64),
    /// An index, by its position.
    Index(usize),
}

/// What refusals ask for beside patience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// How many of the refused writes are the table's business, and not an index's or a hot key's.
    pub(crate) of_table: usize,
    /// That one write goes alone, so that a refusal bears its reason.
    pub(crate) reason: bool,
    /// That all tables of the account's sink slow down.
    pub(crate) account: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Budgets {
    pub(super) wishes: Wishes,
    pub(super) known: Known,
    /// By position.
    pub(super) kinds: Vec<IndexKind>,
    pub(super) table: Budget,
    pub(super) indexes: Vec<Option<Budget>>,
    pub(super) hot: HotKeys,
    pub(super) told: Option<(Met, Duration)>,
    pub(super) asked_at: Option<Duration>,
    pub(super) described_at: Option<Duration>,
    pub(super) describe: bool,
    pub(super) may_describe: bool,
    pub(super) met_at: Option<(Met, Duration)>,
    pub(super) forgot_at: Duration,
    /// The indexes that the writes settled last have entered.
    pub(super) entered: u32,
}

impl Budgets {
    pub(crate) fn new(
        now: Duration,
        wishes: Wishes,
        known: Option<Known>,
        kinds: Vec<IndexKind>,
    ) -> Self {
        let described_at = known.is_some().then_some(now);
        let known = known.unwrap_or_default();
        let mut budgets = Self {
            table: Budget::new(
                now,
                wishes.rate.base(known.table, wishes.share),
                wishes.burst,
            ),
            indexes: Vec::new(),
            wishes,
            known,
            kinds,
            hot: HotKeys::new(),
            told: None,
            asked_at: None,
            described_at,
            describe: false,
            may_describe: true,
            met_at: None,
            forgot_at: Duration::ZERO,
            entered: 0,
        };
        if budgets.wishes.share < 1.0 {
            budgets.table.control.seek_nothing();
        }
        budgets.set_indexes(now);
        budgets
    }

    /// Budgets of a table of which nothing is known.
    #[cfg(test)]
    pub(crate) fn blind() -> Self {
        let wishes = Wishes {
            rate: Rate::Adaptive,
            burst: true,
            share: 1.0,
            refresh: Duration::from_secs(30),
        };
        Self::new(Duration::ZERO, wishes, Some(Known::imitation()), Vec::new())
    }

    fn set_indexes(&mut self, now: Duration) {
        let Wishes {
            rate, share, burst, ..
        } = self.wishes;
        let count = self.kinds.len();
        self.indexes.resize_with(count, || None);
        for (at, slot) in self.indexes.iter_mut().enumerate() {
            let units = self.known.indexes.get(at).copied().unwrap_or_default();
            let base = rate.index_base(units, share);
            match (base, slot) {
                (None, slot) => *slot = None,
                (Some(base), Some(budget)) => budget.learn(now, base),
                (Some(base), slot) => *slot = Some(Budget::new(now, base, burst)),
            }
        }
    }

    /// The table was described.
    pub(crate) fn learn(&mut self, now: Duration, known: Known) {
        self.described_at = Some(now);
        self.describe = false;
        if known == self.known {
            return;
        }
        self.known = known;
        self.rebase(now);
    }

    /// The table may not be described: nothing will be known of it. Returns whether that is news.
    pub(crate) fn learn_nothing(&mut self) -> bool {
        std::mem::replace(&mut self.may_describe, false)
    }

    /// The user has set another rate.
    pub(crate) fn set_rate(&mut self, now: Duration, rate: Rate) {
        self.wishes.rate = rate;
        self.rebase(now);
    }

    fn rebase(&mut self, now: Duration) {
        let Wishes { rate, share, .. } = self.wishes;
        let base = rate.base(self.known.table, share);
        self.table.learn(now, base);
        self.set_indexes(now);
    }

    /// Whether the table should be described now: while it is written to, at intervals, and after
    /// refusals that what is known does not explain.
    pub(crate) fn take_describe(&mut self, now: Duration) -> bool {
        if !self.wishes.rate.is_adaptive() || self.known.imitation || !self.may_describe {
            return false;
        }
        let every = if self.describe {
            DESCRIBE_EVERY.min(self.wishes.refresh)
        } else {
            self.wishes.refresh
        };
        let due = self
            .described_at
            .is_none_or(|at| now.saturating_sub(at) >= every);
        if due {
            self.described_at = Some(now);
            self.describe = false;
        }
        due
    }

    /// Whether the service should be asked what each request consumes.
    pub(crate) fn wants_consumed(&self) -> bool {
        self.wishes.rate.is_adaptive() && self.known.table.mode() != CapacityMode::Unknown
    }

    /// Whether the table's units are known.
    pub(crate) fn is_known(&self) -> bool {
        self.table.control.known().is_some()
    }

    pub(crate) fn mode(&self) -> CapacityMode {
        self.known.table.mode()
    }

    /// How many units of the table may leave now; see [`Budget::permit`].
    pub(crate) fn permit(&mut self, now: Duration, want: u32, least: u32) -> Result<u32, Duration> {
        self.table.permit(now, want, least)
    }

    /// How many units of the table are there, of those wanted beside what goes in any case.
    pub(crate) fn there(&mut self, now: Duration, want: u32) -> u32 {
        self.table.permit(now, want, 0).unwrap_or_default()
    }

    /// As [`permit`](Self::permit), for those who wait in a lot.
    pub(crate) fn permit_lot(
        &mut self,
        now: Duration,
        lot: Lot,
        want: u32,
        least: u32,
    ) -> Result<u32, Duration> {
        match self.lot(lot) {
            Some(budget) => budget.permit(now, want, least),
            None => Ok(u32::MAX),
        }
    }

    fn lot(&mut self, lot: Lot) -> Option<&mut Budget> {
        match lot {
            Lot::Key(key) => self.hot.budget(key),
            Lot::Index(at) => self.indexes.get_mut(at)?.as_mut(),
        }
    }

    /// Whether no write has to be looked at for itself.
    pub(crate) fn are_plain(&self) -> bool {
        self.hot.len() == 0 && self.indexes.iter().all(Option::is_none)
    }

    /// Which lot a write has to wait in, if any; `passed` is one that it has waited in.
    pub(crate) fn lot_of(
        &mut self,
        now: Duration,
        piece: Piece,
        passed: Option<Lot>,
    ) -> Option<Lot> {
        if self.hot.len() > 0
            && passed.is_none()
            && let Some(budget) = self.hot.budget(piece.partition)
            && !budget.allows(now, piece.units)
        {
            return Some(Lot::Key(piece.partition));
        }
        if piece.indexes != 0 {
            for (at, index) in self.indexes.iter_mut().enumerate() {
                if piece.enters(at)
                    && passed != Some(Lot::Index(at))
                    && let Some(index) = index
                    && !index.allows(now, piece.index_units(at, &self.kinds))
                {
                    return Some(Lot::Index(at));
                }
            }
        }
        None
    }

    /// A write leaves, as far as its key and its indexes go.
    pub(crate) fn take_piece(&mut self, now: Duration, piece: Piece) {
        if self.hot.len() > 0
            && let Some(budget) = self.hot.budget(piece.partition)
        {
            budget.take(now, piece.units);
        }
        if piece.indexes != 0 {
            for (at, index) in self.indexes.iter_mut().enumerate() {
                if piece.enters(at)
                    && let Some(index) = index
                {
                    index.take(now, piece.index_units(at, &self.kinds));
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
        passed: impl Iterator<Item = Piece>,
        consumed: Option<&Consumption>,
    ) {
        let mut units = 0_u32;
        let mut entered = [0_u32; 32];
        let mut indexes = 0;
        let watch = !self.hot.is_idle();
        for piece in passed {
            units = units.saturating_add(piece.units);
            indexes |= piece.indexes;
            let mut bits = piece.indexes;
            while bits != 0 {
                let at = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if let Some(sum) = entered.get_mut(at) {
                    *sum = sum.saturating_add(piece.index_units(at, &self.kinds));
                }
            }
            if watch {
                self.hot.passed(now, piece.partition, piece.units);
            }
        }
        self.entered = indexes;
        let used = consumed.map(|consumed| consumed.table);
        self.table.settle(now, units, used);
        let told = consumed.is_some_and(|consumed| !consumed.indexes.is_empty());
        if indexes == 0 && !told {
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
                && has(self.entered, at)
            {
                index.accepted();
            }
        }
    }

    /// Whether a partition key is held back.
    pub(crate) fn is_hot(&self, partition: u64) -> bool {
        self.hot.contains(partition)
    }

    /// Another table met the account's limit.
    pub(crate) fn yield_to_account(&mut self, now: Duration) {
        self.met_at = Some((Met::Account, now));
        self.table.yield_to_others(now);
    }

    /// Lets go of hot keys that are hot no more.
    pub(crate) fn forget(&mut self, now: Duration, waits: impl Fn(u64) -> bool) {
        if self.hot.len() > 0 && now.saturating_sub(self.forgot_at) >= FORGET_EVERY {
            self.forgot_at = now;
            self.hot.forget(now, waits);
        }
    }

    pub(crate) fn hot_keys(&self) -> usize {
        self.hot.len()
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
    pub(crate) fn paused_by(&self, now: Duration) -> Option<Met> {
        let (met, _) = self.met_at?;
        self.table.is_paused(now).then_some(met)
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

impl Piece {
    /// Whether it enters the index at this position.
    pub(crate) fn enters(self, at: usize) -> bool {
        has(self.indexes, at)
    }

    fn index_units(self, at: usize, kinds: &[IndexKind]) -> u32 {
        match kinds.get(at) {
            Some(kind) if self.enters(at) => u32::from(if kind.keys_only {
                self.keys
            } else {
                self.whole
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
