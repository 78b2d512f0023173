//! Leases kept in this process alone, for a source that shares its shards with no other worker.
//!
//! They change under the conditions of a lease table, so that the worker need not distinguish them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::ShardId;
use super::balance::Take;
use super::change::{Change, Written};
use super::row::LeaseRow;
use parking_lot::Mutex;

#[derive(Clone, Debug, Default)]
pub(super) struct MemoryRows(Arc<Mutex<BTreeMap<ShardId, LeaseRow>>>);

impl MemoryRows {
    pub(super) fn scan(&self) -> Vec<LeaseRow> {
        self.0.lock().values().cloned().collect()
    }

    pub(super) fn get(&self, shard: &ShardId) -> Option<LeaseRow> {
        self.0.lock().get(shard).cloned()
    }

    /// Creates a row unless there is one, and returns whether it did.
    pub(super) fn create(&self, row: &LeaseRow) -> bool {
        let mut rows = self.0.lock();
        let vacant = !rows.contains_key(&row.shard);
        if vacant {
            rows.insert(row.shard.clone(), row.clone());
        }
        vacant
    }

    /// Deletes the row of a finished shard.
    pub(super) fn delete(&self, shard: &ShardId) {
        let mut rows = self.0.lock();
        if rows.get(shard).is_some_and(LeaseRow::is_finished) {
            rows.remove(shard);
        }
    }

    /// Takes a lease and returns its row, or `None` where the row has changed since or is finished.
    pub(super) fn take(&self, me: &str, take: &Take) -> Option<LeaseRow> {
        let mut rows = self.0.lock();
        let row = rows.get_mut(&take.row.shard)?;
        if *row != take.row || row.is_finished() {
            return None;
        }
        row.owner = Some(me.to_owned());
        row.counter += 1;
        Some(row.clone())
    }

    /// Changes a lease that this worker has.
    pub(super) fn change(
        &self,
        me: &str,
        shard: &ShardId,
        counter: u64,
        change: &Change,
    ) -> Written {
        let mut rows = self.0.lock();
        let Some(row) = rows.get_mut(shard) else {
            return Written::Refused(None);
        };
        if row.counter != counter || row.owner.as_deref() != Some(me) {
            return Written::Refused(Some(Box::new(row.clone())));
        }
        row.counter += 1;
        if let Some(checkpoint) = &change.checkpoint {
            row.checkpoint = checkpoint.clone();
        }
        if !change.children.is_empty() {
            row.children.clone_from(&change.children);
        }
        if change.read.is_some() {
            row.read = change.read;
        }
        if change.created.is_some() {
            row.created = change.created;
        }
        if change.let_go {
            row.owner = None;
        }
        Written::Done
    }
}
