//! A table and what it holds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_table_spec::{IndexSpec, TableSpec};
use dynamodb_table_spec::{KeySchema, Projection};

use super::fake_table::FakeTable;
use super::streams::LatestStream;
use crate::item::error::Refusal;
use crate::item::key::{Key, KeyRules as _, check_item_size};
use crate::item::value::{Item, item_size};
use crate::throughput::{Shortages, Throughput, WriteCost};

/// A table and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) spec: TableSpec,
    pub(crate) items: BTreeMap<Key, Arc<Item>>,
    /// Seconds since 1970.
    pub(crate) created: f64,
    /// From when on it can be used: time since the fake was made.
    pub(crate) active_from: Duration,
    /// The units that it is declared to take at once, `WarmThroughput.WriteUnitsPerSecond`.
    pub(crate) warm: Option<u64>,
    /// Its limits; `None` where its capacity is not enforced.
    pub(crate) throughput: Option<Box<Throughput>>,
    pub(crate) stream: Option<LatestStream>,
    /// The number of shards with which a stream of it begins.
    pub(crate) stream_shards: usize,
    pub(crate) totals: Totals,
    /// The totals of its indexes, in their order.
    pub(crate) index_totals: Vec<Totals>,
}

/// Items and their bytes, counted as they come and go: a description of a large table that looked
/// at every item would hold up all other requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

impl Totals {
    fn change(&mut self, before: Option<&Item>, after: Option<&Item>) {
        if let Some(item) = after {
            self.items += 1;
            self.bytes += item_size(item);
        }
        if let Some(item) = before {
            self.items = self.items.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(item_size(item));
        }
    }
}

/// A write that passed every check and waits to be applied.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Item>>,
    pub(crate) after: Option<Arc<Item>>,
}

impl Table {
    /// A table made at this time: seconds since 1970, and since the fake was made.
    pub(crate) fn new(table: FakeTable, created: f64, now: Duration) -> Self {
        let FakeTable {
            spec,
            capacity,
            stream_shards,
        } = table;
        Self {
            items: BTreeMap::new(),
            created,
            active_from: Duration::ZERO,
            warm: None,
            throughput: capacity.map(|capacity| Box::new(Throughput::new(capacity, &spec, now))),
            stream: None,
            stream_shards,
            totals: Totals::default(),
            index_totals: vec![Totals::default(); spec.indexes.len()],
            spec,
        }
    }

    /// `TableStatus` at this time.
    pub(crate) fn status(&self, now: Duration) -> &'static str {
        if self.active_from <= now {
            "ACTIVE"
        } else {
            "CREATING"
        }
    }

    /// Tells the enforced capacity of a change of the specification.
    pub(crate) fn reconfigured(&mut self, now: Duration) {
        if let Some(throughput) = &mut self.throughput {
            throughput.reconfigure(&self.spec, self.warm, now);
        }
    }

    pub(crate) fn keys(&self) -> &KeySchema {
        &self.spec.keys
    }

    /// Checks a put without applying it.
    pub(crate) fn put(&self, item: Item) -> Result<Change, Refusal> {
        check_item_size(&item, false)?;
        let key = self.keys().of_item(&item)?;
        self.check_indexes(&item)?;
        Ok(Change {
            before: self.items.get(&key).cloned(),
            key,
            after: Some(Arc::new(item)),
        })
    }

    /// Checks a delete without applying it.
    pub(crate) fn delete(&self, key: &Item) -> Result<Change, Refusal> {
        let key = self.keys().of_key(key)?;
        Ok(Change {
            before: self.items.get(&key).cloned(),
            key,
            after: None,
        })
    }

    /// Checks the keys of every index.
    pub(crate) fn check_indexes(&self, item: &Item) -> Result<(), Refusal> {
        self.spec
            .indexes
            .iter()
            .try_for_each(|index| index.keys.check_index(&index.name, item))
    }

    /// Takes what a write costs out of the table's capacity, where it is enforced. False where
    /// something is short; `shortages` says what.
    pub(crate) fn admit(
        &mut self,
        key: &Key,
        cost: &WriteCost,
        now: Duration,
        shortages: &mut Shortages,
    ) -> bool {
        let Some(throughput) = &mut self.throughput else {
            return true;
        };
        let draw = [throughput.draw(&self.spec, key, cost, 1.0)];
        let limits = throughput.exceeded_limits(&draw, now);
        if limits.is_empty() {
            throughput.take(&draw);
        } else {
            shortages.add(&self.spec, throughput, limits);
            return false;
        }
        true
    }

    /// Applies a checked change.
    pub(crate) fn apply(&mut self, change: &Change) {
        let before = match &change.after {
            Some(item) => self.items.insert(change.key.clone(), Arc::clone(item)),
            None => self.items.remove(&change.key),
        };
        let (before, after) = (before.as_deref(), change.after.as_deref());
        self.totals.change(before, after);
        for (totals, index) in self.index_totals.iter_mut().zip(&self.spec.indexes) {
            let before = before.filter(|item| index.keys.indexes(item));
            let after = after.filter(|item| index.keys.indexes(item));
            let before = before.map(|item| index_entry(index, &self.spec.keys, item));
            let after = after.map(|item| index_entry(index, &self.spec.keys, item));
            totals.change(before.as_deref(), after.as_deref());
        }
    }
}

/// The part of an item that an index of a table with this key holds.
pub(crate) fn index_entry<'a>(
    index: &IndexSpec,
    table: &KeySchema,
    item: &'a Item,
) -> Cow<'a, Item> {
    let included = match &index.projection {
        Projection::All => return Cow::Borrowed(item),
        Projection::KeysOnly => &[][..],
        Projection::Include(names) => names,
    };
    let held = |name: &String| {
        table.contains(name) || index.keys.contains(name) || included.contains(name)
    };
    let part = item.iter().filter(|(name, _)| held(name));
    Cow::Owned(
        part.map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}
