//! Quota groups: records that may have only a share of the buffer together.
//!
//! A group is the records of one partition key, or those that enter an index that is short of
//! capacity. Either can fill the whole buffer with records that can't be sent, while others could.

use std::collections::HashMap;

use super::charge::Charge;
use super::prehashed::Prehashed;

/// A partition key, by its hash, or an index, by a number that stands above.
pub(super) type QuotaGroup = u64;

/// Records in the buffer by group.
#[derive(Debug, Default)]
pub(super) struct QuotaGroups {
    partitions: HashMap<u64, usize, Prehashed>,
    /// Records that enter each index.
    entered: [usize; MAX_INDEXES],
    /// The indexes that are short, a bit for each.
    capped: u32,
}

const MAX_INDEXES: usize = 32;

impl QuotaGroups {
    pub(super) fn take(&mut self, charge: Charge) {
        *self.partitions.entry(charge.partition).or_insert(0) += 1;
        if charge.indexes != 0 {
            for (at, count) in self.entered.iter_mut().enumerate() {
                *count += usize::from(charge.indexes & (1 << at) != 0);
            }
        }
    }

    pub(super) fn free(&mut self, charge: Charge) {
        if let Some(count) = self.partitions.get_mut(&charge.partition) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.partitions.remove(&charge.partition);
            }
        }
        if charge.indexes != 0 {
            for (at, count) in self.entered.iter_mut().enumerate() {
                *count = count.saturating_sub(usize::from(charge.indexes & (1 << at) != 0));
            }
        }
    }

    /// Gives memory back that is not in use.
    pub(super) fn shrink(&mut self) {
        self.partitions.shrink_to_fit();
    }

    /// Sets which indexes are short of capacity, a bit for each. Returns the quota groups that are
    /// no longer bounded.
    pub(super) fn cap(&mut self, indexes: u32) -> Vec<QuotaGroup> {
        let lifted = self.capped & !indexes;
        self.capped = indexes;
        bits(lifted).map(index_group).collect()
    }

    pub(super) fn capped(&self) -> u32 {
        self.capped
    }

    /// Returns whether a group has its share of the buffer.
    pub(super) fn is_full(&self, group: QuotaGroup, share: usize) -> bool {
        if let Some(at) = index_of(group) {
            let capped = self.capped & (1 << at) != 0;
            return capped && self.entered.get(at).is_some_and(|&count| count >= share);
        }
        self.partitions
            .get(&group)
            .is_some_and(|&count| count >= share)
    }

    /// Returns the quota groups of a record that are bounded to a share of the buffer.
    pub(super) fn of(&self, charge: Charge) -> impl Iterator<Item = QuotaGroup> + use<> {
        let indexes = bits(charge.indexes & self.capped).map(index_group);
        std::iter::once(charge.partition).chain(indexes)
    }
}

fn index_group(at: usize) -> QuotaGroup {
    u64::MAX - u64::try_from(at).unwrap_or(0)
}

/// Returns the index of a group, if it is an index's. A hash that equals one of these numbers is
/// taken for an index's, and its records are bounded by the wrong count: one key in 10^18.
fn index_of(group: QuotaGroup) -> Option<usize> {
    usize::try_from(u64::MAX - group)
        .ok()
        .filter(|at| *at < MAX_INDEXES)
}

fn bits(set: u32) -> impl Iterator<Item = usize> {
    (0..MAX_INDEXES).filter(move |at| set & (1 << at) != 0)
}
