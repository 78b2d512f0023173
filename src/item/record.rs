//! Items that are handed back.

use super::ItemError;
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
    /// An item of bytes that are DynamoDB's JSON.
    pub(crate) fn from_json(json: Bytes) -> Self {
        Self { json }
    }

    /// The item in DynamoDB's JSON, such as `{"pk":{"S":"a"}}`.
    pub fn as_json(&self) -> &[u8] {
        &self.json
    }

    /// The item in the SDK's form.
    ///
    /// # Errors
    ///
    /// [`ItemError::Json`] where the bytes are no item; what this crate encoded or DynamoDB answered always is.
    pub fn to_attributes(&self) -> Result<HashMap<String, AttributeValue>, ItemError> {
        parse(&self.json)
    }

    /// The item as a type of yours, by `serde_dynamo`.
    ///
    /// # Errors
    ///
    /// [`ItemError::Decode`] where the item doesn't fit. It names the type only, because serde's message may
    /// quote the item; to see that, pass [`to_attributes`](Self::to_attributes) to `serde_dynamo::from_item`.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ItemError> {
        serde_dynamo::from_item(self.to_attributes()?).map_err(|_| ItemError::Decode {
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
