//! The table's part.

use super::index::IndexSpec;
use super::keys::{KeyKind, KeySchema};
use super::view::StreamView;

/// The specification of a table to create: its name, keys, indexes, capacity and stream.
///
/// The default is an on-demand table without indexes, whose key is a string named `pk`.
///
/// ```
/// # use dynamodb_table_spec::{IndexSpec, KeyKind, TableSpec};
/// let decisions = TableSpec::new("decisions")
///     .partition("customer", KeyKind::String)
///     .sort("at", KeyKind::Number)
///     .index(IndexSpec::global("by_status").partition("status", KeyKind::String))
///     .provisioned(5, 100);
/// assert_eq!(decisions.name(), "decisions");
/// ```
#[derive(Clone, Debug)]
pub struct TableSpec {
    #[doc(hidden)]
    pub name: String,
    #[doc(hidden)]
    pub keys: KeySchema,
    #[doc(hidden)]
    pub indexes: Vec<IndexSpec>,
    #[doc(hidden)]
    pub billing: Billing,
    #[doc(hidden)]
    pub stream: Option<StreamView>,
}

/// The capacity mode of a table.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    OnDemand { max_write_units: Option<u64> },
    Provisioned { read: u64, write: u64 },
}

impl TableSpec {
    /// A table of this name with a string partition key named `pk`, on demand.
    ///
    /// The name has 3 to 255 characters of `a-z`, `A-Z`, `0-9`, `_`, `-` and `.`; creating the
    /// table fails otherwise.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            keys: default_keys(),
            indexes: Vec::new(),
            billing: Billing::OnDemand {
                max_write_units: None,
            },
            stream: None,
        }
    }

    /// Returns the table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names the partition key. Default: `pk`, a string.
    #[must_use]
    pub fn partition(mut self, name: impl Into<String>, kind: KeyKind) -> Self {
        self.keys = with_partition(&self.keys, name, kind);
        self
    }

    /// Names the sort key. Default: none.
    #[must_use]
    pub fn sort(mut self, name: impl Into<String>, kind: KeyKind) -> Self {
        self.keys = self.keys.with_sort(name, kind);
        self
    }

    /// Adds a secondary index.
    #[must_use]
    pub fn index(mut self, index: IndexSpec) -> Self {
        self.indexes.push(index);
        self
    }

    /// Makes the table a provisioned one, in read and write units per second, at least 1 each.
    #[must_use]
    pub fn provisioned(mut self, read_units: u64, write_units: u64) -> Self {
        self.billing = Billing::Provisioned {
            read: read_units,
            write: write_units,
        };
        self
    }

    /// Makes the table an on-demand one with at most this many write units per second, at least 1.
    #[must_use]
    pub fn on_demand_at_most(mut self, write_units: u64) -> Self {
        self.billing = Billing::OnDemand {
            max_write_units: Some(write_units),
        };
        self
    }

    /// Gives the table a stream of its changes. Default: none.
    #[must_use]
    pub fn stream(mut self, view: StreamView) -> Self {
        self.stream = Some(view);
        self
    }
}

pub(super) fn default_keys() -> KeySchema {
    KeySchema::new("pk", KeyKind::String)
}

/// The same key with another partition key.
pub(super) fn with_partition(
    keys: &KeySchema,
    name: impl Into<String>,
    kind: KeyKind,
) -> KeySchema {
    let renamed = KeySchema::new(name, kind);
    match keys.sort() {
        Some(sort) => renamed.with_sort(sort.name(), sort.kind()),
        None => renamed,
    }
}
