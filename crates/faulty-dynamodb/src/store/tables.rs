//! `CreateTable`, `DescribeTable`, `DeleteTable`, `ListTables`.

use std::collections::BTreeMap;
use std::time::Duration;

use dynamodb_table_spec::{Billing, IndexSpec, StreamView, TableSpec};
use dynamodb_table_spec::{KeyKind, KeySchema, Projection};
use serde_json::{Value as Json, json};

use super::execution::{Context, Done, Store};
use super::request::Members;
use super::table::Table;
use crate::item::error::Refusal;

/// Tables a page of `ListTables` may name (AWS: `API_ListTables`).
const MAX_PAGE: usize = 100;

pub(crate) fn create(
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
            spec.indexes.push(IndexSpec {
                name: index.text("IndexName")?.unwrap_or_default().to_owned(),
                keys: key_schema(index, &kinds)?,
                local,
                provisioned: throughput(index)?,
                max_write_units: max_write_units(index)?,
                projection: projection(index)?,
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
            let max_write_units = max_write_units(request)?;
            Billing::OnDemand { max_write_units }
        }
        (_, Some((read, write))) => Billing::Provisioned { read, write },
        (_, None) => {
            return Err(Refusal::invalid_values(
                "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is \
                 PROVISIONED",
            ));
        }
    };
    spec.stream = match stream_specification(request)? {
        Some(StreamChange::On(view)) => Some(view),
        Some(StreamChange::Off) | None => None,
    };
    spec.check().map_err(Refusal::validation)?;
    if store.tables.contains_key(&name) {
        return Err(Refusal::new(
            400,
            "ResourceInUseException",
            format!("Table already exists: {name}"),
        ));
    }
    let mut table = Table::new(spec.into(), context.unix_seconds, context.now);
    table.warm = warm_write_units(request)?;
    // Where tables take no time they are there at once, also by the clock of another runtime, which may be behind.
    if !store.creation.is_zero() {
        table.active_from = context.now + store.creation;
    }
    store.streams.begin(&mut table, context.moment());
    let status = table.status(context.now);
    let body = json!({ "TableDescription": table.describe(status, context.now) });
    store.tables.insert(name, table);
    Ok(Done::read(body))
}

pub(crate) fn describe(
    store: &mut Store,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    let name = request.table_name()?;
    let table = store.tables.get_mut(name);
    let table = table.ok_or_else(|| Refusal::missing_table(name))?;
    let status = table.status(context.now);
    Ok(Done::read(
        json!({ "Table": table.describe(status, context.now) }),
    ))
}

pub(crate) fn delete(
    store: &mut Store,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    let name = request.table_name()?;
    refuse_unmade(store, name, context.now)?;
    let mut table = store
        .tables
        .remove(name)
        .ok_or_else(|| Refusal::missing_table(name))?;
    store.streams.disable(&mut table, context.now);
    Ok(Done::read(
        json!({ "TableDescription": table.describe("DELETING", context.now) }),
    ))
}

/// Refuses to change a table that is still being made.
pub(crate) fn refuse_unmade(store: &Store, name: &str, now: Duration) -> Result<(), Refusal> {
    match store.tables.get(name) {
        Some(table) if table.active_from > now => Err(Refusal::new(
            400,
            "ResourceInUseException",
            format!(
                "Attempt to change a resource which is still in use: Table is being created: {name}"
            ),
        )),
        _ => Ok(()),
    }
}

pub(crate) fn list(store: &Store, request: Members<'_>) -> Result<Done, Refusal> {
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

/// The change for which a `StreamSpecification` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamChange {
    On(StreamView),
    Off,
}

pub(crate) fn stream_specification(request: Members<'_>) -> Result<Option<StreamChange>, Refusal> {
    let Some(specification) = request.structure("StreamSpecification")? else {
        return Ok(None);
    };
    let view = specification.text("StreamViewType")?;
    match (specification.flag("StreamEnabled")?, view) {
        (true, Some(name)) => match view_named(name) {
            Some(view) => Ok(Some(StreamChange::On(view))),
            None => Err(Refusal::validation(format!(
                "1 validation error detected: Value '{name}' at 'streamSpecification.streamViewType' \
                 failed to satisfy constraint: Member must satisfy enum value set: [NEW_IMAGE, \
                 OLD_IMAGE, NEW_AND_OLD_IMAGES, KEYS_ONLY]"
            ))),
        },
        (true, None) => Err(Refusal::validation(
            "Invalid StreamViewType: Stream ViewType must not be null or empty when enabling streams.",
        )),
        (false, Some(_)) => Err(Refusal::validation(
            "Invalid StreamViewType: Stream StreamEnabled was false but a StreamViewType was present.",
        )),
        (false, None) => Ok(Some(StreamChange::Off)),
    }
}

