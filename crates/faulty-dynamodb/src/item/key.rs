//! Keys: their checks, and an order that compares as DynamoDB does.

use std::collections::BTreeMap;

use dynamodb_table_spec::{KeyAttribute, KeyKind, KeySchema};

use super::error::Refusal;
use super::number::Decimal;
use super::value::{Item, Value, item_size};

/// Bytes a partition key may have (AWS: quotas, "Partition keys and sort keys").
const MAX_PARTITION_BYTES: usize = 2048;
/// Bytes a sort key may have.
const MAX_SORT_BYTES: usize = 1024;

/// The keys of items, as the key schema of a table or an index reads them.
pub(crate) trait KeyRules {
    /// Returns the key of a whole item, for a put.
    fn of_item(&self, item: &Item) -> Result<Key, Refusal>;

    /// Returns the key given to a get, update or delete: these attributes and no others.
    fn of_key(&self, key: &Item) -> Result<Key, Refusal>;

    /// Returns the key's attributes taken from an item.
    fn project(&self, item: &Item) -> Item;

    /// Returns the attributes of a key.
    fn to_item(&self, key: &Key) -> Item;

    /// Checks the attributes of an item that an index uses as its key; absent ones are allowed.
    fn check_index(&self, index: &str, item: &Item) -> Result<(), Refusal>;

    /// Returns whether an item appears in an index with this key.
    fn indexes(&self, item: &Item) -> bool;
}

impl KeyRules for KeySchema {
    fn of_item(&self, item: &Item) -> Result<Key, Refusal> {
        for attribute in self.attributes() {
            if !item.contains_key(attribute.name()) {
                return Err(Refusal::invalid_values(&format!(
                    "Missing the key {} in the item",
                    attribute.name()
                )));
            }
        }
        read(self, item)
    }

    fn of_key(&self, key: &Item) -> Result<Key, Refusal> {
        let count = self.attributes().count();
        if key.len() != count || !self.attributes().all(|a| key.contains_key(a.name())) {
            return Err(Refusal::validation(
                "The provided key element does not match the schema",
            ));
        }
        read(self, key)
    }

    fn project(&self, item: &Item) -> Item {
        self.attributes()
            .filter_map(|a| {
                item.get(a.name())
                    .map(|value| (a.name().to_owned(), value.clone()))
            })
            .collect()
    }

    fn to_item(&self, key: &Key) -> Item {
        let mut item = BTreeMap::new();
        item.insert(self.partition().name().to_owned(), key.partition.to_value());
        if let (Some(attribute), Some(part)) = (self.sort(), &key.sort) {
            item.insert(attribute.name().to_owned(), part.to_value());
        }
        item
    }

    fn check_index(&self, index: &str, item: &Item) -> Result<(), Refusal> {
        for (attribute, limit) in self.attributes().zip([MAX_PARTITION_BYTES, MAX_SORT_BYTES]) {
            let Some(value) = item.get(attribute.name()) else {
                continue;
            };
            if value.type_name() != attribute.kind().name() {
                return Err(Refusal::invalid_values(&format!(
                    "Type mismatch for Index Key {} Expected: {} Actual: {} IndexName: {index}",
                    attribute.name(),
                    attribute.kind().name(),
                    value.type_name(),
                )));
            }
            if value.length() == Some(0) {
                return Err(Refusal::validation(format!(
                    "One or more parameter values are not valid. A value specified for a secondary \
                     index key is not supported. The AttributeValue for a key attribute cannot \
                     contain an empty {} value. IndexName: {index}, IndexKey: {}",
                    noun(attribute.kind()),
                    attribute.name(),
                )));
            }
            if value.size() > limit {
                return Err(Refusal::invalid_values(&format!(
                    "Size of hashkey has exceeded the maximum size limit of {limit} bytes: Size \
                     limit exceeded for index {index}"
                )));
            }
        }
        Ok(())
    }

    fn indexes(&self, item: &Item) -> bool {
        self.attributes()
            .all(|attribute| item.contains_key(attribute.name()))
    }
}

fn read(keys: &KeySchema, item: &Item) -> Result<Key, Refusal> {
    let partition = part(item, keys.partition(), MAX_PARTITION_BYTES)?;
    let sort = keys
        .sort()
        .map(|sort| part(item, sort, MAX_SORT_BYTES))
        .transpose()?;
    Ok(Key { partition, sort })
}

fn noun(kind: KeyKind) -> &'static str {
    if kind == KeyKind::Binary {
        "binary"
    } else {
        "string"
    }
}

fn part(item: &Item, attribute: &KeyAttribute, limit: usize) -> Result<KeyPart, Refusal> {
    let value = item.get(attribute.name());
    let part = match (attribute.kind(), value) {
        (KeyKind::String, Some(Value::S(text))) => KeyPart::S(text.clone()),
        (KeyKind::Number, Some(Value::N(number))) => KeyPart::N(number.clone()),
        (KeyKind::Binary, Some(Value::B(bytes))) => KeyPart::B(bytes.clone()),
        (_, value) => {
            return Err(Refusal::invalid_values(&format!(
                "Type mismatch for key {} expected: {} actual: {}",
                attribute.name(),
                attribute.kind().name(),
                value.map_or("NULL", Value::type_name),
            )));
        }
    };
    match part.bytes() {
        Some(0) => Err(Refusal::validation(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute \
             cannot contain an empty {} value. Key: {}",
            noun(attribute.kind()),
            attribute.name(),
        ))),
        Some(bytes) if bytes > limit => Err(Refusal::invalid_values(&format!(
            "Size of {} has exceeded the maximum size limit of {limit} bytes",
            if limit == MAX_PARTITION_BYTES {
                "hashkey"
            } else {
                "rangekey"
            },
        ))),
        _ => Ok(part),
    }
}

/// One value of a key, ordered as DynamoDB orders keys of that type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyPart {
    S(String),
    N(Decimal),
    B(Vec<u8>),
}

impl KeyPart {
    fn bytes(&self) -> Option<usize> {
        match self {
            Self::S(text) => Some(text.len()),
            Self::B(bytes) => Some(bytes.len()),
            Self::N(_) => None,
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::S(text) => Value::S(text.clone()),
            Self::N(number) => Value::N(number.clone()),
            Self::B(bytes) => Value::B(bytes.clone()),
        }
    }
}

/// A primary key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) partition: KeyPart,
    pub(crate) sort: Option<KeyPart>,
}

impl Key {
    /// A number that is the same for all items of a partition, for parallel scans.
    pub(crate) fn partition_hash(&self) -> u32 {
        match &self.partition {
            KeyPart::S(text) => crc32fast::hash(text.as_bytes()),
            KeyPart::N(number) => crc32fast::hash(number.to_string().as_bytes()),
            KeyPart::B(bytes) => crc32fast::hash(bytes),
        }
    }
}

/// Bytes of an item that may be stored (AWS: quotas, "Item size").
const MAX_ITEM_BYTES: usize = 409_600;

/// Checks the size of a whole item.
pub(crate) fn check_item_size(item: &Item, updating: bool) -> Result<(), Refusal> {
    if item_size(item) <= MAX_ITEM_BYTES {
        return Ok(());
    }
    Err(Refusal::validation(if updating {
        "Item size to update has exceeded the maximum allowed size"
    } else {
        "Item size has exceeded the maximum allowed size"
    }))
}
