//! The table, and what to leave of it.

use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, TableStatus,
};
use dynamodb_connector::item::{KeyAttribute, KeyKind, KeySchema};
use dynamodb_connector::sink::TableSink;

use crate::rig::records::{NOTE_BYTES, decision};
use crate::rig::sdk::{self, Item};
use crate::rig::{Failure, clock};

/// What all keys begin with, in a table that may hold other items.
const PREFIX: &str = "dynamodb-connector-bench";
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
    keys: KeySchema,
    /// Made for this, to be deleted.
    own: bool,
}

impl Table {
    /// The one that is named, or a new one.
    pub(crate) async fn open(client: Client, given: Option<&str>) -> Result<Self, Failure> {
        let name = match given {
            Some(name) => name.to_owned(),
            None => create(&client).await?,
        };
        let keys = TableSink::open(&client, &name)
            .await?
            .shape()
            .keys()
            .clone();
        if keys.partition().kind() != KeyKind::String {
            return Err(format!("table {name:?}: its partition key must be a string").into());
        }
        Ok(Self {
            client,
            name,
            keys,
            own: given.is_none(),
        })
    }

    /// The item of this number: the same for all contenders and rounds, which overwrite one
    /// another's, so that the table stays small.
    pub(crate) fn item(&self, number: usize) -> Item {
        let mut item = sdk::attributes(decision(number, NOTE_BYTES));
        item.extend(self.key(number));
        item
    }

    fn key(&self, number: usize) -> Item {
        let value = |attribute: &KeyAttribute| {
            let text = format!("{PREFIX}-{number:010}");
            let value = match attribute.kind() {
                KeyKind::Number => AttributeValue::N(number.to_string()),
                KeyKind::Binary => AttributeValue::B(Blob::new(text)),
                KeyKind::String => AttributeValue::S(text),
            };
            (attribute.name().to_owned(), value)
        };
        [Some(self.keys.partition()), self.keys.sort()]
            .into_iter()
            .flatten()
            .map(value)
            .collect()
    }

    /// Deletes the table, or of a table that was there the items of the numbers below `items`.
    pub(crate) async fn clear(&self, items: usize) -> Result<(), Failure> {
        if self.own {
            let delete = self.client.delete_table().table_name(&self.name);
            delete.send().await?;
            return Ok(());
        }
        let table = TableSink::open(&self.client, &self.name).await?;
        for number in 0..items {
            drop(table.delete_item(&self.key(number)).await?);
        }
        Ok(table.close().await?)
    }
}

/// An on-demand table of a name that nobody has.
async fn create(client: &Client) -> Result<String, Failure> {
    let name = format!(
        "{PREFIX}-{}",
        clock::now().duration_since(UNIX_EPOCH)?.as_millis()
    );
    let key = |name: &str, kind, of| -> Result<_, Failure> {
        let attribute = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(of)
            .build()?;
        let key = KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()?;
        Ok((attribute, key))
    };
    let (customer, partition) = key("customer", KeyType::Hash, ScalarAttributeType::S)?;
    let (number, sort) = key("number", KeyType::Range, ScalarAttributeType::N)?;
    client
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(customer)
        .attribute_definitions(number)
        .key_schema(partition)
        .key_schema(sort)
        .send()
        .await?;
    let began = clock::instant();
    while began.elapsed() < PATIENCE {
        let table = client
            .describe_table()
            .table_name(&name)
            .send()
            .await?
            .table;
        if table.is_some_and(|table| table.table_status == Some(TableStatus::Active)) {
            return Ok(name);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(format!("table {name:?} was made and did not become active").into())
}
