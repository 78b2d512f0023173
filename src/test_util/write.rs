//! `PutItem`, `DeleteItem`, `UpdateItem`.

use serde_json::json;

use super::capacity::{Consumption, Report};
use super::error::Refusal;
use super::journal::WriteKind;
use super::request::Members;
use super::store::{Applied, Done, Store};

pub(super) fn put(store: &Store, request: Members<'_>) -> Result<Done, Refusal> {
    let report = Report::of(request)?;
    let name = request.table_name()?;
    let item = request
        .item("Item")?
        .ok_or_else(|| Refusal::validation("Item to put in PutItem cannot be null"))?;
    let table = store.table(name)?;
    let change = table.put(item)?;
    let mut body = json!({});
    let mut consumed = Consumption::default();
    consumed.add_write(table, &change, 1.0);
    if report != Report::None {
        body["ConsumedCapacity"] = consumed.to_json(name, report);
    }
    Ok(Done {
        body,
        applied: vec![Applied {
            table: name.to_owned(),
            kind: WriteKind::Put,
            change,
        }],
    })
}
pub(super) fn delete(_store: &Store, _request: Members<'_>) -> Result<Done, Refusal> {
    Err(Refusal::new(400, "UnknownOperationException", ""))
}
pub(super) fn update(_store: &Store, _request: Members<'_>) -> Result<Done, Refusal> {
    Err(Refusal::new(400, "UnknownOperationException", ""))
}
