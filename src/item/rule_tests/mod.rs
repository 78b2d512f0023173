//! Every rule at its boundary, and every message. The boundaries are those of DynamoDB Local 3.1.0.

mod items;
mod values;

use super::limits::{MAX_ITEM_SIZE, MAX_NAME};
use super::*;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, Serializer};
use serde_dynamo::{binary_set::BinarySet, number_set::NumberSet, string_set::StringSet};
use std::collections::{BTreeMap, HashMap};

type Attributes = HashMap<String, AttributeValue>;

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn n(text: &str) -> AttributeValue {
    AttributeValue::N(text.to_owned())
}

fn shape() -> TableShape {
    TableShape::new(KeySchema::new("pk", KeyKind::String).with_sort("sk", KeyKind::Binary))
        .with_index(IndexShape::new(
            "by_email",
            KeySchema::new("email", KeyKind::String).with_sort("at", KeyKind::Number),
        ))
        .with_index(IndexShape::new(
            "by_kind",
            KeySchema::new("pk", KeyKind::String).with_sort("kind", KeyKind::String),
        ))
}

/// An item with a fit key and these attributes over it.
fn item<const N: usize>(more: [(&str, AttributeValue); N]) -> Attributes {
    let keys = [("pk", s("p")), ("sk", AttributeValue::B(Blob::new("s")))];
    keys.into_iter()
        .chain(more)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Returns the answer of all three ways in, which must agree.
fn outcome(item: &Attributes) -> Result<usize, String> {
    let by_sdk = encode_attributes(item, &shape()).map(|e| e.stored_size);
    let typed: serde_dynamo::Item = item.clone().into();
    let by_serde = encode(&Typed(&typed), &shape()).map(|e| e.stored_size);
    assert_eq!(by_sdk, by_serde);
    if let Ok(encoded) = encode_attributes(item, &shape()) {
        let by_json = check_json(&encoded.json, &shape(), false).map(|e| e.stored_size);
        assert_eq!(by_sdk, by_json);
    }
    by_sdk.map_err(|error| error.to_string())
}

fn nested(levels: usize) -> AttributeValue {
    (0..levels).fold(s("x"), |value, level| {
        if level % 2 == 0 {
            AttributeValue::L(vec![value])
        } else {
            AttributeValue::M(HashMap::from([("m".to_owned(), value)]))
        }
    })
}

fn refusal<const N: usize>(more: [(&str, AttributeValue); N]) -> String {
    outcome(&item(more)).unwrap_err()
}

/// An item of `serde_dynamo` as the record that would have made it.
struct Typed<'a>(&'a serde_dynamo::Item);

struct TypedValue<'a>(&'a serde_dynamo::AttributeValue);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|(name, value)| (name, TypedValue(value))))
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0)
    }
}

impl Serialize for TypedValue<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde_dynamo::AttributeValue as Value;
        let number = |text: &String| text.parse::<f64>().unwrap();
        match self.0 {
            Value::N(text) => s.serialize_f64(number(text)),
            Value::S(text) => s.serialize_str(text),
            Value::Bool(value) => s.serialize_bool(*value),
            Value::B(bytes) => s.serialize_bytes(bytes),
            Value::Null(_) => s.serialize_unit(),
            Value::M(map) => s.collect_map(map.iter().map(|(k, v)| (k, TypedValue(v)))),
            Value::L(list) => s.collect_seq(list.iter().map(TypedValue)),
            Value::Ss(set) => StringSet(set).serialize(s),
            Value::Ns(set) => NumberSet(set.iter().map(number).collect::<Vec<_>>()).serialize(s),
            Value::Bs(set) => {
                BinarySet(set.iter().map(|b| Bytes(b)).collect::<Vec<_>>()).serialize(s)
            }
        }
    }
}
