//! Items that are handed back.

use super::ItemError;
use super::decode::decode_item;
use super::json::parse;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt;

/// An item as it goes over the wire, read only when asked for.
///
/// Cloning is cheap: clones share the bytes. `Debug` shows the size and nothing of the contents.
#[derive(Clone)]
pub struct Item {
    json: Bytes,
}

impl Item {
    /// Returns an item of bytes that are DynamoDB's JSON.
    pub(crate) fn from_json(json: Bytes) -> Self {
        Self { json }
    }

    /// Returns the item in DynamoDB's JSON, such as `{"pk":{"S":"a"}}`.
    pub fn as_json(&self) -> &[u8] {
        &self.json
    }

    /// Returns the item in the SDK's form.
    ///
    /// # Errors
    ///
    /// [`ItemError::Json`] where the bytes are no item; those that this crate encoded or DynamoDB
    /// answered always are.
    pub fn to_attributes(&self) -> Result<HashMap<String, AttributeValue>, ItemError> {
        parse(&self.json)
    }

    /// Reads the item as a type of yours, by `serde_dynamo`'s mapping.
    ///
    /// # Errors
    ///
    /// [`ItemError::Decode`] where the item doesn't fit. It names the type only, because serde's message
    /// may quote the item; to see that, pass [`to_attributes`](Self::to_attributes) to
    /// `serde_dynamo::from_item`.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ItemError> {
        decode_item(&self.json).map_err(|_| ItemError::Decode {
            wanted: std::any::type_name::<T>(),
        })
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("json_bytes", &self.json.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(json: &'static str) -> Item {
        Item::from_json(Bytes::from_static(json.as_bytes()))
    }

    #[test]
    fn sets_are_read_and_written_by_the_same_modules() {
        use crate::item::{KeyKind, KeySchema, TableShape, encode, number_set, string_set};

        #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
        struct Decision {
            pk: String,
            #[serde(with = "string_set")]
            rules: Vec<String>,
            #[serde(with = "number_set")]
            scores: Vec<u64>,
        }
        let json = r#"{"pk":{"S":"k"},"rules":{"SS":["age","income"]},"scores":{"NS":["7","8"]}}"#;
        let read: Decision = item(json).deserialize().unwrap();
        assert_eq!(read.rules, ["age", "income"]);
        assert_eq!(read.scores, [7, 8]);
        let shape = TableShape::new(KeySchema::new("pk", KeyKind::String));
        assert_eq!(encode(&read, &shape).unwrap().json, json.as_bytes());
    }

    #[test]
    fn an_item_is_read_in_three_ways() {
        #[derive(serde::Deserialize, Debug, PartialEq)]
        struct Record {
            pk: String,
            n: u8,
        }
        let json = r#"{"pk":{"S":"k"},"n":{"N":"7"}}"#;
        assert_eq!(item(json).as_json(), json.as_bytes());
        assert_eq!(
            item(json).to_attributes().unwrap()["n"],
            AttributeValue::N("7".to_owned())
        );
        let record: Record = item(json).deserialize().unwrap();
        assert_eq!(
            record,
            Record {
                pk: "k".to_owned(),
                n: 7
            }
        );
    }

    #[test]
    fn neither_debug_nor_errors_show_the_contents() {
        let secret = item(r#"{"n":{"S":"secret"}}"#);
        assert_eq!(format!("{secret:?}"), "Item { json_bytes: 20, .. }");
        let error = secret.deserialize::<HashMap<String, u8>>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
        assert!(
            error
                .to_string()
                .starts_with("the item does not read as `std::collections")
        );
    }
}
