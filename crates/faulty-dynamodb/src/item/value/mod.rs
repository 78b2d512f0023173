//! Attribute values: read from DynamoDB JSON, checked, measured, written back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64_simd::STANDARD;
use serde_json::{Map, Value as Json, json};

use super::error::Refusal;
use super::number::Decimal;

/// An item, or the content of a map.
pub(crate) type Item = BTreeMap<String, Value>;

/// Levels of lists and maps inside an item, which is itself the first of the 32 levels AWS names
/// (quotas, "Nested attribute depth"; measured against DynamoDB Local).
pub(crate) const MAX_DEPTH: usize = 31;

/// An attribute value. Equality is DynamoDB's: numbers by value, sets without order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    S(String),
    N(Decimal),
    B(Vec<u8>),
    Bool(bool),
    Null,
    L(Vec<Value>),
    M(Item),
    Ss(BTreeSet<String>),
    Ns(BTreeSet<Decimal>),
    Bs(BTreeSet<Vec<u8>>),
}

impl Value {
    /// DynamoDB's name of the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::L(_) => "L",
            Self::M(_) => "M",
            Self::Ss(_) => "SS",
            Self::Ns(_) => "NS",
            Self::Bs(_) => "BS",
        }
    }

    /// Reads and checks one value.
    pub(crate) fn from_json(json: &Json) -> Result<Self, Refusal> {
        Self::read(json, 0)
    }

    fn read(json: &Json, depth: usize) -> Result<Self, Refusal> {
        let Json::Object(members) = json else {
            return Err(unexpected("an attribute value is no structure"));
        };
        let mut members = members.iter();
        let (Some((kind, content)), None) = (members.next(), members.next()) else {
            return Err(Refusal::validation(
                if json.as_object().is_some_and(Map::is_empty) {
                    EMPTY_VALUE
                } else {
                    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of \
                 the supported datatypes"
                },
            ));
        };
        if depth >= MAX_DEPTH && matches!(kind.as_str(), "L" | "M") {
            return Err(Refusal::validation(TOO_DEEP));
        }
        Ok(match kind.as_str() {
            "S" => Self::S(text(content)?.to_owned()),
            "N" => Self::N(number(text(content)?)?),
            "B" => Self::B(bytes(content)?),
            "BOOL" => match content {
                Json::Bool(flag) => Self::Bool(*flag),
                _ => return Err(unexpected("BOOL is no boolean")),
            },
            "NULL" => match content {
                Json::Bool(true) => Self::Null,
                Json::Bool(false) => {
                    return Err(Refusal::invalid_values(
                        "Null attribute value types must have the value of true",
                    ));
                }
                _ => return Err(unexpected("NULL is no boolean")),
            },
            "L" => Self::L(
                list(content)?
                    .iter()
                    .map(|element| Self::read(element, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            "M" => Self::M(read_members(content, depth + 1)?),
            "SS" => Self::Ss(set(content, "string", "SS", |json| {
                Ok(text(json)?.to_owned())
            })?),
            "NS" => Self::Ns(set(content, "number", "NS", |json| number(text(json)?))?),
            "BS" => Self::Bs(set(content, "binary", "BS", bytes)?),
            _ => return Err(Refusal::validation(EMPTY_VALUE)),
        })
    }

    /// DynamoDB JSON of the value.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::S(text) => json!({ "S": text }),
            Self::N(number) => json!({ "N": number.to_string() }),
            Self::B(bytes) => json!({ "B": STANDARD.encode_to_string(bytes) }),
            Self::Bool(flag) => json!({ "BOOL": flag }),
            Self::Null => json!({ "NULL": true }),
            Self::L(list) => json!({ "L": list.iter().map(Self::to_json).collect::<Vec<_>>() }),
            Self::M(map) => json!({ "M": item_to_json(map) }),
            Self::Ss(set) => json!({ "SS": set }),
            Self::Ns(set) => {
                json!({ "NS": set.iter().map(ToString::to_string).collect::<Vec<_>>() })
            }
            Self::Bs(set) => {
                json!({ "BS": set.iter().map(|b| STANDARD.encode_to_string(b)).collect::<Vec<_>>() })
            }
        }
    }

    /// The value as the SDK's users hold it.
    pub(crate) fn to_sdk(&self) -> AttributeValue {
        match self {
            Self::S(text) => AttributeValue::S(text.clone()),
            Self::N(number) => AttributeValue::N(number.to_string()),
            Self::B(bytes) => AttributeValue::B(Blob::new(bytes.clone())),
            Self::Bool(flag) => AttributeValue::Bool(*flag),
            Self::Null => AttributeValue::Null(true),
            Self::L(list) => AttributeValue::L(list.iter().map(Self::to_sdk).collect()),
            Self::M(map) => AttributeValue::M(item_to_sdk(map)),
            Self::Ss(set) => AttributeValue::Ss(set.iter().cloned().collect()),
            Self::Ns(set) => AttributeValue::Ns(set.iter().map(ToString::to_string).collect()),
            Self::Bs(set) => AttributeValue::Bs(set.iter().map(|b| Blob::new(b.clone())).collect()),
        }
    }

    /// A value that a test hands over; `None` where DynamoDB would refuse it.
    pub(crate) fn from_sdk(value: &AttributeValue) -> Option<Self> {
        Some(match value {
            AttributeValue::S(text) => Self::S(text.clone()),
            AttributeValue::N(text) => Self::N(Decimal::parse(text).ok()?),
            AttributeValue::B(blob) => Self::B(blob.as_ref().to_vec()),
            AttributeValue::Bool(flag) => Self::Bool(*flag),
            AttributeValue::Null(_) => Self::Null,
            AttributeValue::L(list) => {
                Self::L(list.iter().map(Self::from_sdk).collect::<Option<_>>()?)
            }
            AttributeValue::M(map) => Self::M(
                map.iter()
                    .map(|(name, value)| Some((name.clone(), Self::from_sdk(value)?)))
                    .collect::<Option<_>>()?,
            ),
            AttributeValue::Ss(set) => Self::Ss(set.iter().cloned().collect()),
            AttributeValue::Ns(set) => Self::Ns(
                set.iter()
                    .map(|text| Decimal::parse(text).ok())
                    .collect::<Option<_>>()?,
            ),
            AttributeValue::Bs(set) => {
                Self::Bs(set.iter().map(|blob| blob.as_ref().to_vec()).collect())
            }
            _ => return None,
        })
    }

    /// Stored bytes. (AWS: "DynamoDB item sizes and formats"; measured against DynamoDB Local.)
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::B(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::L(list) => 3 + list.iter().map(|value| 1 + value.size()).sum::<usize>(),
            Self::M(map) => 3 + map.len() + item_size(map),
            Self::Ss(set) => set.iter().map(String::len).sum(),
            Self::Ns(set) => set.iter().map(Decimal::size).sum(),
            Self::Bs(set) => set.iter().map(Vec::len).sum(),
        }
    }

    /// Returns the result of `size()` in an expression; none for numbers and flags.
    pub(crate) fn length(&self) -> Option<usize> {
        match self {
            Self::S(text) => Some(text.len()),
            Self::B(bytes) => Some(bytes.len()),
            Self::L(list) => Some(list.len()),
            Self::M(map) => Some(map.len()),
            Self::Ss(set) => Some(set.len()),
            Self::Ns(set) => Some(set.len()),
            Self::Bs(set) => Some(set.len()),
            Self::N(_) | Self::Bool(_) | Self::Null => None,
        }
    }

    /// Levels of lists and maps below this value.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::L(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::M(map) => 1 + map.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }
}

