//! The lease table, created where it is missing.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};

use super::super::error::StreamsError;
use super::row::KEY;
use super::table::LeaseTable;
use crate::item::KeyKind;

/// The longest wait for a new table to become active. It takes seconds; the service gives no bound.
const CREATION: Duration = Duration::from_secs(120);
/// The interval between checks whether it is active.
const CREATION_POLL: Duration = Duration::from_millis(500);

impl LeaseTable {
    /// Creates the table with on-demand billing unless it exists, and waits until it can be used.
    pub(crate) async fn ensure(&self) -> Result<(), StreamsError> {
        if self.is_in_memory() {
            return Ok(());
        }
        let mut waited = Duration::ZERO;
        loop {
            match self.transport.describe().await {
                Ok(table) if table.status == "ACTIVE" || table.status == "UPDATING" => {
                    let keys = table.shape.keys();
                    let partition = keys.partition();
                    if partition.name() == KEY
                        && partition.kind() == KeyKind::String
                        && keys.sort().is_none()
                    {
                        return Ok(());
                    }
                    return Err(StreamsError::not_a_lease_table(&self.name));
                }
                Ok(_) => {}
                Err(error) if error.is_missing() => self.create_table().await?,
                Err(error) if error.is_retryable() => {}
                Err(error) => {
                    return Err(StreamsError::service("DescribeTable", &self.name, error));
                }
            }
            if waited >= CREATION {
                return Err(StreamsError::LeaseTableNotActive {
                    table: self.name.clone(),
                    waited,
                });
            }
            tokio::time::sleep(CREATION_POLL).await;
            waited += CREATION_POLL;
        }
    }

    async fn create_table(&self) -> Result<(), StreamsError> {
        let failed = |error: &str| StreamsError::lease_table_creation(&self.name, error);
        let key = KeySchemaElement::builder()
            .attribute_name(KEY)
            .key_type(KeyType::Hash)
            .build();
        let attribute = AttributeDefinition::builder()
            .attribute_name(KEY)
            .attribute_type(ScalarAttributeType::S)
            .build();
        let created = self
            .client
            .create_table()
            .table_name(&self.name)
            .key_schema(key.map_err(|error| failed(&error.to_string()))?)
            .attribute_definitions(attribute.map_err(|error| failed(&error.to_string()))?)
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await;
        match created {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = error.into_service_error();
                // Another worker created it first.
                if error.is_resource_in_use_exception() {
                    return Ok(());
                }
                Err(failed(
                    error
                        .meta()
                        .message()
                        .or(error.meta().code())
                        .unwrap_or("no answer"),
                ))
            }
        }
    }
}
