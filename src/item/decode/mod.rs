//! Items in DynamoDB's JSON, read straight into types.
//!
//! A page of a stream holds up to a thousand records with two images each. Through the SDK's
//! `AttributeValue`s every attribute would cost a string for its name, a string for its value and a
//! place in a hash map, only to be taken apart again. Here the text is walked once, and serde's
//! values are made directly.
//!
//! The mapping is that of `serde_dynamo::from_item`. Where that has a reading, this has the same.
//! In addition there are: texts without escapes, which can be borrowed; 128-bit integers, which
//! `serde_dynamo` writes but does not read; newtypes and options as members of sets. An attribute
//! that no field asks for is skipped unread, of any type. An item that names an attribute twice
//! comes from no DynamoDB: its reading is up to the type.
//!
//! ```text
//! Value ── a map ──▶ Entries ── Name, then Value ── …
//!   │───── a list ──▶ Elements ── Value ── …
//!   │───── a set ──▶ Members ── Text | Number | Binary
//!   │───── an enum ──▶ Variant ── Value ── …
//!   └───── a scalar ──▶ Text | Number | Binary
//! ```

mod access;
mod error;
mod kind;
mod scalar;
mod value;
mod variant;

#[cfg(test)]
mod mapping_tests;
#[cfg(test)]
mod tests;

pub use error::DecodeError;

use self::error::Fault;
use self::value::Value;
use super::scanner::Scanner;
use serde::Deserialize;
#[cfg(any(test, feature = "streams"))]
use {super::json::parse, aws_sdk_dynamodb::types::AttributeValue, std::collections::HashMap};

/// Reads an item in DynamoDB's JSON as a type.
///
/// # Errors
///
/// Where the item does not fit the type, or the bytes are no item.
pub(crate) fn decode_item<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, DecodeError> {
    let mut scanner = Scanner::new(json);
    let item = Value::item(&mut scanner).take(|value| T::deserialize(value))?;
    scanner.end().map_err(Fault::from)?;
    Ok(item)
}

/// Reads an item in DynamoDB's JSON into the SDK's form.
///
/// # Errors
///
/// Where the bytes are no item.
#[cfg(any(test, feature = "streams"))]
pub(crate) fn attributes(json: &[u8]) -> Result<HashMap<String, AttributeValue>, DecodeError> {
    parse(json).map_err(DecodeError::from)
}
