//! Batches by the AWS SDK, and which of their records were written.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use dynamodb_connector::test_util::FaultyDynamoDb;

use crate::record::{Record, Ticket};
use crate::rig::Failure;

/// A record that waits to be written.
pub(crate) struct Entry {
    request: WriteRequest,
    ticket: Ticket,
}

/// How a batch came back. The entries that were written are reported already.
pub(crate) enum Answered {
    /// These are left, in the order in which they were sent; none where all were written.
    Left(Vec<Entry>),
    /// All are left, for the service refused the request as a whole.
    Refused(Vec<Entry>),
}

impl Entry {
    pub(crate) fn new(record: Record, ticket: Ticket) -> Result<Self, Failure> {
        let text = AttributeValue::S;
        let put = PutRequest::builder()
            .item("pk", text(record.pk))
            .item("sk", AttributeValue::N(record.sk.to_string()))
            .item("body", text(record.body));
        let put = match record.state {
            Some(state) => put.item("state", text(state)),
            None => put,
        };
        let request = WriteRequest::builder().put_request(put.build()?).build();
        Ok(Self { request, ticket })
    }
}

/// A client in a retry partition of its own, as one process would have it: else all would draw
/// on one bucket.
pub(crate) fn client(fake: &FaultyDynamoDb, retries: RetryConfig) -> Client {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let partition = format!("bench-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let config = fake
        .config_builder()
        .retry_config(retries)
        .retry_partition(RetryPartition::new(partition));
    Client::from_conf(config.build())
}

/// Sends one batch. What is no throttling ends the benchmark, and is left unanswered.
pub(crate) async fn send(client: &Client, table: &str, batch: Vec<Entry>) -> Option<Answered> {
    let requests = batch.iter().map(|entry| entry.request.clone()).collect();
    let answer = client
        .batch_write_item()
        .request_items(table, requests)
        .send()
        .await;
    let left = match answer {
        Ok(answer) => answer.unprocessed_items.unwrap_or_default(),
        Err(error) => match error.code() {
            Some(
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded",
            ) => return Some(Answered::Refused(batch)),
            _ => {
                let failure = aws_sdk_dynamodb::error::DisplayErrorContext(&error).to_string();
                if let Some(entry) = batch.first() {
                    entry.ticket.failed(failure.into());
                }
                return None;
            }
        },
    };
    let mut left: HashMap<(String, String), WriteRequest> = left
        .into_values()
        .flatten()
        .filter_map(|request| Some((key(&request)?, request)))
        .collect();
    let mut again = Vec::with_capacity(left.len());
    for Entry { request, ticket } in batch {
        match key(&request).and_then(|key| left.remove(&key)) {
            Some(request) => again.push(Entry { request, ticket }),
            None => ticket.written(),
        }
    }
    Some(Answered::Left(again))
}

fn key(request: &WriteRequest) -> Option<(String, String)> {
    let item = request.put_request.as_ref()?.item();
    let pk = item.get("pk")?.as_s().ok()?.clone();
    let sk = item.get("sk")?.as_n().ok()?.clone();
    Some((pk, sk))
}
