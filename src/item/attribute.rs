//! A value of any type, exactly as DynamoDB holds it.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::{self, Deserializer, Visitor};
use serde::ser::{self, Serializer};
use serde::{Deserialize, Serialize};

use super::encode::encode_attribute_value;
use super::json::parse_attribute;

/// The name of the newtype that stands for an attribute: it holds DynamoDB's JSON.
pub(super) const ATTRIBUTE: &str = "$dynamodb_connector::Attribute";

/// A value of any type, exactly as DynamoDB holds it: numbers keep all their digits, and binary
/// values and sets their types.
///
/// It is for attributes whose type is not known when the program is written. `serde_json::Value`
/// reads most items too, but it rounds numbers to 17 digits, and has no binary values and no sets.
/// As a field, or as the values of a map, it is read from the changes of a stream and from an
/// [`Item`](super::Item), and written by a sink. It can't be read through `#[serde(flatten)]`,
/// `#[serde(untagged)]` or `#[serde(tag = "…")]`, which first read their input into a form of
/// serde's own, and it is no member of a set: a set as a whole is an `Attribute`. Serializers of other
/// crates write its DynamoDB JSON as a text.
///
/// ```
/// use std::collections::HashMap;
///
/// use dynamodb_connector::item::Attribute;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, Serialize)]
/// struct Decision {
///     id: String,
///     result: Attribute, // of any type
/// }
///
/// type AnyItem = HashMap<String, Attribute>; // the `T` of a `Batch<T>`, say
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute(pub AttributeValue);

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Json;

        impl<'de> Visitor<'de> for Json {
            type Value = Attribute;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute of an item, neither flattened nor untagged")
            }

            fn visit_borrowed_bytes<E: de::Error>(self, json: &'de [u8]) -> Result<Attribute, E> {
                parse_attribute(json).map(Attribute).map_err(E::custom)
            }
        }

        deserializer.deserialize_newtype_struct(ATTRIBUTE, Json)
    }
}

impl Serialize for Attribute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = encode_attribute_value(&self.0).map_err(ser::Error::custom)?;
        let json = String::from_utf8(json).map_err(ser::Error::custom)?;
        serializer.serialize_newtype_struct(ATTRIBUTE, &json)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::primitives::Blob;
    use bytes::Bytes;

    use super::*;
    use crate::item::{Item, ItemError, KeyKind, KeySchema, TableShape, encode};

    const JSON: &str = r#"{"id":{"S":"a"},"v":{"M":{"b":{"B":"AQI="},"n":{"N":"12345678901234567890.123456789012345678"},"l":{"L":[{"NULL":true},{"BOOL":true},{"SS":["x","y"]},{"NS":["1","2.5"]},{"BS":["AQ=="]}]}}}}"#;

    fn shape() -> TableShape {
        TableShape::new(KeySchema::new("id", KeyKind::String))
    }

    fn item(json: &'static str) -> Item {
        Item::from_json(Bytes::from_static(json.as_bytes()))
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Row {
        id: String,
        v: Attribute,
    }

    #[test]
    fn a_value_of_any_type_is_read_and_written_back_as_it_was() {
        let row: Row = item(JSON).deserialize().expect("it reads");
        let map = row.v.0.as_m().expect("a map");
        let number = "12345678901234567890.123456789012345678".to_owned();
        assert_eq!(map["n"], AttributeValue::N(number));
        assert_eq!(map["b"], AttributeValue::B(Blob::new([1, 2])));
        let json = encode(&row, &shape()).expect("it is written").json;
        let again: Row = Item::from_json(json.into())
            .deserialize()
            .expect("it reads");
        assert_eq!(again, row);
    }

    #[test]
    fn all_attributes_of_an_item_are_read_and_written_as_a_map() {
        let all: HashMap<String, Attribute> = item(JSON).deserialize().expect("it reads");
        assert_eq!(all["id"], Attribute(AttributeValue::S("a".to_owned())));
        let options: HashMap<String, Option<Attribute>> =
            item(r#"{"id":{"S":"a"},"v":{"NULL":true}}"#)
                .deserialize()
                .expect("it reads");
        assert_eq!(options["v"], None);
        let json = encode(&all, &shape()).expect("it is written").json;
        let again: HashMap<String, Attribute> = Item::from_json(json.into())
            .deserialize()
            .expect("it reads");
        assert_eq!(again, all);
    }

    #[test]
    fn a_value_that_an_item_cannot_hold_is_not_written() {
        let row = Row {
            id: "a".to_owned(),
            v: Attribute(AttributeValue::N("one".to_owned())),
        };
        let error = encode(&row, &shape()).expect_err("it is no number");
        assert!(!matches!(error, ItemError::Json { .. }), "{error}");
        assert!(!error.to_string().contains("one\""), "{error}");
    }

    #[test]
    fn it_is_no_member_of_a_set() {
        #[derive(Serialize)]
        struct Set {
            id: String,
            #[serde(with = "crate::item::string_set")]
            v: Vec<Attribute>,
        }
        let text = || Attribute(AttributeValue::S("x".to_owned()));
        let set = Set {
            id: "a".to_owned(),
            v: vec![text()],
        };
        let error = encode(&set, &shape()).expect_err("it is refused");
        assert!(
            error.to_string().contains("an attribute of any type"),
            "{error}"
        );
    }

    #[test]
    fn what_serde_reads_into_its_own_form_first_is_refused() {
        #[derive(Debug, Deserialize)]
        struct Flat {
            #[serde(flatten)]
            _rest: HashMap<String, Attribute>,
        }
        let error = item(JSON)
            .deserialize::<Flat>()
            .expect_err("it is flattened");
        assert!(!error.to_string().contains("AQI="), "{error}");
        assert!(serde_json::from_str::<Attribute>("1").is_err());
    }
}
