//! A table and what it holds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_table_spec::{IndexSpec, TableSpec};
use dynamodb_table_spec::{KeySchema, Projection};

use super::capacity::WriteCost;
use super::error::Refusal;
use super::fake_table::FakeTable;
use super::key::{Key, KeyRules as _, check_item_size};
use super::streams::LatestStream;
use super::throughput::{Shortages, Throughput};
use super::value::{Item, item_size};

/// A table and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) spec: TableSpec,
    pub(super) items: BTreeMap<Key, Arc<Item>>,
    /// Seconds since 1970.
    pub(super) created: f64,
    /// From when on it can be used: time since the fake was made.
    pub(super) active_from: Duration,
    /// What it was said to take at once, `WarmThroughput.WriteUnitsPerSecond`.
    pub(super) warm: Option<u64>,
    /// Where its capacity is enforced.
    pub(super) throughput: Option<Box<Throughput>>,
    pub(super) stream: Option<LatestStream>,
    /// How many shards a stream of it begins with.
    pub(super) stream_shards: usize,
    pub(super) held: Held,
    /// What its indexes hold, in the order of the indexes.
    pub(super) held_by_index: Vec<Held>,
}

/// Items and their bytes, counted as they come and go: a description of a large table that looked
/// at every item would hold up all other requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Held {
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
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) before: Option<Arc<Item>>,
    pub(super) after: Option<Arc<Item>>,
}

impl Table {
    /// A table made at this time: seconds since 1970, and since the fake was made.
    pub(super) fn new(table: FakeTable, created: f64, now: Duration) -> Self {
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
            held: Held::default(),
            held_by_index: vec![Held::default(); spec.indexes.len()],
            spec,
        }
    }

    /// `TableStatus` at this time.
    pub(super) fn status(&self, now: Duration) -> &'static str {
        if self.active_from <= now {
            "ACTIVE"
        } else {
            "CREATING"
        }
    }

    /// Tells the enforced capacity of a change of the specification.
    pub(super) fn reconfigured(&mut self, now: Duration) {
        if let Some(throughput) = &mut self.throughput {
            throughput.reconfigure(&self.spec, self.warm, now);
        }
    }

    pub(super) fn keys(&self) -> &KeySchema {
        &self.spec.keys
    }

    /// Checks a put without applying it.
    pub(super) fn put(&self, item: Item) -> Result<Change, Refusal> {
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
    pub(super) fn delete(&self, key: &Item) -> Result<Change, Refusal> {
        let key = self.keys().of_key(key)?;
        Ok(Change {
            before: self.items.get(&key).cloned(),
            key,
            after: None,
        })
    }

    /// Checks the keys of every index.
    pub(super) fn check_indexes(&self, item: &Item) -> Result<(), Refusal> {
        self.spec
            .indexes
            .iter()
            .try_for_each(|index| index.keys.check_index(&index.name, item))
    }

    /// Takes what a write costs out of the table's capacity, where it is enforced. False where
    /// something is short; `shortages` says what.
    pub(super) fn admit(
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
        let limits = throughput.limits_met(&draw, now);
        if limits.is_empty() {
            throughput.take(&draw);
        } else {
            shortages.add(&self.spec, throughput, limits);
            return false;
        }
        true
    }

    /// Applies a checked change.
    pub(super) fn apply(&mut self, change: &Change) {
        let before = match &change.after {
            Some(item) => self.items.insert(change.key.clone(), Arc::clone(item)),
            None => self.items.remove(&change.key),
        };
        let (before, after) = (before.as_deref(), change.after.as_deref());
        self.held.change(before, after);
        for (held, index) in self.held_by_index.iter_mut().zip(&self.spec.indexes) {
            let before = before.filter(|item| index.keys.indexes(item));
            let after = after.filter(|item| index.keys.indexes(item));
            let before = before.map(|item| index_entry(index, &self.spec.keys, item));
            let after = after.map(|item| index_entry(index, &self.spec.keys, item));
            held.change(before.as_deref(), after.as_deref());
        }
    }
}

/// The part of an item that an index of a table with this key holds.
pub(super) fn index_entry<'a>(
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

/// The name by which AWS knows a table.
pub(super) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:us-east-1:000000000000:table/{name}")
}
