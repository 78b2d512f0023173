//! The suite over DynamoDB Streams.

#[expect(
    clippy::duplicate_mod,
    reason = "the suite is the same for each service"
)]
#[path = "suite/mod.rs"]
pub(super) mod suite;

use super::fake::Fake;
use super::{ATTEMPT, WAYS, body, tables};
use crate::retry::ErrorClass;
use crate::transport::operation::Service;
use crate::transport::{Operation, ServiceClock, Transport, TransportKind, Way};
use aws_sdk_dynamodbstreams::config::Credentials;
use aws_sdk_dynamodbstreams::error::ProvideErrorMetadata;
use aws_sdk_dynamodbstreams::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_dynamodbstreams::{self as sdk, Client};
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use std::sync::Arc;
use std::time::Duration;

/// The resource that the suite opens, and the operation that it calls where any will do.
const RESOURCE: &str =
    "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-31T23:59:59.123";
const CALL: Operation = Operation::GetRecords;

/// An operation whose answer is made of items.
const READ: Operation = Operation::GetRecords;

/// Where requests go: by name of the configuration, the resource and the URI.
const WHERE: &[(&str, &str, &str)] = &[
    (
        "plain",
        RESOURCE,
        "https://streams.dynamodb.eu-west-1.amazonaws.com/",
    ),
    (
        "fips",
        RESOURCE,
        "https://streams.dynamodb-fips.eu-west-1.amazonaws.com/",
    ),
    (
        "dual stack",
        RESOURCE,
        "https://streams-dynamodb.eu-west-1.api.aws/",
    ),
    (
        "fips and dual stack",
        RESOURCE,
        "https://streams-dynamodb-fips.eu-west-1.api.aws/",
    ),
    // Neither the account of the credentials nor that of the stream has an endpoint of its own.
    (
        "account id",
        RESOURCE,
        "https://streams.dynamodb.eu-west-1.amazonaws.com/",
    ),
];

/// `true` if an endpoint is that of every account.
const ACCOUNTS_SHARE: bool = true;

fn transport(client: &Client, kind: TransportKind, stream: &str, attempt: Duration) -> Transport {
    Transport::streams(
        client,
        kind,
        stream,
        attempt,
        &Arc::new(ServiceClock::new()),
    )
}

async fn list(client: &Client) {
    client.list_streams().send().await.unwrap();
}

/// A page of what [`READ`] reads.
fn page() -> &'static str {
    "{\"NextShardIterator\":\"next\",\"Records\":[{\"eventName\":\"INSERT\",\
     \"dynamodb\":{\"SequenceNumber\":\"1\",\"NewImage\":{\"id\":{\"S\":\"a\"}}}}]}"
}

async fn read(client: &Client) {
    let request = client.get_records().shard_iterator("first");
    request.send().await.unwrap();
}

fn holds_items(output: &Output) -> bool {
    let output: &GetRecordsOutput = output.downcast_ref().unwrap();
    !output.records().is_empty()
}

fn code_of(error: &Error) -> Option<String> {
    let error: &GetRecordsError = error.downcast_ref()?;
    error.code().map(str::to_owned)
}

fn operations() -> &'static [Operation] {
    Service::Streams.operations()
}

/// The same for all.
fn host_of_account(_account: usize) -> &'static str {
    "streams.dynamodb.eu-west-1.amazonaws.com"
}

#[tokio::test]
async fn an_operation_of_the_other_service_is_refused_and_not_sent() {
    for kind in WAYS {
        let fake = Fake::default();
        let stream = suite::client(&fake, |config| config);
        let stream = suite::opened(kind, &fake, &stream, RESOURCE).await;
        let table = tables::suite::client(&fake, |config| config);
        let table = tables::suite::opened(kind, &fake, &table, "orders").await;
        let of_tables = Service::DynamoDb
            .operations()
            .iter()
            .map(|of| (&stream, *of));
        let of_streams = operations().iter().map(|of| (&table, *of));
        for (transport, operation) in of_tables.chain(of_streams) {
            // Before the way is known as well as after.
            for transport in [transport, &transport.to(RESOURCE)] {
                let error = transport.call(operation, body("{}")).await.unwrap_err();
                assert_eq!(error.code(), "ClientMisconfigured", "{kind:?}");
                assert_eq!(error.class(), ErrorClass::Fatal);
                assert!(error.to_string().contains(operation.name()), "{error}");
                assert!(fake.sent().is_empty(), "{kind:?} {operation:?}");
            }
        }
    }
}

#[tokio::test]
async fn any_operation_lets_the_way_be_captured_for_all() {
    for &first in operations() {
        let fake = Fake::default();
        let client = suite::client(&fake, |config| config);
        let transport = Transport::streams(
            &client,
            TransportKind::Auto,
            RESOURCE,
            ATTEMPT,
            &Arc::new(ServiceClock::new()),
        );
        transport.call(first, body("{}")).await.unwrap();
        assert!(matches!(transport.0.way(), Way::Direct(_)), "{first:?}");
        for &operation in operations() {
            fake.forget();
            transport.call(operation, body("{\"a\":1}")).await.unwrap();
            let sent = fake.only();
            let target = format!("DynamoDBStreams_20120810.{operation:?}");
            assert_eq!(sent.header("x-amz-target"), target);
            assert!(sent.header("user-agent").contains("dynamodbstreams"));
            // Only the orchestrator sends one.
            assert_eq!(sent.header("amz-sdk-invocation-id"), "");
            let keys = Credentials::new("AKID", "secret", None, None, "test");
            sent.verify(&keys, "eu-west-1");
        }
    }
}
