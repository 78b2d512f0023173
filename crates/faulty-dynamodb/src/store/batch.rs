//! `BatchWriteItem` and `BatchGetItem`.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::capacity::{Bill, Report};
use super::execution::{Applied, Context, Done, Store};
use super::request::{Members, checked_table_name};
use super::table::{Change, Table};
use super::write::AppliedKind;
use crate::item::error::Refusal;
use crate::item::key::KeyRules as _;
use crate::item::value::{Item, item_from_json, item_size, item_to_json, unexpected};
use crate::throughput::{Shortages, WriteCost};

/// Requests a `BatchWriteItem` may hold (AWS: `API_BatchWriteItem`).
const MAX_WRITES: usize = 25;
/// Keys a `BatchGetItem` may hold (AWS: `API_BatchGetItem`).
const MAX_GETS: usize = 100;

struct Write {
    table: String,
    /// The table as the request named it, by name or ARN: unprocessed items go back under it.
    given: String,
    kind: AppliedKind,
    change: Change,
}

impl Write {
    /// The request again, as DynamoDB hands it back.
    fn echo(&self, table: &Table) -> Json {
        match &self.change.after {
            Some(item) => json!({ "PutRequest": { "Item": item_to_json(item) } }),
            None => {
                let key = table.keys().to_item(&self.change.key);
                json!({ "DeleteRequest": { "Key": item_to_json(&key) } })
            }
        }
    }
}

/// Checks every write of a batch, then applies those that are not to stay unprocessed.
pub(crate) fn write(
    store: &mut Store,
    request: Members<'_>,
    context: &mut Context<'_>,
) -> Result<Done, Refusal> {
    let report = Report::of(request)?;
    let writes = read_writes(store, request)?;
    let mut bill = Bill::default();
    let mut short = Shortages::default();
    let mut unprocessed = Map::new();
    let mut applied = Vec::new();
    let key = |at: usize| {
        let write: &Write = &writes[at];
        let table = store.tables.get(&write.table);
        table.map_or_else(Item::new, |table| table.keys().to_item(&write.change.key))
    };
    let left = context.left_unprocessed(writes.len(), key);
    for (write, left) in writes.into_iter().zip(left) {
        let Some(table) = store.tables.get_mut(&write.table) else {
            continue;
        };
        let cost = WriteCost::of(table, &write.change);
        if left || !table.admit(&write.change.key, &cost, context.now, &mut short) {
            let echo = write.echo(table);
            let list = unprocessed.entry(write.given).or_insert_with(|| json!([]));
            if let Json::Array(list) = list {
                list.push(echo);
            }
        } else {
            bill.of(&write.table).add_write(table, &cost, 1.0);
            applied.push(Applied {
                table: write.table,
                kind: write.kind,
                change: write.change,
            });
        }
    }
    if applied.is_empty() && !short.is_empty() {
        return Err(short.exception());
    }
    let mut body = json!({});
    body["UnprocessedItems"] = Json::Object(unprocessed);
    if report != Report::None {
        body["ConsumedCapacity"] = bill.to_json(report);
    }
    Ok(Done {
        body,
        worded: None,
        applied,
    })
}

fn read_writes(store: &Store, request: Members<'_>) -> Result<Vec<Write>, Refusal> {
    let tables = request
        .structure("RequestItems")?
        .filter(|tables| !tables.0.is_empty())
        .ok_or_else(|| {
            Refusal::validation("BatchWriteItem cannot have a null or no requests set")
        })?;
    let mut lists = Vec::new();
    for (given, list) in tables.0 {
        match list {
            Json::Array(list) if !list.is_empty() => lists.push((given, list)),
            Json::Array(_) | Json::Null => {
                return Err(Refusal::validation(format!(
                    "The batch write request list for a table cannot be null or empty: {given}"
                )));
            }
            _ => return Err(unexpected("RequestItems holds no lists")),
        }
    }
    if lists.iter().map(|(_, list)| list.len()).sum::<usize>() > MAX_WRITES {
        return Err(Refusal::validation(
            "Too many items requested for the BatchWriteItem call",
        ));
    }
    let mut writes = Vec::new();
    let mut keys = BTreeSet::new();
    for (given, list) in lists {
        let name = checked_table_name(given)?;
        let table = store.table(name)?;
        for json in list {
            let (kind, change) = read_write(json, |kind, item| match kind {
                AppliedKind::Delete => table.delete(&item),
                AppliedKind::Put | AppliedKind::Update => table.put(item),
            })?;
            if !keys.insert((name, change.key.clone())) {
                return Err(Refusal::validation(
                    "Provided list of item keys contains duplicates",
                ));
            }
            let (table, given) = (name.to_owned(), given.clone());
            writes.push(Write {
                table,
                given,
                kind,
                change,
            });
        }
    }
    Ok(writes)
}

