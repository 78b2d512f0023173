//! `TransactWriteItems`.

use super::error::Refusal;
use super::request::Members;
use super::store::{Context, Done, Store};

#[derive(Debug, Default)]
pub(super) struct Tokens;

pub(super) fn write(_: &mut Store, _: Members<'_>, _: &Context<'_>) -> Result<Done, Refusal> {
    Err(Refusal::new(400, "UnknownOperationException", ""))
}
