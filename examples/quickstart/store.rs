//! What the SDK is used for directly: to read the table back.

use std::error::Error;

use aws_sdk_dynamodb::Client;

use crate::decision::Decision;

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
