//! The item that is written and read: ten attributes, just under 1,024 bytes stored.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;

use crate::rig::records::{NOTE_BYTES, decision};
use crate::rig::sdk::{self, Item};

/// An image as an application reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct Decision {
    pub(crate) customer: String,
    pub(crate) number: u64,
    pub(crate) status: String,
    pub(crate) approved: bool,
    pub(crate) amount_cents: i64,
    pub(crate) score: f64,
    pub(crate) decided_at: String,
    pub(crate) reasons: Vec<String>,
    pub(crate) merchant: Merchant,
    pub(crate) note: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Merchant {
    pub(crate) name: String,
    pub(crate) country: String,
}

/// The item of a number. Versions differ in the amount alone: a put of the same item again would be no change.
pub(crate) fn item(number: usize, version: u32) -> Item {
    let mut item = sdk::attributes(decision(number, NOTE_BYTES));
    let amount = AttributeValue::N((1_000_000 + version).to_string());
    item.insert("amount_cents".to_owned(), amount);
    item
}
