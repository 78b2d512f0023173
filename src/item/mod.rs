//! A record's wire form: encode, decode, size, key.

mod schema;

pub use schema::{IndexShape, KeyAttribute, KeyKind, KeySchema, TableShape};
