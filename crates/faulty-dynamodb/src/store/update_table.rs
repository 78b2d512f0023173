//! `UpdateTable`: capacity and mode of a table and its indexes, changed at once.

use dynamodb_table_spec::{Billing, TableSpec};
use serde_json::{Value as Json, json};

use super::execution::{Context, Done, Store};
use super::request::Members;
use super::tables::{
    StreamChange, max_write_units, refuse_unmade, stream_specification, throughput,
    warm_write_units,
};
use crate::item::error::Refusal;

pub(crate) fn update(
    store: &mut Store,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    let name = request.table_name()?;
    refuse_unmade(store, name, context.now)?;
    let Store {
        tables, streams, ..
    } = store;
    let table = tables.get_mut(name);
    let table = table.ok_or_else(|| Refusal::missing_table(name))?;
    let mut spec = table.spec.clone();
    let updates = request.list("GlobalSecondaryIndexUpdates")?;
    let stream = stream_specification(request)?;
    let members = [
        "StreamSpecification",
        "ProvisionedThroughput",
        "BillingMode",
        "OnDemandThroughput",
        "WarmThroughput",
    ];
    if updates.is_none_or(<[Json]>::is_empty)
        && members.iter().all(|name| request.get(name).is_none())
    {
        return Err(Refusal::validation(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, \
             GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required",
        ));
    }
    let mut indexes = Vec::new();
    for update in updates.unwrap_or_default() {
        indexes.push(read_index_update(update)?);
    }
    let moved = set_billing(&mut spec, request, &indexes)?;
    let warm = warm_write_units(request)?;
    if let Some(units) = warm {
        let held = table.throughput.as_mut();
        let held = held.map(|throughput| throughput.warm_units(context.now));
        if held.max(table.warm).is_some_and(|now| units < now) {
            return Err(Refusal::invalid_values(
                "Requested WriteUnitsPerSecond for WarmThroughput for table is lower than current \
                 WarmThroughput, decreasing WarmThroughput is not supported",
            ));
        }
    }
    for (name, index) in indexes {
        set_index(&mut spec, name, index, moved)?;
    }
    match (stream, table.spec.stream) {
        (Some(StreamChange::On(_)), Some(_)) => {
            let message = format!(
                "Table already has an enabled stream: TableName: {}",
                spec.name
            );
            return Err(Refusal::validation(message));
        }
        (Some(StreamChange::Off), None) => {
            return Err(Refusal::validation("Table has no stream to disable"));
        }
        _ => {}
    }
    table.spec = spec;
    table.warm = warm.or(table.warm);
    table.reconfigured(context.now);
    match stream {
        Some(StreamChange::On(view)) => {
            streams.enable(table, view, context.moment());
        }
        Some(StreamChange::Off) => {
            streams.disable(table, context.now);
        }
        None => {}
    }
    Ok(Done::read(
        json!({ "TableDescription": table.describe("ACTIVE", context.now) }),
    ))
}

