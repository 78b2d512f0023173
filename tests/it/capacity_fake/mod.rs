//! The fake refuses what exceeds a capacity, says why, and keeps account of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod limits;
mod on_demand;
mod requests;
mod tables;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemError;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, ThrottlingReason, WriteRequest};
use dynamodb_connector::TableSpec;
use dynamodb_connector::test_util::{Capacity, FaultyDynamoDb, TableSpecExt as _};

const TABLE: &str = "decisions";
const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/decisions";

fn fake(spec: TableSpec, capacity: Capacity) -> (FaultyDynamoDb, Client) {
    let fake = FaultyDynamoDb::new();
    fake.create_table(spec.enforce(capacity));
    let client = fake.client();
    (fake, client)
}

fn provisioned(units: u64) -> TableSpec {
    TableSpec::new(TABLE).provisioned(5, units)
}

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A put of so many write units; more attributes by name.
fn put(id: &str, units: usize, more: &[(&str, &str)]) -> WriteRequest {
    let mut put = PutRequest::builder().item("pk", s(id));
    if units > 1 {
        put = put.item("x", s("x".repeat((units - 1) * 1024)));
    }
    for (name, value) in more {
        put = put.item(*name, s(*value));
    }
    WriteRequest::builder()
        .put_request(put.build().unwrap())
        .build()
}

fn puts(ids: std::ops::Range<usize>) -> Vec<WriteRequest> {
    ids.map(|id| put(&id.to_string(), 1, &[])).collect()
}

/// How many of a batch came back, or the exception with its reasons.
async fn write(
    client: &Client,
    writes: Vec<WriteRequest>,
) -> Result<usize, (String, Vec<ThrottlingReason>)> {
    let batch = client.batch_write_item().request_items(TABLE, writes);
    match batch.send().await {
        Ok(answer) => {
            let left = answer.unprocessed_items.unwrap_or_default();
            Ok(left.values().map(Vec::len).sum())
        }
        Err(error) => {
            let error = error.into_service_error();
            let code = error.code().unwrap_or("none").to_owned();
            let reasons = match error {
                BatchWriteItemError::ProvisionedThroughputExceededException(error) => {
                    error.throttling_reasons.unwrap_or_default()
                }
                BatchWriteItemError::ThrottlingException(error) => {
                    error.throttling_reasons.unwrap_or_default()
                }
                BatchWriteItemError::RequestLimitExceeded(error) => {
                    error.throttling_reasons.unwrap_or_default()
                }
                other => panic!("another error: {other:?}"),
            };
            Err((code, reasons))
        }
    }
}

/// The exception with the one reason for which a batch is refused whole.
async fn refusal(client: &Client, writes: Vec<WriteRequest>) -> (String, String, String) {
    let (code, reasons) = write(client, writes).await.expect_err("refused");
    let [reason] = &reasons[..] else {
        panic!("not one reason: {reasons:?}");
    };
    let text = |text: Option<&str>| text.unwrap_or("none").to_owned();
    (code, text(reason.reason()), text(reason.resource()))
}

fn expected(code: &str, reason: &str, resource: &str) -> (String, String, String) {
    (code.to_owned(), reason.to_owned(), resource.to_owned())
}

async fn seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// Offers batches of 25 for a time, one each so many milliseconds; gives the writes admitted.
async fn offer(client: &Client, every: Duration, span: Duration) -> usize {
    let (mut admitted, mut id) = (0, 0);
    let mut at = Duration::ZERO;
    while at < span {
        tokio::time::sleep(every).await;
        at += every;
        // Few keys, so that a long run keeps a small table.
        let from = id % 4_000;
        admitted += write(client, puts(from..from + 25))
            .await
            .map_or(0, |left| 25 - left);
        id += 25;
    }
    admitted
}

async fn warm_units(client: &Client) -> i64 {
    let table = client
        .describe_table()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    let warm = table.table.unwrap().warm_throughput.unwrap();
    warm.write_units_per_second.unwrap()
}
