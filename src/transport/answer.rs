//! The answers of the writing operations, read without copying an item.

use super::members::Members;
use crate::retry::ServiceError;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The answer of a `BatchWriteItem`.
#[derive(Debug)]
pub(crate) struct BatchAnswer<'a> {
    /// The writes that were not applied, in the service's order.
    pub(crate) unprocessed: Vec<Unprocessed<'a>>,
    /// The consumed capacity, where the request asked for it.
    pub(crate) consumed: Option<Consumed>,
}

/// A write that the service did not apply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unprocessed<'a> {
    pub(crate) kind: UnprocessedKind,
    /// The put's item or the delete's key, as DynamoDB JSON.
    pub(crate) json: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnprocessedKind {
    Put,
    Delete,
}

impl fmt::Debug for Unprocessed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unprocessed")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Capacity units that a request consumed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Consumed {
    /// Of the table itself.
    pub(crate) table_units: f64,
    /// Of the table and its indexes.
    pub(crate) total: f64,
    /// Of each index that was written, local and global.
    pub(crate) indexes: Vec<(String, f64)>,
}

/// Reads the answer of a `BatchWriteItem`. A transport serves one table: all is of that table.
///
/// # Errors
///
/// Ambiguous if it can't be what the service sent.
pub(crate) fn parse_batch(body: &[u8]) -> Result<BatchAnswer<'_>, ServiceError> {
    // The answer to nearly every batch when no capacity is asked for.
    if body == b"{\"UnprocessedItems\":{}}" {
        return Ok(BatchAnswer {
            unprocessed: Vec::new(),
            consumed: None,
        });
    }
    let body: BatchBody<'_> = parse(body)?;
    if body.kind.0.is_some() {
        return Err(garbled("it is an error in place of an answer"));
    }
    let Some(Requests(requests)) = body.unprocessed else {
        // A health page answers `{"status":"ok"}` whatever it is sent.
        return Err(garbled("it has no UnprocessedItems"));
    };
    let mut unprocessed = Vec::with_capacity(requests.len());
    for request in requests {
        unprocessed.push(
            request
                .read()
                .ok_or_else(|| garbled("a write of no kind"))?,
        );
    }
    Ok(BatchAnswer {
        unprocessed,
        consumed: body.consumed.0.map(|units| sum(&units.0)),
    })
}

/// The members of the answers to `PutItem`, `UpdateItem`, `DeleteItem` and `TransactWriteItems`
/// (API reference). All of them are optional, so `{}` is the usual answer.
const SINGLE_ANSWER_MEMBERS: [&str; 3] =
    ["Attributes", "ConsumedCapacity", "ItemCollectionMetrics"];

/// Reads the answer of a `PutItem`, `UpdateItem`, `DeleteItem` or `TransactWriteItems`.
///
/// # Errors
///
/// Ambiguous if it can't be what the service sent.
pub(crate) fn parse_single(body: &[u8]) -> Result<Option<Consumed>, ServiceError> {
    if body == b"{}" {
        return Ok(None);
    }
    let text = std::str::from_utf8(body).map_err(|_| garbled("it is no text"))?;
    let members = Members::read(text);
    if !members.is_whole() {
        return Err(garbled("it is no answer to this request"));
    }
    if members.raw("__type").is_some() {
        return Err(garbled("it is an error in place of an answer"));
    }
    if !members.is_empty()
        && SINGLE_ANSWER_MEMBERS
            .iter()
            .all(|name| members.raw(name).is_none())
    {
        // A health page answers `{"status":"ok"}` whatever it is sent.
        return Err(garbled("it has no member of an answer to this request"));
    }
    let consumed = members.raw("ConsumedCapacity");
    let consumed: Option<OneOrMany<'_>> = consumed.and_then(|json| serde_json::from_str(json).ok());
    Ok(consumed.map(|units| sum(&units.0)))
}

/// A member that may be odd: it counts as missing then.
///
/// A write that was applied is applied, whatever the answer says of its cost.
#[derive(Debug)]
pub(super) struct Lenient<T>(pub(super) Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(json.get()).ok()))
    }
}

pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ServiceError> {
    // A derived parser takes a list for an object, and an empty list for an empty answer.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(garbled("it is no object"));
    }
    // The parser's own words may quote the body.
    serde_json::from_slice(body).map_err(|_| garbled("it is no answer to this request"))
}

fn garbled(detail: &str) -> ServiceError {
    ServiceError::garbled(detail)
}

fn sum(units: &[ConsumedBody<'_>]) -> Consumed {
    let mut sum = Consumed::default();
    for unit in units {
        let total = unit.units.unwrap_or_default();
        sum.total += total;
        // Without a breakdown, all of it counts as the table's.
        sum.table_units += unit
            .table
            .as_ref()
            .and_then(|table| table.units)
            .unwrap_or(total);
        for indexes in [&unit.local, &unit.global].into_iter().flatten() {
            for (name, capacity) in &indexes.0 {
                sum.indexes.push((
                    name.clone().into_owned(),
                    capacity.units.unwrap_or_default(),
                ));
            }
        }
    }
    sum
}

#[derive(Deserialize)]
struct BatchBody<'a> {
    #[serde(rename = "__type", default)]
    kind: Lenient<IgnoredAny>,
    #[serde(borrow, rename = "UnprocessedItems", default)]
    unprocessed: Option<Requests<'a>>,
    #[serde(borrow, rename = "ConsumedCapacity", default)]
    consumed: Lenient<OneOrMany<'a>>,
}

#[derive(Deserialize)]
struct RequestBody<'a> {
    #[serde(borrow, rename = "PutRequest", default)]
    put: Option<PutBody<'a>>,
    #[serde(borrow, rename = "DeleteRequest", default)]
    delete: Option<DeleteBody<'a>>,
}

#[derive(Deserialize)]
struct PutBody<'a> {
    #[serde(borrow, rename = "Item")]
    item: &'a RawValue,
}

#[derive(Deserialize)]
struct DeleteBody<'a> {
    #[serde(borrow, rename = "Key")]
    key: &'a RawValue,
}

impl<'a> RequestBody<'a> {
    fn read(self) -> Option<Unprocessed<'a>> {
        let (kind, json) = match (self.put, self.delete) {
            (Some(put), None) => (UnprocessedKind::Put, put.item),
            (None, Some(delete)) => (UnprocessedKind::Delete, delete.key),
            _ => return None,
        };
        let json = json.get().as_bytes();
        (json.first() == Some(&b'{')).then_some(Unprocessed { kind, json })
    }
}

/// `{"<table>": [<request>, …], …}`, the tables' names dropped.
struct Requests<'a>(Vec<RequestBody<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Requests<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = Requests<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("requests by table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((_table, requests)) =
                    map.next_entry::<Cow<'de, str>, Vec<RequestBody<'de>>>()?
                {
                    all.extend(requests);
                }
                Ok(Requests(all))
            }
        }

        deserializer.deserialize_map(Tables)
    }
}

/// Single writes answer with one capacity, batches and transactions with a list.
struct OneOrMany<'a>(Vec<ConsumedBody<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for OneOrMany<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let units = match json.as_bytes().first() {
            Some(b'{') => serde_json::from_str(json).map(|one| vec![one]),
            _ => serde_json::from_str(json),
        };
        units.map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize)]
struct ConsumedBody<'a> {
    #[serde(rename = "CapacityUnits", default)]
    units: Option<f64>,
    #[serde(rename = "Table", default)]
    table: Option<Capacity>,
    #[serde(borrow, rename = "LocalSecondaryIndexes", default)]
    local: Option<Named<'a>>,
    #[serde(borrow, rename = "GlobalSecondaryIndexes", default)]
    global: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Capacity {
    #[serde(rename = "CapacityUnits", default)]
    units: Option<f64>,
}

/// `{"<index>": <capacity>, …}`.
struct Named<'a>(Vec<(Cow<'a, str>, Capacity)>);

impl<'de: 'a, 'a> Deserialize<'de> for Named<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Indexes;

        impl<'de> Visitor<'de> for Indexes {
            type Value = Named<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("capacities by index")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Named(all))
            }
        }

        deserializer.deserialize_map(Indexes)
    }
}
