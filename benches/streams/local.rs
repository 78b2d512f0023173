//! A DynamoDB Local that runs already, to have a server beside the fake that is not ours.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};

use crate::changes::{Clients, unique};
use crate::rig::Failure;

/// What `tests/run` sets too.
const URL: &str = "DYNAMODB_LOCAL_URL";

pub(crate) struct Local {
    url: String,
    runtime: tokio::runtime::Runtime,
}

impl Local {
    /// The one that the environment names.
    pub(crate) fn find() -> Result<Option<Self>, Failure> {
        let Ok(url) = std::env::var(URL) else {
            return Ok(None);
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Some(Self { url, runtime }))
    }

    /// A table of its own with a stream.
    pub(crate) fn table(&self) -> Result<Clients, Failure> {
        let clients = Clients::new(&self.url, &unique("table"));
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
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build()?;
        let creating = clients
            .dynamodb
            .create_table()
            .table_name(&clients.table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(customer)
            .attribute_definitions(number)
            .key_schema(partition)
            .key_schema(sort)
            .stream_specification(stream);
        self.runtime.block_on(async {
            creating.send().await?;
            // It makes a stream's shard a moment after the table.
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Failure>(())
        })?;
        Ok(clients)
    }

    /// Deletes the table; lease tables of a few rows stay, until the server ends.
    pub(crate) fn clear(&self, clients: &Clients) -> Result<(), Failure> {
        let deleting = clients.dynamodb.delete_table().table_name(&clients.table);
        self.runtime.block_on(deleting.send())?;
        Ok(())
    }
}
