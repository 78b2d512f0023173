//! `GetItem`, `Query`, `Scan`.

use serde_json::{Value as Json, json};

use super::capacity::{Consumption, Report};
use super::error::Refusal;
use super::request::Members;
use super::store::{Done, Store};
use super::value::{item_size, item_to_json};

pub(super) fn get(store: &Store, request: Members<'_>) -> Result<Done, Refusal> {
    let report = Report::of(request)?;
    let name = request.table_name()?;
    let key = request.key()?;
    let table = store.table(name)?;
    let item = table.items.get(&table.keys().of_key(&key)?);
    let mut body = json!({});
    if let Some(item) = item {
        body["Item"] = item_to_json(item);
    }
    if report != Report::None {
        let mut consumed = Consumption::default();
        consumed.add_read(
            item.map_or(0, |i| item_size(i)),
            request.flag("ConsistentRead")?,
        );
        body["ConsumedCapacity"] = consumed.to_json(name, report);
    }
    Ok(Done::read(body))
}

pub(super) fn query(_store: &Store, _request: Members<'_>) -> Result<Done, Refusal> {
    Err(Refusal::new(400, "UnknownOperationException", ""))
}
pub(super) fn scan(_store: &Store, _request: Members<'_>) -> Result<Done, Refusal> {
    Err(Refusal::new(
        400,
        "UnknownOperationException",
        Json::Null.to_string(),
    ))
}
