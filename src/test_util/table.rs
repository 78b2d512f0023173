//! Tables: what a test says about them, what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::error::Refusal;
use super::key::{Key, KeyAttribute, KeySchema, KeyType, check_item_size};
use super::value::{Item, item_size};

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
    /// The numbers are reported by `DescribeTable`; they are not enforced.
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
    /// The number is reported by `DescribeTable`; it is not enforced.
    #[must_use]
    pub fn on_demand_at_most(mut self, write_units: u64) -> Self {
        self.billing = Billing::OnDemand {
            max_write_units: Some(write_units),
        };
        self
    }
}

pub(super) fn default_keys() -> KeySchema {
    KeySchema {
        partition: KeyAttribute::new("pk", KeyType::S),
        sort: None,
    }
}

/// A secondary index of a [`TableSpec`]. All attributes are projected.
#[derive(Clone, Debug)]
pub struct IndexSpec {
    pub(super) name: String,
    pub(super) keys: KeySchema,
    pub(super) local: bool,
    /// Provisioned read and write units, where the table is a provisioned one.
    pub(super) provisioned: Option<(u64, u64)>,
}

impl IndexSpec {
    /// A global index with a string partition key named `pk`, until said otherwise.
    pub fn global(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            keys: default_keys(),
            local: false,
            provisioned: None,
        }
    }

    /// A local index: give it the table's partition key and a sort key of its own.
    pub fn local(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            keys: default_keys(),
            local: true,
            provisioned: None,
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
}

/// A table and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) spec: TableSpec,
    pub(super) items: BTreeMap<Key, Arc<Item>>,
    /// Seconds since 1970.
    created: f64,
}

/// A write that passed every check and waits to be applied.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) before: Option<Arc<Item>>,
    pub(super) after: Option<Arc<Item>>,
}

impl Table {
    pub(super) fn new(spec: TableSpec, created: f64) -> Self {
        Self {
            spec,
            items: BTreeMap::new(),
            created,
        }
    }

    pub(super) fn keys(&self) -> &KeySchema {
        &self.spec.keys
    }

    /// Checks a put without applying it.
    pub(super) fn put(&self, item: Item) -> Result<Change, Refusal> {
        check_item_size(&item, false)?;
        let key = self.keys().of_item(&item)?;
        self.check_indexes(&item)?;
        Ok(Change {
            before: self.items.get(&key).cloned(),
            key,
            after: Some(Arc::new(item)),
        })
    }

    /// Checks a delete without applying it.
    pub(super) fn delete(&self, key: &Item) -> Result<Change, Refusal> {
        let key = self.keys().of_key(key)?;
        Ok(Change {
            before: self.items.get(&key).cloned(),
            key,
            after: None,
        })
    }

    /// Checks the keys of every index.
    pub(super) fn check_indexes(&self, item: &Item) -> Result<(), Refusal> {
        self.spec
            .indexes
            .iter()
            .try_for_each(|index| index.keys.check_index(&index.name, item))
    }

    /// Applies a checked change.
    pub(super) fn apply(&mut self, change: &Change) {
        match &change.after {
            Some(item) => {
                self.items.insert(change.key.clone(), Arc::clone(item));
            }
            None => {
                self.items.remove(&change.key);
            }
        }
    }

    /// `TableDescription` as `DescribeTable` answers it.
    pub(super) fn describe(&self, status: &str) -> Json {
        let spec = &self.spec;
        let mut attributes: Vec<&KeyAttribute> = Vec::new();
        let schemas = std::iter::once(&spec.keys).chain(spec.indexes.iter().map(|i| &i.keys));
        for attribute in schemas.flat_map(KeySchema::attributes) {
            if !attributes.iter().any(|known| known.name == attribute.name) {
                attributes.push(attribute);
            }
        }
        let attributes: Vec<Json> = attributes
            .iter()
            .map(|a| json!({ "AttributeName": a.name, "AttributeType": a.kind.name() }))
            .collect();
        let size: usize = self.items.values().map(|item| item_size(item)).sum();
        let mut description = json!({
            "TableName": spec.name,
            "TableStatus": status,
            "TableArn": format!("arn:aws:dynamodb:us-east-1:000000000000:table/{}", spec.name),
            "TableId": "00000000-0000-0000-0000-000000000000",
            "CreationDateTime": self.created,
            "AttributeDefinitions": attributes,
            "KeySchema": schema_json(&spec.keys),
            "ItemCount": self.items.len(),
            "TableSizeBytes": size,
            "DeletionProtectionEnabled": false,
            "ProvisionedThroughput": throughput_json(spec.billing, None),
        });
        if let Billing::OnDemand { max_write_units } = spec.billing {
            description["BillingModeSummary"] = json!({
                "BillingMode": "PAY_PER_REQUEST",
                "LastUpdateToPayPerRequestDateTime": self.created,
            });
            if let Some(units) = max_write_units {
                description["OnDemandThroughput"] =
                    json!({ "MaxReadRequestUnits": -1, "MaxWriteRequestUnits": units });
            }
            description["WarmThroughput"] = json!({
                "ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000, "Status": "ACTIVE",
            });
        }
        for (member, local) in [
            ("GlobalSecondaryIndexes", false),
            ("LocalSecondaryIndexes", true),
        ] {
            let indexes: Vec<Json> = spec
                .indexes
                .iter()
                .filter(|index| index.local == local)
                .map(|index| self.describe_index(index))
                .collect();
            if !indexes.is_empty() {
                description[member] = Json::Array(indexes);
            }
        }
        description
    }

    fn describe_index(&self, index: &IndexSpec) -> Json {
        let held = self.items.values().filter(|item| index.keys.indexes(item));
        let mut description = json!({
            "IndexName": index.name,
            "IndexArn": format!(
                "arn:aws:dynamodb:us-east-1:000000000000:table/{}/index/{}",
                self.spec.name, index.name
            ),
            "KeySchema": schema_json(&index.keys),
            "Projection": { "ProjectionType": "ALL" },
            "ItemCount": held.clone().count(),
            "IndexSizeBytes": held.map(|item| item_size(item)).sum::<usize>(),
        });
        if !index.local {
            description["IndexStatus"] = Json::from("ACTIVE");
            description["ProvisionedThroughput"] =
                throughput_json(self.spec.billing, index.provisioned);
        }
        description
    }
}

fn schema_json(keys: &KeySchema) -> Json {
    keys.attributes()
        .zip(["HASH", "RANGE"])
        .map(|(a, role)| json!({ "AttributeName": a.name, "KeyType": role }))
        .collect()
}

fn throughput_json(billing: Billing, own: Option<(u64, u64)>) -> Json {
    let (read, write) = match billing {
        Billing::OnDemand { .. } => (0, 0),
        Billing::Provisioned { read, write } => own.unwrap_or((read, write)),
    };
    json!({ "NumberOfDecreasesToday": 0, "ReadCapacityUnits": read, "WriteCapacityUnits": write })
}