pub(crate) const TOO_DEEP: &str = "Nesting Levels have exceeded supported limits: Attributes in the \
    item have nested levels beyond supported limit";

const EMPTY_VALUE: &str =
    "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";

/// The number of stored bytes of an item: its names and its values.
pub(crate) fn item_size(item: &Item) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + value.size())
        .sum()
}

/// Reads the attributes of an item or a key.
pub(crate) fn item_from_json(json: &Json) -> Result<Item, Refusal> {
    read_members(json, 0)
}

fn read_members(json: &Json, depth: usize) -> Result<Item, Refusal> {
    let Json::Object(members) = json else {
        return Err(unexpected("a map of attributes is no structure"));
    };
    members
        .iter()
        .map(|(name, value)| {
            if name.is_empty() {
                return Err(Refusal::invalid_values("Empty attribute name"));
            }
            Ok((name.clone(), Value::read(value, depth)?))
        })
        .collect()
}

/// DynamoDB JSON of an item.
pub(crate) fn item_to_json(item: &Item) -> Json {
    Json::Object(
        item.iter()
            .map(|(name, value)| (name.clone(), value.to_json()))
            .collect(),
    )
}

/// The item as the SDK's users hold it.
pub(crate) fn item_to_sdk(item: &Item) -> HashMap<String, AttributeValue> {
    item.iter()
        .map(|(name, value)| (name.clone(), value.to_sdk()))
        .collect()
}

pub(crate) fn unexpected(what: &str) -> Refusal {
    Refusal::serialization(format!("Unexpected value type in payload: {what}"))
}

fn text(json: &Json) -> Result<&str, Refusal> {
    match json {
        Json::String(text) => Ok(text),
        Json::Number(_) => Err(Refusal::serialization(
            "NUMBER_VALUE cannot be converted to String",
        )),
        Json::Bool(true) => Err(Refusal::serialization(
            "TRUE_VALUE cannot be converted to String",
        )),
        Json::Bool(false) => Err(Refusal::serialization(
            "FALSE_VALUE cannot be converted to String",
        )),
        Json::Null => Err(Refusal::validation(EMPTY_VALUE)),
        Json::Array(_) | Json::Object(_) => Err(unexpected("a string was expected")),
    }
}

fn number(text: &str) -> Result<Decimal, Refusal> {
    Decimal::parse(text).map_err(|error| Refusal::validation(error.message()))
}

fn bytes(json: &Json) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode_to_vec(text(json)?).map_err(|_| {
        Refusal::serialization("Base64 encoded length is unexpected or content is invalid")
    })
}

fn list(json: &Json) -> Result<&[Json], Refusal> {
    match json {
        Json::Array(list) => Ok(list),
        _ => Err(unexpected("a list was expected")),
    }
}

fn set<T: Ord>(
    json: &Json,
    noun: &str,
    kind: &str,
    mut element: impl FnMut(&Json) -> Result<T, Refusal>,
) -> Result<BTreeSet<T>, Refusal> {
    let elements = list(json)?;
    if elements.is_empty() {
        // The doubled space and the article are DynamoDB's.
        return Err(Refusal::invalid_values(&format!(
            "An {noun} set  may not be empty"
        )));
    }
    let mut set = BTreeSet::new();
    for json in elements {
        if !set.insert(element(json)?) {
            return Err(match kind {
                "NS" => Refusal::validation("Input collection contains duplicates"),
                "SS" => Refusal::invalid_values(&format!(
                    "Input collection [{}] contains duplicates",
                    elements
                        .iter()
                        .filter_map(Json::as_str)
                        .collect::<Vec<_>>()
                        .join(", ")
                )),
                _ => Refusal::invalid_values(&format!(
                    "Input collection of type {kind} contains duplicates."
                )),
            });
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests;
