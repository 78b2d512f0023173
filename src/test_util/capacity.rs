//! What a request consumes, in DynamoDB's units.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::error::Refusal;
use super::request::Members;
use super::table::{Change, Table};
use super::value::{Item, item_size};

/// How much of the consumption the caller wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    None,
    Total,
    Indexes,
}

impl Report {
    pub(super) fn of(request: Members<'_>) -> Result<Self, Refusal> {
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

/// Units consumed on one table and its indexes. Halves occur: an eventually consistent read.
#[derive(Clone, Debug, Default)]
pub(super) struct Consumption {
    table: f64,
    indexes: BTreeMap<String, (bool, f64)>,
}

impl Consumption {
    /// Units a write consumes: of the larger of the old and the new item, and of each index it
    /// changes.
    pub(super) fn add_write(&mut self, table: &Table, change: &Change, factor: f64) {
        let (before, after) = (change.before.as_deref(), change.after.as_deref());
        self.table += factor * units(before).max(units(after)).max(1.0);
        if before == after {
            return;
        }
        for index in &table.spec.indexes {
            let held = before.filter(|item| index.keys.indexes(item));
            let holds = after.filter(|item| index.keys.indexes(item));
            let cost = match (held, holds) {
                (None, None) => continue,
                // A changed index key is one delete and one put.
                (Some(old), Some(new)) if index.keys.project(old) != index.keys.project(new) => {
                    units(held) + units(holds)
                }
                _ => units(held).max(units(holds)),
            };
            let entry = self
                .indexes
                .entry(index.name.clone())
                .or_insert((index.local, 0.0));
            entry.1 += factor * cost;
        }
    }

    /// Units a read of so many bytes consumes.
    pub(super) fn add_read(&mut self, bytes: usize, consistent: bool) {
        let units = chunks(bytes, 4096).max(1.0);
        self.table += if consistent { units } else { units / 2.0 };
    }

    /// One `ConsumedCapacity` structure; null where none was asked for.
    pub(super) fn to_json(&self, table: &str, report: Report) -> Json {
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
pub(super) struct Bill(BTreeMap<String, Consumption>);

impl Bill {
    pub(super) fn of(&mut self, table: &str) -> &mut Consumption {
        self.0.entry(table.to_owned()).or_default()
    }

    /// The list of `ConsumedCapacity` structures; null where none was asked for.
    pub(super) fn to_json(&self, report: Report) -> Json {
        if report == Report::None {
            return Json::Null;
        }
        self.0
            .iter()
            .map(|(table, consumed)| consumed.to_json(table, report))
            .collect()
    }
}
