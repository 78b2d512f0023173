//! The suite over DynamoDB.

#[path = "suite/mod.rs"]
pub(super) mod suite;

use crate::transport::operation::Service;
use crate::transport::{Operation, Transport, TransportKind};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::scan::{ScanError, ScanOutput};
use aws_sdk_dynamodb::{self as sdk, Client};
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use std::time::Duration;

/// The resource that the suite opens, and the operation that it calls where any will do.
const RESOURCE: &str = "orders";
const CALL: Operation = Operation::PutItem;

/// An operation whose answer is made of items.
const READ: Operation = Operation::Scan;

/// Where requests go: by name of the configuration, the resource and the URI.
const WHERE: &[(&str, &str, &str)] = &[
    (
        "plain",
        "orders",
        "https://dynamodb.eu-west-1.amazonaws.com/",
    ),
    (
        "fips",
        "orders",
        "https://dynamodb-fips.eu-west-1.amazonaws.com/",
    ),
    (
        "dual stack",
        "orders",
        "https://dynamodb.eu-west-1.api.aws/",
    ),
    (
        "fips and dual stack",
        "orders",
        "https://dynamodb-fips.eu-west-1.api.aws/",
    ),
    (
        "account id",
        "orders",
        "https://999999999999.ddb.eu-west-1.amazonaws.com/",
    ),
    (
        "plain",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/orders",
        "https://123456789012.ddb.eu-west-1.amazonaws.com/",
    ),
    (
        "account id",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/orders",
        "https://123456789012.ddb.eu-west-1.amazonaws.com/",
    ),
];

/// `true` if an endpoint is that of every account.
const ACCOUNTS_SHARE: bool = false;

fn transport(client: &Client, kind: TransportKind, table: &str, attempt: Duration) -> Transport {
    Transport::new(client, kind, table, attempt)
}

async fn list(client: &Client) {
    client.list_tables().send().await.unwrap();
}

/// A page of what [`READ`] reads.
fn page() -> &'static str {
    "{\"Count\":1,\"Items\":[{\"id\":{\"S\":\"a\"}}]}"
}

async fn read(client: &Client) {
    client.scan().table_name(RESOURCE).send().await.unwrap();
}

fn holds_items(output: &Output) -> bool {
    let output: &ScanOutput = output.downcast_ref().unwrap();
    !output.items().is_empty()
}

fn code_of(error: &Error) -> Option<String> {
    let error: &ScanError = error.downcast_ref()?;
    error.code().map(str::to_owned)
}

fn operations() -> &'static [Operation] {
    Service::DynamoDb.operations()
}

fn host_of_account(account: usize) -> String {
    format!("{account:012}.ddb.eu-west-1.amazonaws.com")
}
