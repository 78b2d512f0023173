//! `CreateTable`, `DescribeTable`, `DeleteTable`, `ListTables`.

use std::collections::BTreeMap;

use serde_json::json;

use super::error::Refusal;
use super::key::{KeyAttribute, KeySchema, KeyType};
use super::request::Members;
use super::store::{Context, Done, Store};
use super::table::{Billing, IndexSpec, Table, TableSpec};

/// Tables a page of `ListTables` may name (AWS: `API_ListTables`).
const MAX_PAGE: usize = 100;

pub(super) fn create(
    store: &mut Store,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    let name = request.table_name()?.to_owned();
    let kinds = attribute_kinds(request)?;
    let mut spec = TableSpec::new(name.clone());
    spec.keys = key_schema(request, &kinds)?;
    for (member, local) in [
        ("GlobalSecondaryIndexes", false),
        ("LocalSecondaryIndexes", true),
    ] {
        for json in request.list(member)?.unwrap_or_default() {
            let index = Members::of(json)?;
            let index_name = index.text("IndexName")?.unwrap_or_default();
            super::request::checked_table_name(index_name)?;
            let keys = key_schema(index, &kinds)?;
            let provisioned = throughput(index)?;
            spec.indexes.push(IndexSpec {
                name: index_name.to_owned(),
                keys,
                local,
                provisioned,
            });
        }
    }
    let used = |name: &str| {
        spec.keys.contains(name) || spec.indexes.iter().any(|index| index.keys.contains(name))
    };
    if !kinds.keys().all(|name| used(name)) {
        return Err(Refusal::invalid_values(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ));
    }
    spec.billing = match (request.text("BillingMode")?, throughput(request)?) {
        (Some("PAY_PER_REQUEST"), _) => {
            let cap = request.structure("OnDemandThroughput")?;
            let units = cap.map_or(Ok(None), |cap| cap.count("MaxWriteRequestUnits"))?;
            let units = units.and_then(|units| u64::try_from(units).ok());
            Billing::OnDemand {
                max_write_units: units,
            }
        }
        (_, Some((read, write))) => Billing::Provisioned { read, write },
        (_, None) => {
            return Err(Refusal::invalid_values(
                "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is \
                 PROVISIONED",
            ));
        }
    };
    if store.tables.contains_key(&name) {
        return Err(Refusal::new(
            400,
            "ResourceInUseException",
            format!("Table already exists: {name}"),
        ));
    }
    let table = Table::new(spec, context.unix_seconds);
    let body = json!({ "TableDescription": table.describe("ACTIVE") });
    store.tables.insert(name, table);
    Ok(Done::read(body))
}

pub(super) fn describe(store: &Store, request: Members<'_>) -> Result<Done, Refusal> {
    let table = store.table(request.table_name()?)?;
    Ok(Done::read(json!({ "Table": table.describe("ACTIVE") })))
}

pub(super) fn delete(store: &mut Store, request: Members<'_>) -> Result<Done, Refusal> {
    let name = request.table_name()?;
    let table = store
        .tables
        .remove(name)
        .ok_or_else(|| Refusal::missing_table(name))?;
    Ok(Done::read(
        json!({ "TableDescription": table.describe("DELETING") }),
    ))
}

pub(super) fn list(store: &Store, request: Members<'_>) -> Result<Done, Refusal> {
    let limit = request.count("Limit")?.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let start = request.text("ExclusiveStartTableName")?;
    let mut names: Vec<&String> = store
        .tables
        .keys()
        .filter(|name| start.is_none_or(|start| name.as_str() > start))
        .take(limit.saturating_add(1))
        .collect();
    let more = names.len() > limit;
    names.truncate(limit);
    let mut body = json!({ "TableNames": names });
    if let (true, Some(last)) = (more, names.last()) {
        body["LastEvaluatedTableName"] = json!(last);
    }
    Ok(Done::read(body))
}

fn attribute_kinds(request: Members<'_>) -> Result<BTreeMap<String, KeyType>, Refusal> {
    let mut kinds = BTreeMap::new();
    for json in request.list("AttributeDefinitions")?.unwrap_or_default() {
        let attribute = Members::of(json)?;
        let name = attribute.text("AttributeName")?.unwrap_or_default();
        let kind = attribute
            .text("AttributeType")?
            .and_then(KeyType::from_name)
            .ok_or_else(|| Refusal::validation("Member must satisfy enum value set: [B, N, S]"))?;
        kinds.insert(name.to_owned(), kind);
    }
    Ok(kinds)
}

fn key_schema(
    request: Members<'_>,
    kinds: &BTreeMap<String, KeyType>,
) -> Result<KeySchema, Refusal> {
    let mut partition = None;
    let mut sort = None;
    for json in request.list("KeySchema")?.unwrap_or_default() {
        let element = Members::of(json)?;
        let name = element.text("AttributeName")?.unwrap_or_default();
        let kind = *kinds.get(name).ok_or_else(|| {
            Refusal::invalid_values(&format!(
                "Some index key attributes are not defined in AttributeDefinitions. Keys: [{name}]"
            ))
        })?;
        let attribute = Some(KeyAttribute::new(name, kind));
        match element.text("KeyType")? {
            Some("HASH") if partition.is_none() => partition = attribute,
            Some("RANGE") if sort.is_none() => sort = attribute,
            _ => {
                return Err(Refusal::validation(
                    "Invalid KeySchema: wrong or repeated KeyType",
                ));
            }
        }
    }
    let partition =
        partition.ok_or_else(|| Refusal::validation("No Hash Key specified in schema"))?;
    Ok(KeySchema { partition, sort })
}

fn throughput(request: Members<'_>) -> Result<Option<(u64, u64)>, Refusal> {
    let Some(units) = request.structure("ProvisionedThroughput")? else {
        return Ok(None);
    };
    let read = |name| {
        units
            .count(name)
            .map(|count| count.and_then(|count| u64::try_from(count).ok()))
    };
    Ok(read("ReadCapacityUnits")?.zip(read("WriteCapacityUnits")?))
}
