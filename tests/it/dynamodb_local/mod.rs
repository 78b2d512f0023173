//! The sink against DynamoDB Local: what it accepts, the server takes; what the server refuses or loses, the sink
//! tells truly; and what is read back by the plain SDK is what was written.
//!
//! That the faulty DynamoDB of the other tests answers as DynamoDB Local does is checked by `conformance`; here
//! nothing of it stands between.

mod capacity;
mod conditions;
mod errors;
mod keys;
mod limits;
mod lossy;
mod lost_answers;
mod restart;
mod transactions;
mod values;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, BillingMode, GlobalSecondaryIndex, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};
use dynamodb_connector::sink::{DynamoDbSink, Outcome, Receipt, TableSettings, TableSink};

use crate::conformance::harness::{self, Item, attribute, client_for, key_element, s};

/// A table of a test's own on DynamoDB Local.
struct Local {
    url: String,
    client: Client,
    name: String,
}

impl Local {
    /// A table with this key and an index `by-group` on `g`, a string; `None`, with a word, where no server is.
    async fn with_key(
        test: &str,
        partition: ScalarAttributeType,
        sort: Option<ScalarAttributeType>,
    ) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let url = harness::local_url(&format!("dynamodb_local::{test}"))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sink-{}-{number}", std::process::id());
        let client = client_for(&url);
        create(&client, &name, partition, sort).await;
        Some(Self { url, client, name })
    }

    /// A table whose key is `pk`, a string.
    async fn new(test: &str) -> Option<Self> {
        Self::with_key(test, ScalarAttributeType::S, None).await
    }

    async fn open(&self) -> TableSink {
        self.open_with(TableSettings::default()).await
    }

    /// However slow the machine, no request is given up.
    async fn open_with(&self, settings: TableSettings) -> TableSink {
        let settings = settings.request_timeout(Duration::from_secs(300));
        let builder = DynamoDbSink::builder(&self.client).table(&self.name, settings);
        let sink = builder.seed(7).open().await.expect("opened");
        sink.table(&self.name).expect("it was added")
    }

    /// The item with this key, read by the plain SDK.
    async fn get(&self, key: Item) -> Option<Item> {
        harness::get(&self.client, &self.name, key).await
    }

    async fn items(&self) -> Vec<Item> {
        let mut pages = self.client.scan().table_name(&self.name);
        pages = pages.consistent_read(true);
        let mut items = Vec::new();
        let mut pages = pages.into_paginator().items().send();
        while let Some(item) = pages.next().await {
            items.push(item.expect("scanned"));
        }
        items
    }

    /// Deletes the table. What a failed test leaves goes with the server.
    async fn end(self) {
        let delete = self.client.delete_table().table_name(&self.name);
        delete.send().await.expect("deleted");
    }
}

async fn create(
    client: &Client,
    name: &str,
    partition: ScalarAttributeType,
    sort: Option<ScalarAttributeType>,
) {
    let all = Projection::builder().projection_type(ProjectionType::All);
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-group")
        .key_schema(key_element("g", KeyType::Hash))
        .projection(all.build());
    let mut create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key_element("pk", KeyType::Hash))
        .attribute_definitions(attribute("pk", partition))
        .attribute_definitions(attribute("g", ScalarAttributeType::S))
        .global_secondary_indexes(index.build().expect("complete"));
    if let Some(sort) = sort {
        create = create
            .key_schema(key_element("sk", KeyType::Range))
            .attribute_definitions(attribute("sk", sort));
    }
    create.send().await.expect("a table");
}

fn pk(text: impl Into<String>) -> Item {
    HashMap::from([("pk".to_owned(), s(text))])
}

/// An item of attributes.
fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

async fn all_written(receipts: Vec<Receipt>) {
    for (place, receipt) in receipts.into_iter().enumerate() {
        let outcome = receipt.await;
        assert!(matches!(outcome, Outcome::Written), "{place}: {outcome:?}");
    }
}
