//! Faults, journal and clock through the AWS SDK, in process and over HTTP.

mod answers;
mod server;
mod times;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, PutRequest, TransactWriteItem, Update, WriteRequest,
};
use dynamodb_table_spec::KeyKind;

use crate::*;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn put(pk: &str) -> WriteRequest {
    let put = PutRequest::builder()
        .item("pk", s(pk))
        .item("v", AttributeValue::N("1.0".into()));
    WriteRequest::builder()
        .put_request(put.build().expect("an item"))
        .build()
}

fn fake() -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new("decisions"));
    fake
}

/// Writes one item; the exception's name where there is one, `dispatch`, `timeout` or `response`
/// for the SDK's other kinds of failure.
async fn write(client: &Client, pk: &str) -> Result<(), String> {
    let put = client
        .put_item()
        .table_name("decisions")
        .item("pk", s(pk))
        .send()
        .await;
    put.map(drop).map_err(|error| match error.code() {
        Some(code) => code.to_owned(),
        None => match &error {
            aws_sdk_dynamodb::error::SdkError::DispatchFailure(_) => "dispatch".to_owned(),
            aws_sdk_dynamodb::error::SdkError::TimeoutError(_) => "timeout".to_owned(),
            other => match other
                .raw_response()
                .map(|response| response.status().as_u16())
            {
                Some(200) | None => "response".to_owned(),
                Some(status) => status.to_string(),
            },
        },
    })
}

fn err(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}