fn view_named(name: &str) -> Option<StreamView> {
    [
        StreamView::KeysOnly,
        StreamView::NewImage,
        StreamView::OldImage,
        StreamView::NewAndOldImages,
    ]
    .into_iter()
    .find(|view| view.name() == name)
}

fn kind_named(name: &str) -> Option<KeyKind> {
    [KeyKind::String, KeyKind::Number, KeyKind::Binary]
        .into_iter()
        .find(|kind| kind.name() == name)
}

fn attribute_kinds(request: Members<'_>) -> Result<BTreeMap<String, KeyKind>, Refusal> {
    let mut kinds = BTreeMap::new();
    for json in request.list("AttributeDefinitions")?.unwrap_or_default() {
        let attribute = Members::of(json)?;
        let name = attribute.text("AttributeName")?.unwrap_or_default();
        let kind = attribute
            .text("AttributeType")?
            .and_then(kind_named)
            .ok_or_else(|| Refusal::validation("Member must satisfy enum value set: [B, N, S]"))?;
        kinds.insert(name.to_owned(), kind);
    }
    Ok(kinds)
}

fn key_schema(
    request: Members<'_>,
    kinds: &BTreeMap<String, KeyKind>,
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
        let attribute = Some((name, kind));
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
    let (name, kind) =
        partition.ok_or_else(|| Refusal::validation("No Hash Key specified in schema"))?;
    let keys = KeySchema::new(name, kind);
    Ok(match sort {
        Some((name, kind)) => keys.with_sort(name, kind),
        None => keys,
    })
}

/// `OnDemandThroughput.MaxWriteRequestUnits`; -1 takes a maximum away.
pub(crate) fn max_write_units(request: Members<'_>) -> Result<Option<u64>, Refusal> {
    let Some(maximum) = request.structure("OnDemandThroughput")? else {
        return Ok(None);
    };
    if maximum.get("MaxWriteRequestUnits").and_then(Json::as_i64) == Some(-1) {
        return Ok(None);
    }
    whole(maximum, "MaxWriteRequestUnits")
}

/// `WarmThroughput.WriteUnitsPerSecond`.
pub(crate) fn warm_write_units(request: Members<'_>) -> Result<Option<u64>, Refusal> {
    let warm = request.structure("WarmThroughput")?;
    warm.map_or(Ok(None), |warm| whole(warm, "WriteUnitsPerSecond"))
}

fn whole(request: Members<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let count = request.count(name)?;
    Ok(count.and_then(|count| u64::try_from(count).ok()))
}

fn projection(index: Members<'_>) -> Result<Projection, Refusal> {
    let Some(projection) = index.structure("Projection")? else {
        return Ok(Projection::All);
    };
    let names = projection.list("NonKeyAttributes")?.unwrap_or_default();
    match projection.text("ProjectionType")? {
        None | Some("ALL") => Ok(Projection::All),
        Some("KEYS_ONLY") => Ok(Projection::KeysOnly),
        Some("INCLUDE") => Ok(Projection::Include(
            names
                .iter()
                .filter_map(|name| Some(name.as_str()?.to_owned()))
                .collect(),
        )),
        Some(other) => Err(Refusal::validation(format!(
            "1 validation error detected: Value '{other}' at 'projection.projectionType' failed to \
             satisfy constraint: Member must satisfy enum value set: [ALL, INCLUDE, KEYS_ONLY]"
        ))),
    }
}

pub(crate) fn throughput(request: Members<'_>) -> Result<Option<(u64, u64)>, Refusal> {
    let Some(units) = request.structure("ProvisionedThroughput")? else {
        return Ok(None);
    };
    Ok(whole(units, "ReadCapacityUnits")?.zip(whole(units, "WriteCapacityUnits")?))
}
