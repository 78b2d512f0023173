//! Members of a request's JSON, and what a request is about before it is executed.

use std::collections::BTreeMap;

use dynamodb_table_spec::is_table_name;
use serde_json::{Map, Value as Json};

use super::streams::{table_of_arn, target_of_token};
use super::table::Table;
use crate::item::error::Refusal;
use crate::item::key::{Key, KeyRules as _};
use crate::item::value::{Item, item_from_json, unexpected};

/// The members of a request or of a part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members<'a>(pub(crate) &'a Map<String, Json>);

impl<'a> Members<'a> {
    pub(crate) fn of(json: &'a Json) -> Result<Self, Refusal> {
        json.as_object()
            .map(Self)
            .ok_or_else(|| unexpected("a structure was expected"))
    }

    pub(crate) fn get(self, name: &str) -> Option<&'a Json> {
        self.0.get(name).filter(|json| !json.is_null())
    }

    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, Refusal> {
        self.get(name)
            .map(|json| {
                json.as_str()
                    .ok_or_else(|| unexpected(&format!("{name} is no string")))
            })
            .transpose()
    }

    pub(crate) fn flag(self, name: &str) -> Result<bool, Refusal> {
        self.get(name).map_or(Ok(false), |json| {
            json.as_bool()
                .ok_or_else(|| unexpected(&format!("{name} is no boolean")))
        })
    }

    pub(crate) fn count(self, name: &str) -> Result<Option<usize>, Refusal> {
        self.get(name)
            .map(|json| {
                json.as_u64()
                    .and_then(|count| usize::try_from(count).ok())
                    .ok_or_else(|| unexpected(&format!("{name} is no count")))
            })
            .transpose()
    }

    pub(crate) fn list(self, name: &str) -> Result<Option<&'a [Json]>, Refusal> {
        self.get(name)
            .map(|json| match json {
                Json::Array(list) => Ok(list.as_slice()),
                _ => Err(unexpected(&format!("{name} is no list"))),
            })
            .transpose()
    }

    pub(crate) fn structure(self, name: &str) -> Result<Option<Members<'a>>, Refusal> {
        self.get(name)
            .map(|json| {
                json.as_object()
                    .map(Members)
                    .ok_or_else(|| unexpected(&format!("{name} is no structure")))
            })
            .transpose()
    }

    pub(crate) fn item(self, name: &str) -> Result<Option<Item>, Refusal> {
        self.get(name).map(item_from_json).transpose()
    }

    pub(crate) fn key(self) -> Result<Item, Refusal> {
        self.item("Key")?.ok_or_else(|| {
            Refusal::validation("Cannot have null key for GetItem, DeleteItem, or UpdateItem")
        })
    }

    /// The table's name, given by name or by ARN.
    pub(crate) fn table_name(self) -> Result<&'a str, Refusal> {
        let given = self.text("TableName")?.ok_or_else(|| {
            Refusal::validation(
                "Value null at 'tableName' failed to satisfy constraint: Member must not be null",
            )
        })?;
        checked_table_name(given)
    }
}

/// A table's name taken out of its ARN, where it is one, and checked.
pub(crate) fn checked_table_name(given: &str) -> Result<&str, Refusal> {
    let name = match given.strip_prefix("arn:") {
        Some(rest) => rest.split_once(":table/").map_or("", |(_, name)| name),
        None => given,
    };
    if is_table_name(name) {
        return Ok(name);
    }
    Err(Refusal::validation(
        "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and \
         may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'",
    ))
}

/// The tables and keys of a request, read leniently: nonsense has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets {
    pub(crate) tables: Vec<String>,
    /// Items named of each of the tables, readable or not.
    pub(crate) items: Vec<usize>,
    pub(crate) keys: Vec<TargetKey>,
    /// The shard named, by itself or by an iterator.
    pub(crate) shard: Option<String>,
}

/// A key named in a request.
#[derive(Clone, Debug)]
pub(crate) struct TargetKey {
    pub(crate) table: String,
    pub(crate) key: Key,
    pub(crate) attributes: Item,
}

impl Targets {
    /// The tables of a request, and the keys where there are tables to read them by.
    pub(crate) fn read(body: &Json, tables: Option<&BTreeMap<String, Table>>) -> Self {
        let mut targets = Self::default();
        targets.one(body, tables);
        targets.stream(body);
        for (table, requests) in body["RequestItems"].as_object().into_iter().flatten() {
            for request in requests.as_array().into_iter().flatten() {
                let put = &request["PutRequest"]["Item"];
                let part = if put.is_null() {
                    &request["DeleteRequest"]["Key"]
                } else {
                    put
                };
                targets.add(table, part, tables);
            }
            for key in requests["Keys"].as_array().into_iter().flatten() {
                targets.add(table, key, tables);
            }
            targets.table(table);
        }
        for action in body["TransactItems"].as_array().into_iter().flatten() {
            for part in action.as_object().into_iter().flat_map(Map::values) {
                targets.one(part, tables);
            }
        }
        targets
    }

    fn stream(&mut self, body: &Json) {
        if let Some(table) = body["StreamArn"].as_str().and_then(table_of_arn) {
            self.table(table);
            self.shard = body["ShardId"].as_str().map(str::to_owned);
        }
        if let Some((table, shard)) = body["ShardIterator"].as_str().and_then(target_of_token) {
            self.table(&table);
            self.shard = Some(shard);
        }
    }

    /// The number of items named.
    pub(crate) fn count(&self) -> usize {
        self.items.iter().sum()
    }

    fn one(&mut self, part: &Json, tables: Option<&BTreeMap<String, Table>>) {
        if let Some(table) = part["TableName"].as_str() {
            for member in ["Item", "Key"] {
                if !part[member].is_null() {
                    self.add(table, &part[member], tables);
                }
            }
            self.table(table);
        }
    }

    /// Notes a table and gives the number of its items noted so far.
    fn table(&mut self, given: &str) -> &mut usize {
        let name = checked_table_name(given).unwrap_or(given);
        let position = self.tables.iter().position(|named| named == name);
        let at = position.unwrap_or(self.tables.len());
        if position.is_none() {
            self.tables.push(name.to_owned());
            self.items.push(0);
        }
        &mut self.items[at]
    }

    fn add(&mut self, table: &str, attributes: &Json, tables: Option<&BTreeMap<String, Table>>) {
        *self.table(table) += 1;
        let name = checked_table_name(table).unwrap_or(table);
        let schema = tables.and_then(|tables| tables.get(name));
        let Some(schema) = schema.map(Table::keys) else {
            return;
        };
        // Only the key is read, so that a bad attribute elsewhere does not hide it.
        let Some(members) = attributes.as_object() else {
            return;
        };
        let only_keys: Map<String, Json> = members
            .iter()
            .filter(|(name, _)| schema.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let Ok(attributes) = item_from_json(&Json::Object(only_keys)) else {
            return;
        };
        if let Ok(key) = schema.of_key(&attributes) {
            self.keys.push(TargetKey {
                table: name.to_owned(),
                key,
                attributes,
            });
        }
    }
}
