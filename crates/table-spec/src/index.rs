//! The indexes' part.

use super::keys::{KeyKind, KeySchema, Projection};
use super::spec::{default_keys, with_partition};

/// A secondary index of a [`TableSpec`](super::TableSpec). All attributes are projected until said
/// otherwise.
#[derive(Clone, Debug)]
pub struct IndexSpec {
    #[doc(hidden)]
    pub name: String,
    #[doc(hidden)]
    pub keys: KeySchema,
    #[doc(hidden)]
    pub local: bool,
    /// Provisioned read and write units, where the table is a provisioned one.
    #[doc(hidden)]
    pub provisioned: Option<(u64, u64)>,
    /// The most write units of a global index, where the table is on demand.
    #[doc(hidden)]
    pub max_write_units: Option<u64>,
    #[doc(hidden)]
    pub projection: Projection,
}

impl IndexSpec {
    /// A global index with a string partition key named `pk`, until said otherwise.
    pub fn global(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            keys: default_keys(),
            local: false,
            provisioned: None,
            max_write_units: None,
            projection: Projection::All,
        }
    }

    /// A local index: give it the table's partition key and a sort key of its own.
    pub fn local(name: impl Into<String>) -> Self {
        Self {
            local: true,
            ..Self::global(name)
        }
    }

    /// Names the index's partition key. Default: `pk`, a string.
    #[must_use]
    pub fn partition(mut self, name: impl Into<String>, kind: KeyKind) -> Self {
        self.keys = with_partition(&self.keys, name, kind);
        self
    }

    /// Names the index's sort key. Default: none.
    #[must_use]
    pub fn sort(mut self, name: impl Into<String>, kind: KeyKind) -> Self {
        self.keys = self.keys.with_sort(name, kind);
        self
    }

    /// Gives a global index of a provisioned table read and write units of its own, at least 1
    /// each. Default: as many as the table has.
    #[must_use]
    pub fn provisioned(mut self, read_units: u64, write_units: u64) -> Self {
        self.provisioned = Some((read_units, write_units));
        self
    }

    /// Gives a global index of an on-demand table at most this many write units per second, at
    /// least 1. Default: no limit.
    #[must_use]
    pub fn on_demand_at_most(mut self, write_units: u64) -> Self {
        self.max_write_units = Some(write_units);
        self
    }

    /// Projects the keys of the index and of the table alone. Default: all attributes.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.projection = Projection::KeysOnly;
        self
    }

    /// Projects the keys and these attributes, at least one. Default: all attributes.
    ///
    /// ```
    /// # use dynamodb_table_spec::IndexSpec;
    /// let index = IndexSpec::global("by_status").include(["status", "at"]);
    /// # drop(index);
    /// ```
    #[must_use]
    pub fn include<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.projection = Projection::Include(names.into_iter().map(Into::into).collect());
        self
    }
}
