//! Attribute values of what a line holds. No message quotes a value.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::item::KeyKind;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub(super) type Item = HashMap<String, AttributeValue>;

/// The type that a column's text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Number,
    /// In base64.
    Binary,
    Boolean,
}

impl From<KeyKind> for Type {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::String => Self::String,
            KeyKind::Number => Self::Number,
            KeyKind::Binary => Self::Binary,
        }
    }
}

impl Type {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "S" => Self::String,
            "N" => Self::Number,
            "B" => Self::Binary,
            "BOOL" => Self::Boolean,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::String => "S",
            Self::Number => "N",
            Self::Binary => "B",
            Self::Boolean => "BOOL",
        }
    }

    /// Reads a text. Whether a number is one is checked with the item.
    pub(super) fn read(self, text: &str) -> Result<AttributeValue, &'static str> {
        Ok(match self {
            Self::String => AttributeValue::S(text.to_owned()),
            Self::Number => AttributeValue::N(text.to_owned()),
            Self::Binary => AttributeValue::B(base64(text)?),
            Self::Boolean => AttributeValue::Bool(match text {
                "true" => true,
                "false" => false,
                _ => return Err("is neither true nor false"),
            }),
        })
    }
}

fn base64(text: &str) -> Result<Blob, &'static str> {
    let bytes = base64_simd::STANDARD.decode_to_vec(text);
    bytes.map(Blob::new).map_err(|_| "is not base64")
}

/// Reads a line of JSON: an item as plain JSON whose keys take the given types, or an item of an export, `{"Item":{…}}`.
pub(super) fn item(line: &str, keys: &HashMap<String, Type>) -> Result<Item, String> {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(line).map_err(|error| format!("no JSON object: {}", fault(&error)))?;
    if let Some(item) = members.get("Item")
        && members.len() == 1
        && !keys.contains_key("Item")
    {
        return exported(item);
    }
    let read = |(name, value): (String, &RawValue)| {
        let value = plain(value)?;
        let value = match keys.get(&name) {
            Some(kind) => as_key(value, *kind).map_err(|what| format!("key {name:?} {what}"))?,
            None => value,
        };
        Ok((name, value))
    };
    members.into_iter().map(read).collect()
}

/// Numbers are taken as they are written: as `f64` they would lose digits.
fn plain(value: &RawValue) -> Result<AttributeValue, String> {
    let text = value.get();
    let failed = |error: serde_json::Error| format!("no JSON: {}", fault(&error));
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> =
                serde_json::from_str(text).map_err(failed)?;
            let read = |(name, value): (String, &RawValue)| Ok((name, plain(value)?));
            AttributeValue::M(
                members
                    .into_iter()
                    .map(read)
                    .collect::<Result<_, String>>()?,
            )
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(failed)?;
            let values = elements.into_iter().map(plain);
            AttributeValue::L(values.collect::<Result<_, _>>()?)
        }
        Some(b'"') => AttributeValue::S(serde_json::from_str(text).map_err(failed)?),
        Some(b't') => AttributeValue::Bool(true),
        Some(b'f') => AttributeValue::Bool(false),
        Some(b'n') => AttributeValue::Null(true),
        _ => AttributeValue::N(text.to_owned()),
    })
}

/// Gives a key the table's type: JSON has no binary, and programs differ in what they quote.
fn as_key(value: AttributeValue, kind: Type) -> Result<AttributeValue, &'static str> {
    match (value, kind) {
        (AttributeValue::N(text) | AttributeValue::S(text), kind) => kind.read(&text),
        (other, _) => Ok(other),
    }
}

/// The item of an export's line, in DynamoDB's JSON.
fn exported(item: &RawValue) -> Result<Item, String> {
    let failed = |error: serde_json::Error| format!("no item of an export: {}", fault(&error));
    let members: BTreeMap<String, Value> = serde_json::from_str(item.get()).map_err(failed)?;
    let read = |(name, value): (String, Value)| {
        let value = typed(value).map_err(|what| format!("attribute {name:?} {what}"))?;
        Ok((name, value))
    };
    members.into_iter().map(read).collect()
}

fn typed(value: Value) -> Result<AttributeValue, &'static str> {
    const NOT_TYPED: &str = "is not in DynamoDB's JSON, e.g. {\"S\":\"…\"}";
    let Value::Object(members) = value else {
        return Err(NOT_TYPED);
    };
    let mut members = members.into_iter();
    let (Some((kind, value)), None) = (members.next(), members.next()) else {
        return Err(NOT_TYPED);
    };
    let texts = |value| Vec::<String>::deserialize::<Value>(value).map_err(|_| NOT_TYPED);
    Ok(match (kind.as_str(), value) {
        ("S", Value::String(text)) => AttributeValue::S(text),
        ("N", Value::String(text)) => AttributeValue::N(text),
        ("B", Value::String(text)) => AttributeValue::B(base64(&text)?),
        ("BOOL", Value::Bool(flag)) => AttributeValue::Bool(flag),
        ("NULL", Value::Bool(flag)) => AttributeValue::Null(flag),
        ("SS", value) => AttributeValue::Ss(texts(value)?),
        ("NS", value) => AttributeValue::Ns(texts(value)?),
        ("BS", value) => {
            let blobs = texts(value)?.into_iter().map(|text| base64(&text));
            AttributeValue::Bs(blobs.collect::<Result<_, _>>()?)
        }
        ("L", Value::Array(values)) => {
            AttributeValue::L(values.into_iter().map(typed).collect::<Result<_, _>>()?)
        }
        ("M", Value::Object(members)) => {
            let read = |(name, value)| Ok::<_, &'static str>((name, typed(value)?));
            AttributeValue::M(members.into_iter().map(read).collect::<Result<_, _>>()?)
        }
        _ => return Err(NOT_TYPED),
    })
}

/// The fault and its place. Messages about a value's type would quote it.
fn fault(error: &serde_json::Error) -> String {
    if error.is_data() {
        return format!("a value of another type at column {}", error.column());
    }
    error.to_string().replace("line 1 ", "")
}
