//! The answer of `DescribeTable`: the table's form and its capacity.

use super::answer::{Lenient, parse};
use super::{Operation, Transport};
use crate::item::{IndexShape, KeyKind, KeySchema, Projection, TableShape};
use crate::retry::ServiceError;
#[cfg(feature = "streams")]
use crate::retry::{Decision, Retries};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// The parts of a `DescribeTable` that a writer needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TableDescription {
    pub(crate) shape: TableShape,
    /// `ACTIVE`, `CREATING`, `UPDATING`, …
    pub(crate) status: String,
    /// `None` where the service does not say: of a table that is provisioned and has never been
    /// on-demand, on DynamoDB Local 3.1.0 too, which names the mode of tables on demand.
    pub(crate) billing: Option<Billing>,
    /// `WriteCapacityUnits` of the table; 0 on demand.
    pub(crate) provisioned_write_units: Option<u64>,
    /// The cap set on an on-demand table, `OnDemandThroughput.MaxWriteRequestUnits`.
    pub(crate) max_on_demand_write_units: Option<u64>,
    /// The units that the table takes at once, `WarmThroughput.WriteUnitsPerSecond`.
    pub(crate) warm_write_units: Option<u64>,
    pub(crate) global_indexes: Vec<GlobalIndex>,
    /// Set if the table's ARN gives a region that AWS doesn't have: a local server's own. Such a
    /// server repeats the numbers a table was created with and enforces none of them.
    ///
    /// DynamoDB Local 3.1.0 says `arn:aws:dynamodb:ddblocal:000000000000:table/…` whatever region a
    /// request was signed for. It gives the provisioned units of tables and global indexes and the
    /// maxima of `OnDemandThroughput`, never a `WarmThroughput`, even of a table created with one.
    /// dynoxide 3.2 says `dynoxide` as its region (`streams.rs`, `LOCAL_REGION`).
    pub(crate) local_imitation: bool,
    /// The ARN of the table's stream, the last one it had.
    #[cfg(feature = "streams")]
    pub(crate) stream_arn: Option<String>,
}

impl Transport {
    /// Describes the transport's table once.
    pub(crate) async fn describe(&self) -> Result<TableDescription, ServiceError> {
        let name = Value::from(self.0.resource.as_str()).to_string();
        let body = Bytes::from(format!("{{\"TableName\":{name}}}"));
        parse_describe(&self.call(Operation::DescribeTable, body).await?)
    }

    /// Describes the transport's table, in up to `max_attempts` attempts where the failure may
    /// pass.
    #[cfg(feature = "streams")]
    pub(crate) async fn describe_patiently(
        &self,
        max_attempts: u32,
        retries: &mut Retries,
    ) -> Result<TableDescription, ServiceError> {
        let decide = |error: ServiceError, failures| {
            if error.is_retryable() && failures < max_attempts {
                Decision::Retry
            } else {
                Decision::GiveUp(error)
            }
        };
        retries.call(|| self.describe(), decide).await
    }
}

/// The regions that local servers make up.
const LOCAL_REGIONS: [&str; 2] = ["ddblocal", "dynoxide"];

/// The capacity of a global index: one that is short of it throttles the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GlobalIndex {
    pub(crate) name: String,
    pub(crate) status: Option<String>,
    pub(crate) provisioned_write_units: Option<u64>,
    pub(crate) max_on_demand_write_units: Option<u64>,
    pub(crate) warm_write_units: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Billing {
    Provisioned,
    OnDemand,
}

/// Reads the answer of a `DescribeTable`.
///
/// # Errors
///
/// Ambiguous if it can't be what the service sent: without a table, or with a key attribute that
/// has no definition.
pub(crate) fn parse_describe(body: &[u8]) -> Result<TableDescription, ServiceError> {
    let table = parse::<DescribeBody<'_>>(body)?.table;
    let kinds = table.attributes;
    let garbled = || ServiceError::garbled("a key is not defined");

    let mut shape = TableShape::new(schema(&table.keys, &kinds).ok_or_else(garbled)?);
    let mut global_indexes = Vec::new();
    for index in table.local.iter().flatten() {
        shape = shape.with_index(index.shape(&kinds).ok_or_else(garbled)?.local());
    }
    for index in table.global.iter().flatten() {
        shape = shape.with_index(index.shape(&kinds).ok_or_else(garbled)?);
    }
    for index in table.global.into_iter().flatten() {
        global_indexes.push(GlobalIndex {
            name: index.name.into_owned(),
            status: index.status.map(Cow::into_owned),
            provisioned_write_units: index.throughput.provisioned(),
            max_on_demand_write_units: index.throughput.max_on_demand(),
            warm_write_units: index.throughput.warm(),
        });
    }
    let mode = table.billing.0.and_then(|summary| summary.mode);
    Ok(TableDescription {
        shape,
        status: table.status.unwrap_or_default().into_owned(),
        billing: match mode.as_deref() {
            Some("PROVISIONED") => Some(Billing::Provisioned),
            Some("PAY_PER_REQUEST") => Some(Billing::OnDemand),
            _ => None,
        },
        provisioned_write_units: table.throughput.provisioned(),
        max_on_demand_write_units: table.throughput.max_on_demand(),
        warm_write_units: table.throughput.warm(),
        global_indexes,
        #[cfg(feature = "streams")]
        stream_arn: table.stream_arn.map(Cow::into_owned),
        local_imitation: table.arn.as_deref().is_some_and(is_local),
    })
}

