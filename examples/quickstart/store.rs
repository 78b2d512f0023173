//! What the SDK is used for directly: to create the table, and to read it back.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};

use crate::decision::Decision;

/// Creates the table: customers by name, each one's applications by number.
pub(crate) async fn create(client: &Client, table: &str) -> Result<(), Box<dyn Error>> {
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest);
    for (name, kind, role) in [
        ("customer", ScalarAttributeType::S, KeyType::Hash),
        ("application", ScalarAttributeType::N, KeyType::Range),
    ] {
        request = request
            .attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name(name)
                    .attribute_type(kind)
                    .build()?,
            )
            .key_schema(
                KeySchemaElement::builder()
                    .attribute_name(name)
                    .key_type(role)
                    .build()?,
            );
    }
    request.send().await?;
    Ok(())
}

/// Every decision in the table, page by page, in no order.
pub(crate) async fn read_back(
    client: &Client,
    table: &str,
) -> Result<Vec<Decision>, Box<dyn Error>> {
    let mut pages = client
        .scan()
        .table_name(table)
        .consistent_read(true)
        .limit(100)
        .into_paginator()
        .send();
    let mut decisions = Vec::new();
    while let Some(page) = pages.next().await {
        let page: Vec<Decision> = serde_dynamo::from_items(page?.items.unwrap_or_default())?;
        decisions.extend(page);
    }
    Ok(decisions)
}
