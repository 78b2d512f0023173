//! The capacity that a request consumes, in DynamoDB's units.

use std::collections::BTreeMap;

use dynamodb_table_spec::IndexSpec;
use serde_json::{Value as Json, json};

use super::request::Members;
use super::table::{Change, Table, index_entry};
use crate::item::error::Refusal;
use crate::item::key::KeyRules as _;
use crate::item::value::{Item, item_size};
use crate::throughput::WriteCost;

/// The detail in which the caller asks for the consumption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    None,
    Total,
    Indexes,
}

impl Report {
    pub(crate) fn of(request: Members<'_>) -> Result<Self, Refusal> {
        Ok(match request.text("ReturnConsumedCapacity")? {
            None | Some("NONE") => Self::None,
            Some("TOTAL") => Self::Total,
            Some("INDEXES") => Self::Indexes,
            Some(other) => {
                return Err(Refusal::validation(format!(
                    "1 validation error detected: Value '{other}' at 'returnConsumedCapacity' failed to \
                     satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]"
                )));
            }
        })
    }
}

impl WriteCost {
    /// Units a write consumes: of the larger of the old and the new item, and of each index that it
    /// changes.
    pub(crate) fn of(table: &Table, change: &Change) -> Self {
        let (before, after) = (change.before.as_deref(), change.after.as_deref());
        let cost = Self::attempt(before, after);
        if before == after || table.spec.indexes.is_empty() {
            return cost;
        }
        let indexes = table.spec.indexes.iter();
        Self {
            indexes: indexes
                .map(|index| index_units(table, index, before, after))
                .collect(),
            ..cost
        }
    }

    /// Returns the consumption of a write that its condition forbids: no index, but the larger of
    /// the item that is there and the one that was to be put.
    pub(crate) fn attempt(before: Option<&Item>, after: Option<&Item>) -> Self {
        Self {
            table: units(before).max(units(after)).max(1.0),
            indexes: Vec::new(),
        }
    }
}

fn index_units(
    table: &Table,
    index: &IndexSpec,
    before: Option<&Item>,
    after: Option<&Item>,
) -> f64 {
    let entry = |item: Option<&Item>| item.is_some_and(|item| index.keys.indexes(item));
    let project = |item| index_entry(index, table.keys(), item);
    let held = before.filter(|_| entry(before)).map(project);
    let holds = after.filter(|_| entry(after)).map(project);
    let (old, new) = (units(held.as_deref()), units(holds.as_deref()));
    match (held, holds) {
        // A changed index key is one delete and one put.
        (Some(held), Some(holds)) if index.keys.project(&held) != index.keys.project(&holds) => {
            old + new
        }
        // What the index does not hold is none of its concern.
        (Some(held), Some(holds)) if held == holds => 0.0,
        _ => old.max(new),
    }
}

/// Units consumed on one table and its indexes. Halves occur: an eventually consistent read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consumption {
    table: f64,
    indexes: BTreeMap<String, (bool, f64)>,
}

impl Consumption {
    /// Adds a write; `factor` is 2 in a transaction.
    pub(crate) fn add_write(&mut self, table: &Table, cost: &WriteCost, factor: f64) {
        self.table += factor * cost.table;
        let indexes = table.spec.indexes.iter().zip(&cost.indexes);
        for (index, units) in indexes.filter(|(_, units)| **units > 0.0) {
            match self.indexes.get_mut(&index.name) {
                Some((_, sum)) => *sum += factor * units,
                None => {
                    let entry = (index.local, factor * units);
                    self.indexes.insert(index.name.clone(), entry);
                }
            }
        }
    }

    /// Units a read of so many bytes consumes.
    pub(crate) fn add_read(&mut self, bytes: usize, consistent: bool) {
        let units = chunks(bytes, 4096).max(1.0);
        self.table += if consistent { units } else { units / 2.0 };
    }

    /// One `ConsumedCapacity` structure; null where none was asked for.
    pub(crate) fn to_json(&self, table: &str, report: Report) -> Json {
        if report == Report::None {
            return Json::Null;
        }
        let total = self.table + self.indexes.values().map(|(_, units)| units).sum::<f64>();
        let mut json = json!({ "TableName": table, "CapacityUnits": total });
        if report == Report::Indexes {
            json["Table"] = json!({ "CapacityUnits": self.table });
            for (name, (local, units)) in &self.indexes {
                let member = if *local {
                    "LocalSecondaryIndexes"
                } else {
                    "GlobalSecondaryIndexes"
                };
                json[member][name] = json!({ "CapacityUnits": units });
            }
        }
        json
    }
}

/// Write units of one item: kilobytes, begun ones counted whole; none for no item.
fn units(item: Option<&Item>) -> f64 {
    item.map_or(0.0, |item| chunks(item_size(item), 1024))
}

fn chunks(bytes: usize, size: usize) -> f64 {
    u32::try_from(bytes.div_ceil(size)).map_or(f64::MAX, f64::from)
}

/// Consumption table by table, for requests that name several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bill(BTreeMap<String, Consumption>);

impl Bill {
    pub(crate) fn of(&mut self, table: &str) -> &mut Consumption {
        self.0.entry(table.to_owned()).or_default()
    }

    /// The list of `ConsumedCapacity` structures; null where none was asked for.
    pub(crate) fn to_json(&self, report: Report) -> Json {
        if report == Report::None {
            return Json::Null;
        }
        self.0
            .iter()
            .map(|(table, consumed)| consumed.to_json(table, report))
            .collect()
    }
}
