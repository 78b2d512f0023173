//! A record's wire form: encode, decode, size, key.
//!
//! A sink must know of each record what DynamoDB will make of it: the bytes of its JSON, its size
//! as stored, its key, the indexes that it is in, and every rule that it breaks. The AWS SDK takes
//! a tree of `AttributeValue` with an allocation for each name and value, and knows none of that.
//! So a record is **encoded once**, straight from serde to DynamoDB's JSON, and the rest is worked
//! out in the same pass. That one buffer is queued, batched, sent again and stored in snapshots.
//!
//! ```text
//!  T: Serialize ────▶ serializer ─┐                    ┌▶ JSON ──────────▶ request body
//!  AttributeValue ──▶ attributes ─┼─▶ Writer ─▶ encode ┼▶ size as stored ▶ write units, limits
//!  JSON ─▶ Scanner ─▶ json ───────┘   (rules)          ├▶ Key ───────────▶ order of one item's writes
//!                                                      └▶ IndexSet ──────▶ units of indexes
//!
//!  JSON of an answer or a stream ─▶ Scanner ─▶ decode ─▶ T: Deserialize
//! ```
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
//!
//! | file | owns |
//! |---|---|
//! | `encode` | a record, a key or a value encoded, and the checks that need the whole item |
//! | `serializer`, `compound`, `variants`, `set` | the serde side: values, lists and maps, enum variants, sets |
//! | `attribute` | a value of any type, kept exactly |
//! | `attributes`, `json` | the other two ways in: the SDK's form, and JSON from outside |
//! | `writer`, `names` | the buffer, the size and the rules; equal names in one map |
//! | `scanner`, `find` | a walk over JSON that builds nothing; attributes and keys found by it |
//! | `decode` | items read straight into types |
//! | `key`, `number` | keys and numbers in canonical form, to compare and to hash |
//! | `escape`, `float` | JSON strings; the shortest text of a float |
//! | `limits` | DynamoDB's limits on one item, and the units of a write |
//! | `shape`, `index_set` | the keys of a table and its indexes; the indexes that an item is in |
//! | `error`, `fault` | the error, and its form while the encoder unwinds |
//! | `record`, `compare` | an item that is handed back; equality by value |
//! | `marked`, `elements`, `unsupported` | what serializers share: private markers, and methods written by macros |
//! | `model`, `mapping` | tests alone: any value of serde's, held to `serde_dynamo`'s mapping |
//!
//! **Circles.** Values nest, and so do the files that write them (`serializer`, `compound`, `variants`,
//! `attribute`, `attributes`, `json`, `encode`) and read them (`decode`'s `value`, `access`,
//! `variant`). `writer` keeps the names of each open map and the members of a set, by `names` and
//! `set`, which write through it.
//!
//! **Why not `serde_dynamo`, then the SDK**: a tree is built and taken apart again, and size and
//! key take two more walks; together three times the CPU. **Why not `serde_json::Value` in
//! between**: it knows neither sets nor bytes, and numbers of 38 digits lose some.

mod attribute;
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
mod fault;
mod find;
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
mod record;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
pub(crate) mod samples;
mod scanner;
#[cfg(test)]
mod seeded;
mod serializer;
mod set;
mod shape;
mod unsupported;
mod variants;
mod writer;

pub use attribute::Attribute;
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
pub(crate) use fault::Fault;
pub(crate) use find::{find_attribute, key_of_json};
pub(crate) use index_set::IndexSet;
#[cfg(any(test, fuzzing))]
pub(crate) use json::parse;
#[cfg(feature = "streams")]
pub(crate) use json::{elements, entries};
pub(crate) use key::Key;
pub(crate) use limits::write_units;
pub(crate) use marked::MARKED_NUMBER;
#[cfg(feature = "streams")]
pub(crate) use scanner::Scanner;
