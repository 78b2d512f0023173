//! The input, the table, and whether the one is in the other.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use serde::{Deserialize, Serialize};

pub(crate) const TABLE: &str = "accounts";
const ACCOUNTS: u64 = 500;

#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    account: u64,
    position: u64,
}

/// The record at a place of the endless input.
pub(crate) fn record(position: u64) -> Record {
    let account = position % ACCOUNTS;
    Record { account, position }
}

/// Creates the table, unless the file has it already.
pub(crate) async fn create(client: &Client) -> Result<(), Box<dyn Error>> {
    let key = KeySchemaElement::builder().key_type(KeyType::Hash);
    let attribute = AttributeDefinition::builder().attribute_type(ScalarAttributeType::N);
    let table = client.create_table().table_name(TABLE);
    let table = table.billing_mode(BillingMode::PayPerRequest);
    let table = table.key_schema(key.attribute_name("account").build()?);
    let table = table.attribute_definitions(attribute.attribute_name("account").build()?);
    match table.send().await.map_err(aws_sdk_dynamodb::Error::from) {
        Ok(_) | Err(aws_sdk_dynamodb::Error::ResourceInUseException(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether each account holds the newest record before a position.
pub(crate) async fn compare(client: &Client, position: u64) -> Result<(), Box<dyn Error>> {
    let scan = client.scan().table_name(TABLE).consistent_read(true);
    let items = scan.into_paginator().items().send().try_collect().await?;
    let held: Vec<Record> = serde_dynamo::from_items(items)?;
    let newest = held.iter().filter(|record| {
        let newer = record.position + ACCOUNTS;
        record.position < position && position <= newer
    });
    let (newest, accounts) = (newest.count() as u64, ACCOUNTS.min(position));
    if newest != accounts || held.len() as u64 != accounts {
        return Err(
            format!("only {newest} of {accounts} accounts hold their newest record").into(),
        );
    }
    println!("compared: all {accounts} accounts hold their newest record");
    Ok(())
}
