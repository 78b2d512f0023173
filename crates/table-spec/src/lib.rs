//! The specification of a DynamoDB table: its keys, indexes, capacity and stream, and the rules of
//! `CreateTable`.
//!
//! This is data without I/O and without dependencies. `dynamodb-connector` describes tables by it,
//! and `faulty-dynamodb` makes tables of it; the two share no other code, since one tests the other.
//! A server of `dynamodb-connector` in process receives the same specification as a `CreateTable`.
//!
//! ```
//! use dynamodb_table_spec::{IndexSpec, KeyKind, TableSpec};
//!
//! let decisions = TableSpec::new("decisions")
//!     .partition("customer", KeyKind::String)
//!     .sort("at", KeyKind::Number)
//!     .index(IndexSpec::global("by_status").partition("status", KeyKind::String))
//!     .provisioned(5, 100);
//! assert_eq!(decisions.name(), "decisions");
//! ```
//!
//! A specification says what `CreateTable` takes and nothing else. What `CreateTable` would refuse
//! is refused when the table is created, with the same message on every server.
//!
//! | file | owns |
//! |---|---|
//! | `keys` | keys of tables and indexes, projections |
//! | `index`, `spec`, `view` | the specification of an index, a table, a stream |
//! | `rules` | the rules of `CreateTable` |
//!
//! Hidden items (fields, `Billing`, `TableSpec::check`) are for the two crates above. They change
//! without notice.

mod index;
mod keys;
mod rules;
mod spec;
#[cfg(test)]
mod tests;
mod view;

pub use index::IndexSpec;
pub use keys::{KeyAttribute, KeyKind, KeySchema, Projection};
#[doc(hidden)]
pub use rules::is_table_name;
#[doc(hidden)]
pub use spec::Billing;
pub use spec::TableSpec;
pub use view::StreamView;

/// The example of README.md, to be tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