/// Sets the mode and the units of the table; true where the mode changed.
fn set_billing(
    spec: &mut TableSpec,
    request: Members<'_>,
    indexes: &[(&str, Members<'_>)],
) -> Result<bool, Refusal> {
    let units = throughput(request)?;
    let on_demand = match request.text("BillingMode")? {
        Some("PAY_PER_REQUEST") => true,
        Some("PROVISIONED") => false,
        None => matches!(spec.billing, Billing::OnDemand { .. }),
        Some(other) => {
            return Err(Refusal::validation(format!(
                "1 validation error detected: Value '{other}' at 'billingMode' failed to satisfy \
                 constraint: Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]"
            )));
        }
    };
    let own = indexes
        .iter()
        .any(|(_, index)| index.get("ProvisionedThroughput").is_some());
    if on_demand && (units.is_some() || own) {
        return Err(Refusal::invalid_values(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is \
             PAY_PER_REQUEST",
        ));
    }
    if !on_demand && request.get("OnDemandThroughput").is_some() {
        return Err(Refusal::invalid_values(
            "OnDemandThroughput can only be specified when BillingMode is PAY_PER_REQUEST",
        ));
    }
    match (spec.billing, units) {
        (
            Billing::OnDemand {
                max_write_units: held,
            },
            _,
        ) if on_demand => {
            let max_write_units = match request.get("OnDemandThroughput") {
                Some(_) => max_write_units(request)?,
                None => held,
            };
            spec.billing = Billing::OnDemand { max_write_units };
            Ok(false)
        }
        (Billing::Provisioned { .. }, _) if on_demand => {
            spec.billing = Billing::OnDemand {
                max_write_units: max_write_units(request)?,
            };
            Ok(true)
        }
        (Billing::OnDemand { .. }, None) => Err(Refusal::invalid_values(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is \
             PROVISIONED",
        )),
        (Billing::Provisioned { .. }, None) => Ok(false),
        (held, Some((read, write))) => {
            at_least_one(read, write)?;
            let asked = Billing::Provisioned { read, write };
            if held == asked && indexes.is_empty() {
                return Err(Refusal::validation(format!(
                    "The provisioned throughput for the table will not change. The requested value \
                     equals the current value. Current ReadCapacityUnits provisioned for the table: \
                     {read}. Requested ReadCapacityUnits: {read}. Current WriteCapacityUnits \
                     provisioned for the table: {write}. Requested WriteCapacityUnits: {write}. Refer \
                     to the Amazon DynamoDB Developer Guide for current limits and how to request \
                     higher limits."
                )));
            }
            spec.billing = asked;
            Ok(matches!(held, Billing::OnDemand { .. }))
        }
    }
}

fn at_least_one(read: u64, write: u64) -> Result<(), Refusal> {
    for (name, units) in [("readCapacityUnits", read), ("writeCapacityUnits", write)] {
        if units == 0 {
            return Err(Refusal::validation(format!(
                "1 validation error detected: Value '0' at 'provisionedThroughput.{name}' failed to \
                 satisfy constraint: Member must have value greater than or equal to 1"
            )));
        }
    }
    Ok(())
}

fn read_index_update(json: &Json) -> Result<(&str, Members<'_>), Refusal> {
    let Some(index) = Members::of(json)?.structure("Update")? else {
        return Err(Refusal::validation(
            "The faulty DynamoDB neither creates nor deletes indexes: alter the table",
        ));
    };
    Ok((index.text("IndexName")?.unwrap_or_default(), index))
}

fn set_index(
    spec: &mut TableSpec,
    name: &str,
    update: Members<'_>,
    moved: bool,
) -> Result<(), Refusal> {
    let table = spec.name.clone();
    let index = spec
        .indexes
        .iter_mut()
        .find(|index| index.name == name && !index.local);
    let index = index.ok_or_else(|| {
        Refusal::new(
            400,
            "ResourceNotFoundException",
            format!("Requested resource not found: Table: {table}, Index: {name} not found"),
        )
    })?;
    if let Some((read, write)) = throughput(update)? {
        at_least_one(read, write)?;
        if index.provisioned == Some((read, write)) && !moved {
            return Err(Refusal::validation(format!(
                "The provisioned throughput for the index {name} will not change. The requested \
                 value equals the current value. Current ReadCapacityUnits provisioned for the \
                 index: {read}. Requested ReadCapacityUnits: {read}. Current WriteCapacityUnits \
                 provisioned for the index: {write}. Requested WriteCapacityUnits: {write}. Refer to \
                 the Amazon DynamoDB Developer Guide for current limits and how to request higher \
                 limits."
            )));
        }
        index.provisioned = Some((read, write));
    }
    if update.get("OnDemandThroughput").is_some() {
        index.max_write_units = max_write_units(update)?;
    }
    Ok(())
}