/// Returns whether an ARN, `arn:partition:service:region:account:resource`, is that of an
/// imitation.
///
/// The partitions of AWS are `aws`, `aws-cn`, `aws-us-gov` and more of that form. `ScyllaDB`'s
/// Alternator says `arn:scylla:alternator:…`.
fn is_local(arn: &str) -> bool {
    let region = arn.split(':').nth(3);
    !arn.starts_with("arn:aws") || region.is_some_and(|region| LOCAL_REGIONS.contains(&region))
}

fn schema(elements: &[KeyElement<'_>], kinds: &[AttributeBody<'_>]) -> Option<KeySchema> {
    let kind = |name: &str| kinds.iter().find(|kind| kind.name == name)?.kind();
    let part = |role: &str| elements.iter().find(|element| element.role == role);
    let partition = part("HASH")?;
    let mut schema = KeySchema::new(partition.name.clone(), kind(&partition.name)?);
    if let Some(sort) = part("RANGE") {
        schema = schema.with_sort(sort.name.clone(), kind(&sort.name)?);
    }
    Some(schema)
}

#[derive(Deserialize)]
struct DescribeBody<'a> {
    #[serde(borrow, rename = "Table")]
    table: TableBody<'a>,
}

#[derive(Deserialize)]
struct TableBody<'a> {
    #[serde(borrow, rename = "AttributeDefinitions")]
    attributes: Vec<AttributeBody<'a>>,
    #[serde(borrow, rename = "KeySchema")]
    keys: Vec<KeyElement<'a>>,
    #[serde(borrow, rename = "TableStatus", default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "TableArn", default)]
    arn: Option<Cow<'a, str>>,
    #[cfg(feature = "streams")]
    #[serde(borrow, rename = "LatestStreamArn", default)]
    stream_arn: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "BillingModeSummary", default)]
    billing: Lenient<BillingBody<'a>>,
    #[serde(borrow, rename = "LocalSecondaryIndexes", default)]
    local: Option<Vec<IndexBody<'a>>>,
    #[serde(borrow, rename = "GlobalSecondaryIndexes", default)]
    global: Option<Vec<IndexBody<'a>>>,
    #[serde(flatten)]
    throughput: Throughput,
}

#[derive(Deserialize)]
struct AttributeBody<'a> {
    #[serde(borrow, rename = "AttributeName")]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "AttributeType")]
    kind: Cow<'a, str>,
}

impl AttributeBody<'_> {
    fn kind(&self) -> Option<KeyKind> {
        match self.kind.as_ref() {
            "S" => Some(KeyKind::String),
            "N" => Some(KeyKind::Number),
            "B" => Some(KeyKind::Binary),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct KeyElement<'a> {
    #[serde(borrow, rename = "AttributeName")]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "KeyType")]
    role: Cow<'a, str>,
}

#[derive(Deserialize)]
struct BillingBody<'a> {
    #[serde(borrow, rename = "BillingMode", default)]
    mode: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct IndexBody<'a> {
    #[serde(borrow, rename = "IndexName")]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "KeySchema")]
    keys: Vec<KeyElement<'a>>,
    #[serde(borrow, rename = "Projection", default)]
    projection: Option<ProjectionBody<'a>>,
    #[serde(borrow, rename = "IndexStatus", default)]
    status: Option<Cow<'a, str>>,
    #[serde(flatten)]
    throughput: Throughput,
}

impl IndexBody<'_> {
    fn shape(&self, kinds: &[AttributeBody<'_>]) -> Option<IndexShape> {
        let shape = IndexShape::new(self.name.clone(), schema(&self.keys, kinds)?);
        Some(match &self.projection {
            Some(projection) => shape.projection(projection.projection()),
            None => shape,
        })
    }
}

#[derive(Deserialize)]
struct ProjectionBody<'a> {
    #[serde(borrow, rename = "ProjectionType", default)]
    kind: Option<Cow<'a, str>>,
    #[serde(rename = "NonKeyAttributes", default)]
    attributes: Option<Vec<String>>,
}

impl ProjectionBody<'_> {
    /// Returns the projection. A kind that is not known counts as the most expensive.
    fn projection(&self) -> Projection {
        match self.kind.as_deref() {
            Some("KEYS_ONLY") => Projection::KeysOnly,
            Some("INCLUDE") => Projection::Include(self.attributes.clone().unwrap_or_default()),
            _ => Projection::All,
        }
    }
}

/// The numbers that tables and global indexes describe alike.
///
/// An odd one counts as unknown: capacity never keeps a table from opening.
#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "ProvisionedThroughput", default)]
    provisioned: Value,
    #[serde(rename = "OnDemandThroughput", default)]
    on_demand: Value,
    #[serde(rename = "WarmThroughput", default)]
    warm: Value,
}

impl Throughput {
    fn provisioned(&self) -> Option<u64> {
        units(&self.provisioned, "WriteCapacityUnits")
    }

    fn max_on_demand(&self) -> Option<u64> {
        units(&self.on_demand, "MaxWriteRequestUnits")
    }

    fn warm(&self) -> Option<u64> {
        units(&self.warm, "WriteUnitsPerSecond")
    }
}

/// Returns a number of units, given as `5`, `5.0` or `"5"`. A maximum of -1 says that there is
/// none.
fn units(numbers: &Value, name: &str) -> Option<u64> {
    let units: f64 = match numbers.get(name)? {
        Value::Number(number) => number.to_string().parse().ok()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and saturates"
    )]
    (units >= 0.0).then_some(units as u64)
}
