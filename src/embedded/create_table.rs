//! The `CreateTable` of a specification.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    LocalSecondaryIndex, OnDemandThroughput, Projection, ProjectionType, ProvisionedThroughput,
    ScalarAttributeType, StreamSpecification, StreamViewType,
};
use dynamodb_table_spec::{Billing, IndexSpec, TableSpec};

use crate::item::{self, KeySchema};

/// Returns the request that creates a checked table.
pub(super) fn create_table(
    client: &Client,
    spec: &TableSpec,
) -> Result<CreateTableFluentBuilder, BuildError> {
    let mut request = client
        .create_table()
        .table_name(&spec.name)
        .set_key_schema(Some(key_schema(&spec.keys)?))
        .set_attribute_definitions(Some(attribute_definitions(spec)?));
    request = match spec.billing {
        Billing::Provisioned { read, write } => request
            .billing_mode(BillingMode::Provisioned)
            .provisioned_throughput(throughput(read, write)?),
        Billing::OnDemand { max_write_units } => request
            .billing_mode(BillingMode::PayPerRequest)
            .set_on_demand_throughput(max_write_units.map(on_demand)),
    };
    for index in &spec.indexes {
        request = if index.local {
            let local = LocalSecondaryIndex::builder()
                .index_name(&index.name)
                .set_key_schema(Some(key_schema(&index.keys)?))
                .projection(projection(&index.projection));
            request.local_secondary_indexes(local.build()?)
        } else {
            request.global_secondary_indexes(global_index(index, spec.billing)?)
        };
    }
    if let Some(view) = spec.stream {
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::from(view.name()));
        request = request.stream_specification(stream.build()?);
    }
    Ok(request)
}

fn key_schema(keys: &KeySchema) -> Result<Vec<KeySchemaElement>, BuildError> {
    keys.attributes()
        .zip([KeyType::Hash, KeyType::Range])
        .map(|(attribute, role)| {
            KeySchemaElement::builder()
                .attribute_name(attribute.name())
                .key_type(role)
                .build()
        })
        .collect()
}

/// The key attributes of the table and its indexes, each once.
fn attribute_definitions(spec: &TableSpec) -> Result<Vec<AttributeDefinition>, BuildError> {
    let keys = spec.indexes.iter().map(|index| &index.keys);
    let attributes = spec.keys.attributes();
    let attributes = attributes.chain(keys.flat_map(KeySchema::attributes));
    let kinds: BTreeMap<_, _> = attributes.map(|one| (one.name(), one.kind())).collect();
    kinds
        .into_iter()
        .map(|(name, kind)| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::from(kind.name()))
                .build()
        })
        .collect()
}

fn global_index(index: &IndexSpec, billing: Billing) -> Result<GlobalSecondaryIndex, BuildError> {
    let global = GlobalSecondaryIndex::builder()
        .index_name(&index.name)
        .set_key_schema(Some(key_schema(&index.keys)?))
        .projection(projection(&index.projection));
    let units = match billing {
        Billing::Provisioned { read, write } => Some(index.provisioned.unwrap_or((read, write))),
        Billing::OnDemand { .. } => None,
    };
    let units = units.map(|(read, write)| throughput(read, write));
    global
        .set_provisioned_throughput(units.transpose()?)
        .build()
}

fn projection(projection: &item::Projection) -> Projection {
    let builder = Projection::builder();
    match projection {
        item::Projection::All => builder.projection_type(ProjectionType::All),
        item::Projection::KeysOnly => builder.projection_type(ProjectionType::KeysOnly),
        item::Projection::Include(names) => builder
            .projection_type(ProjectionType::Include)
            .set_non_key_attributes(Some(names.clone())),
    }
    .build()
}

fn throughput(read: u64, write: u64) -> Result<ProvisionedThroughput, BuildError> {
    ProvisionedThroughput::builder()
        .read_capacity_units(units(read))
        .write_capacity_units(units(write))
        .build()
}

fn on_demand(max_write_units: u64) -> OnDemandThroughput {
    OnDemandThroughput::builder()
        .max_write_request_units(units(max_write_units))
        .build()
}

/// What is too large for the request is out of the database's bounds as well.
fn units(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
