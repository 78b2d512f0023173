//! The input, the table, and whether the one is in the other.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use dynamodb_connector::TableSpec;
use dynamodb_connector::embedded::{EmbeddedDynamoDb, EmbeddedError};
use dynamodb_connector::item::KeyKind;
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
pub(crate) async fn create(database: &EmbeddedDynamoDb) -> Result<(), EmbeddedError> {
    let table = TableSpec::new(TABLE).partition("number", KeyKind::Number);
    match database.create_table(table).await {
        Err(EmbeddedError::TableExists { .. }) => Ok(()),
        created => created,
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
