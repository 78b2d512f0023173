//! A record's wire form: encode, decode, size, key.
//!
//! A record maps to an item as in `serde_dynamo`. serde has no sets: a field becomes one by
//! [`string_set`], [`number_set`] or [`binary_set`], which are that crate's.
//!
//! ```
//! use dynamodb_connector::item::string_set;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Decision {
//!     pk: String,
//!     #[serde(with = "string_set")]
//!     rules: Vec<String>, // {"SS":["age","income"]}, not a list
//! }
//! ```

mod attributes;
mod compare;
mod compound;
#[cfg_attr(
    not(feature = "streams"),
    expect(unreachable_pub, reason = "its error is public where streams are")
)]
mod decode;
mod elements;
mod encode;
mod error;
mod escape;
mod float;
mod index_set;
mod json;
mod key;
mod limits;
#[cfg(any(test, fuzzing))]
pub(crate) mod mapping;
#[cfg(test)]
mod mapping_tests;
mod marked;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod names;
mod number;
mod raw;
mod record;
mod refuse;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod seeded;
mod serializer;
mod set;
mod shape;
mod writer;

#[cfg(feature = "streams")]
pub use decode::DecodeError;
#[doc(inline)]
pub use dynamodb_table_spec::{KeyAttribute, KeyKind, KeySchema, Projection};
pub use error::ItemError;
pub use record::Item;
pub use serde_dynamo::{binary_set, number_set, string_set};
pub use shape::{IndexShape, TableShape};

pub(crate) use compare::same;
#[cfg(feature = "streams")]
pub(crate) use decode::{attributes, decode_item};
pub(crate) use encode::{
    Encoded, check_json, encode, encode_attribute_value, encode_attributes, encode_key,
    encode_key_attributes, encode_value,
};
#[cfg(feature = "streams")]
pub(crate) use error::Fault;
pub(crate) use index_set::IndexSet;
#[cfg(any(test, fuzzing))]
pub(crate) use json::parse;
#[cfg(feature = "streams")]
pub(crate) use json::{elements, entries};
pub(crate) use key::Key;
pub(crate) use limits::write_units;
pub(crate) use marked::MARKED_NUMBER;
#[cfg(feature = "streams")]
pub(crate) use raw::Scanner;
pub(crate) use raw::{find_attribute, key_of_json};