fn read_write(
    json: &Json,
    check: impl FnOnce(AppliedKind, Item) -> Result<Change, Refusal>,
) -> Result<(AppliedKind, Change), Refusal> {
    let request = Members::of(json)?;
    let (put, delete) = (
        request.structure("PutRequest")?,
        request.structure("DeleteRequest")?,
    );
    let (kind, outer, inner, part) = match (put, delete) {
        (Some(put), None) => (AppliedKind::Put, "PutRequest", "Item", put.get("Item")),
        (None, Some(delete)) => (
            AppliedKind::Delete,
            "DeleteRequest",
            "Key",
            delete.get("Key"),
        ),
        _ => {
            return Err(Refusal::validation(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of \
                 the supported datatypes",
            ));
        }
    };
    let item =
        item_from_json(part.ok_or_else(|| {
            Refusal::validation(format!("The {inner} of a {outer} cannot be null"))
        })?)?;
    Ok((kind, check(kind, item)?))
}

/// Reads up to a hundred items, but those that are to stay unprocessed.
pub(crate) fn get(
    store: &Store,
    request: Members<'_>,
    context: &mut Context<'_>,
) -> Result<Done, Refusal> {
    let report = Report::of(request)?;
    let tables = request
        .structure("RequestItems")?
        .filter(|tables| !tables.0.is_empty())
        .ok_or_else(|| Refusal::validation("BatchGetItem cannot have a null or no requests set"))?;
    let mut bill = Bill::default();
    let mut responses = Map::new();
    let mut unprocessed = Map::new();
    let mut keys = BTreeSet::new();
    for (given, requested) in tables.0 {
        let name = checked_table_name(given)?;
        let requested = Members::of(requested)?;
        let consistent = requested.flag("ConsistentRead")?;
        let table = store.table(name)?;
        let mut found = Vec::new();
        let mut wanted = Vec::new();
        for key in requested.list("Keys")?.unwrap_or_default() {
            let key = table.keys().of_key(&item_from_json(key)?)?;
            if !keys.insert((name, key.clone())) {
                return Err(Refusal::validation(
                    "Provided list of item keys contains duplicates",
                ));
            }
            wanted.push(key);
        }
        if keys.len() > MAX_GETS {
            return Err(Refusal::validation(
                "Too many items requested for the BatchGetItem call",
            ));
        }
        let as_item = |at: usize| table.keys().to_item(&wanted[at]);
        let left = context.left_unprocessed(wanted.len(), as_item);
        let mut echoes = Vec::new();
        for (key, left) in wanted.into_iter().zip(left) {
            if left {
                echoes.push(item_to_json(&table.keys().to_item(&key)));
                continue;
            }
            let item = table.items.get(&key);
            bill.of(name)
                .add_read(item.map_or(0, |item| item_size(item)), consistent);
            found.extend(item.map(|item| item_to_json(item)));
        }
        responses.insert(given.clone(), Json::Array(found));
        if !echoes.is_empty() {
            let again = json!({ "Keys": echoes, "ConsistentRead": consistent });
            unprocessed.insert(given.clone(), again);
        }
    }
    let mut body = json!({ "Responses": responses, "UnprocessedKeys": unprocessed });
    if report != Report::None {
        body["ConsumedCapacity"] = bill.to_json(report);
    }
    Ok(Done::read(body))
}
