//! What a test says about a table and its indexes.

use std::borrow::Cow;

use super::key::{KeyAttribute, KeySchema, KeyType};
use super::streams::StreamView;
use super::throughput::Capacity;
use super::value::Item;

/// What a table looks like: its name, keys, indexes and capacity.
///
/// The default is an on-demand table without indexes. A partition key has to be given.
///
/// ```
/// use dynamodb_connector::test_util::{IndexSpec, KeyType, TableSpec};
///
/// let decisions = TableSpec::new("decisions")
///     .partition("customer", KeyType::S)
///     .sort("at", KeyType::N)
///     .index(IndexSpec::global("by_status").partition("status", KeyType::S))
///     .provisioned(5, 100);
/// assert_eq!(decisions.name(), "decisions");
/// ```
#[derive(Clone, Debug)]
pub struct TableSpec {
    pub(super) name: String,
    pub(super) keys: KeySchema,
    pub(super) indexes: Vec<IndexSpec>,
    pub(super) billing: Billing,
    /// What the table is said to take at once, `WarmThroughput.WriteUnitsPerSecond`.
    pub(super) warm: Option<u64>,
    pub(super) capacity: Option<Capacity>,
    pub(super) stream: Option<StreamView>,
    pub(super) stream_shards: usize,
}

/// How a table is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Billing {
    OnDemand { max_write_units: Option<u64> },
    Provisioned { read: u64, write: u64 },
}

impl TableSpec {
    /// A table of this name with a string partition key named `pk`, on demand.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            keys: default_keys(),
            indexes: Vec::new(),
            billing: Billing::OnDemand {
                max_write_units: None,
            },
            warm: None,
            capacity: None,
            stream: None,
            stream_shards: 1,
        }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names the partition key. Default: `pk`, a string.
    #[must_use]
    pub fn partition(mut self, name: impl Into<String>, kind: KeyType) -> Self {
        self.keys.partition = KeyAttribute::new(name, kind);
        self
    }

    /// Names the sort key. Default: none.
    #[must_use]
    pub fn sort(mut self, name: impl Into<String>, kind: KeyType) -> Self {
        self.keys.sort = Some(KeyAttribute::new(name, kind));
        self
    }

    /// Adds a secondary index.
    #[must_use]
    pub fn index(mut self, index: IndexSpec) -> Self {
        self.indexes.push(index);
        self
    }

    /// Makes the table a provisioned one, in read and write units per second.
    ///
    /// The numbers are reported by `DescribeTable`; the write units are enforced where
    /// [`enforce`](Self::enforce) says so.
    #[must_use]
    pub fn provisioned(mut self, read_units: u64, write_units: u64) -> Self {
        self.billing = Billing::Provisioned {
            read: read_units,
            write: write_units,
        };
        self
    }

    /// Makes the table an on-demand one with at most this many write units per second.
    ///
    /// The number is reported by `DescribeTable`, and enforced where [`enforce`](Self::enforce)
    /// says so.
    #[must_use]
    pub fn on_demand_at_most(mut self, write_units: u64) -> Self {
        self.billing = Billing::OnDemand {
            max_write_units: Some(write_units),
        };
        self
    }

    /// Refuses writes that exceed the table's capacity. Default: capacity is counted and reported,
    /// never refused. Reads are not limited.
    #[must_use]
    pub fn enforce(mut self, capacity: Capacity) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Gives the table a stream of its changes. Default: none.
    #[must_use]
    pub fn stream(mut self, view: StreamView) -> Self {
        self.stream = Some(view);
        self
    }

    /// The number of open shards that a stream of the table begins with. Default: 1; 0 counts as 1.
    #[must_use]
    pub fn stream_shards(mut self, shards: usize) -> Self {
        self.stream_shards = shards;
        self
    }
}

pub(super) fn default_keys() -> KeySchema {
    KeySchema {
        partition: KeyAttribute::new("pk", KeyType::S),
        sort: None,
    }
}

/// A secondary index of a [`TableSpec`]. All attributes are projected until said otherwise.
#[derive(Clone, Debug)]
pub struct IndexSpec {
    pub(super) name: String,
    pub(super) keys: KeySchema,
    pub(super) local: bool,
    /// Provisioned read and write units, where the table is a provisioned one.
    pub(super) provisioned: Option<(u64, u64)>,
    /// The most write units of a global index, where the table is on demand.
    pub(super) max_write_units: Option<u64>,
    pub(super) projection: Projection,
}

/// The attributes that an index holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Projection {
    All,
    KeysOnly,
    Include(Vec<String>),
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
            name: name.into(),
            keys: default_keys(),
            local: true,
            provisioned: None,
            max_write_units: None,
            projection: Projection::All,
        }
    }

    /// Names the index's partition key. Default: `pk`, a string.
    #[must_use]
    pub fn partition(mut self, name: impl Into<String>, kind: KeyType) -> Self {
        self.keys.partition = KeyAttribute::new(name, kind);
        self
    }

    /// Names the index's sort key. Default: none.
    #[must_use]
    pub fn sort(mut self, name: impl Into<String>, kind: KeyType) -> Self {
        self.keys.sort = Some(KeyAttribute::new(name, kind));
        self
    }

    /// Gives a global index read and write units of its own. Default: those of the table.
    #[must_use]
    pub fn provisioned(mut self, read_units: u64, write_units: u64) -> Self {
        self.provisioned = Some((read_units, write_units));
        self
    }

    /// Gives a global index of an on-demand table at most this many write units per second.
    /// Default: no limit.
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

    /// Projects the keys and these attributes. Default: all attributes.
    ///
    /// ```
    /// use dynamodb_connector::test_util::IndexSpec;
    ///
    /// let index = IndexSpec::global("by_status").include(["status", "at"]);
    /// # drop(index);
    /// ```
    #[must_use]
    pub fn include<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.projection = Projection::Include(names.into_iter().map(Into::into).collect());
        self
    }

    /// The part of an item that the index holds.
    pub(super) fn projected<'a>(&self, table: &KeySchema, item: &'a Item) -> Cow<'a, Item> {
        let included = match &self.projection {
            Projection::All => return Cow::Borrowed(item),
            Projection::KeysOnly => &[][..],
            Projection::Include(names) => names,
        };
        let held = |name: &String| {
            table.contains(name) || self.keys.contains(name) || included.contains(name)
        };
        let part = item.iter().filter(|(name, _)| held(name));
        Cow::Owned(
            part.map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }
}

/// The name by which AWS knows a table.
pub(super) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:us-east-1:000000000000:table/{name}")
}
