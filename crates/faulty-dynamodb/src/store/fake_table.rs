//! A table of the fake: a specification, and what only the fake can do with it.

use dynamodb_table_spec::TableSpec;

use crate::throughput::Capacity;

/// A table for [`FaultyDynamoDb::create_table`](crate::FaultyDynamoDb::create_table): a
/// [`TableSpec`], and what no `CreateTable` can say.
///
/// A [`TableSpec`] becomes one by itself.
///
/// ```
/// use faulty_dynamodb::{Capacity, FakeTable, FaultyDynamoDb, TableSpec, TableSpecExt as _};
///
/// let table: FakeTable = TableSpec::new("decisions")
///     .provisioned(5, 100)
///     .enforce(Capacity::enforced());
/// FaultyDynamoDb::new().create_table(table);
/// ```
#[derive(Clone, Debug)]
pub struct FakeTable {
    pub(crate) spec: TableSpec,
    pub(crate) capacity: Option<Capacity>,
    pub(crate) stream_shards: usize,
}

impl FakeTable {
    /// Returns the table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.spec.name()
    }

    /// Refuses writes that exceed the table's capacity. Default: capacity is counted and reported,
    /// never refused. Reads are not limited.
    #[must_use]
    pub fn enforce(mut self, capacity: Capacity) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Sets the number of open shards that a stream of the table begins with. Default: 1; 0 counts
    /// as 1.
    #[must_use]
    pub fn stream_shards(mut self, shards: usize) -> Self {
        self.stream_shards = shards;
        self
    }

    /// The same table, of a specification that `CreateTable` takes.
    ///
    /// # Panics
    ///
    /// With the rule that the specification breaks.
    #[track_caller]
    pub(crate) fn checked(self) -> Self {
        if let Err(rule) = self.spec.check() {
            #[expect(clippy::panic, reason = "a wrong test")]
            {
                panic!("{rule}");
            }
        }
        self
    }
}

impl From<TableSpec> for FakeTable {
    fn from(spec: TableSpec) -> Self {
        Self {
            spec,
            capacity: None,
            stream_shards: 1,
        }
    }
}

/// The methods that make a [`FakeTable`] of a [`TableSpec`], to be imported.
pub trait TableSpecExt: Into<FakeTable> {
    /// Makes it a table of the fake that refuses what exceeds its capacity: see
    /// [`FakeTable::enforce`].
    #[must_use]
    fn enforce(self, capacity: Capacity) -> FakeTable {
        self.into().enforce(capacity)
    }

    /// Makes it a table of the fake whose stream begins with so many shards: see
    /// [`FakeTable::stream_shards`].
    #[must_use]
    fn stream_shards(self, shards: usize) -> FakeTable {
        self.into().stream_shards(shards)
    }
}

impl TableSpecExt for TableSpec {}
