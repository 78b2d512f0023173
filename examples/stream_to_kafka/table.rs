//! The table, and the writes to it.

use std::error::Error;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};
use dynamodb_connector::sink::TableSink;
use indicatif::ProgressBar;

use crate::decision::{Application, Stage};

/// A table with the partition key `id` and a stream.
pub(crate) async fn create(client: &Client, table: &str) -> Result<(), Box<dyn Error>> {
    let id = AttributeDefinition::builder()
        .attribute_name("id")
        .attribute_type(ScalarAttributeType::S)
        .build()?;
    let key = KeySchemaElement::builder()
        .attribute_name("id")
        .key_type(KeyType::Hash)
        .build()?;
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewAndOldImages)
        .build()?;
    client
        .create_table()
        .table_name(table)
        .attribute_definitions(id)
        .key_schema(key)
        .stream_specification(stream)
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await?;
    Ok(())
}

/// Writes every decision at every stage. Ten are under way at a time, as in a service; the sink keeps each one's stages in order.
pub(crate) async fn load(
    sink: TableSink,
    applications: Vec<Application>,
    bar: ProgressBar,
) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let started = now();
    for group in applications.chunks(10) {
        for stage in Stage::ALL {
            for application in group {
                drop(sink.put(&application.at(stage)).await?);
                bar.inc(1);
            }
        }
    }
    sink.close().await?;
    Ok(started.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "to say how long it took")]
fn now() -> Instant {
    Instant::now()
}
