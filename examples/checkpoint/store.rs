//! The input, the table, and whether the one is in the other.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use serde::{Deserialize, Serialize};

pub(crate) const TABLE: &str = "orders";

#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    number: u64,
}

/// The order at a place of the endless input.
pub(crate) fn order(position: u64) -> Order {
    Order { number: position }
}

/// Creates the table, unless the file has it already.
pub(crate) async fn create(client: &Client) -> Result<(), Box<dyn Error>> {
    let key = KeySchemaElement::builder().key_type(KeyType::Hash);
    let attribute = AttributeDefinition::builder().attribute_type(ScalarAttributeType::N);
    let table = client.create_table().table_name(TABLE);
    let table = table.billing_mode(BillingMode::PayPerRequest);
    let table = table.key_schema(key.attribute_name("number").build()?);
    let table = table.attribute_definitions(attribute.attribute_name("number").build()?);
    match table.send().await.map_err(aws_sdk_dynamodb::Error::from) {
        Ok(_) | Err(aws_sdk_dynamodb::Error::ResourceInUseException(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the table holds every order before a position.
pub(crate) async fn compare(client: &Client, position: u64) -> Result<(), Box<dyn Error>> {
    let scan = client.scan().table_name(TABLE).consistent_read(true);
    let items = scan.into_paginator().items().send().try_collect().await?;
    let held: Vec<Order> = serde_dynamo::from_items(items)?;
    // A process that was killed may have written some that come again after this position.
    let held = held.iter().filter(|order| order.number < position);
    let held = u64::try_from(held.count())?;
    if held < position {
        return Err(format!("{} of {position} orders are missing", position - held).into());
    }
    println!("compared: all {position} orders are in the table");
    Ok(())
}
