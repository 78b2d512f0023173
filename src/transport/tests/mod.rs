//! One suite for both ways: what is asserted of one is asserted of the other.

mod describing;
mod errors;
mod fake;
mod kinds;
mod parsing;
mod requests;
mod settings;
mod sockets;

use super::{Operation, Transport, TransportKind, Way};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Builder, Credentials, Region};
use bytes::Bytes;
use fake::Fake;
use std::time::Duration;

const WAYS: [TransportKind; 2] = [TransportKind::Direct, TransportKind::Sdk];

const ATTEMPT: Duration = Duration::from_secs(20);

fn config(fake: &Fake) -> Builder {
    aws_sdk_dynamodb::Config::builder()
        .behavior_version_latest()
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .http_client(fake.clone())
}

fn client(fake: &Fake, adjust: impl FnOnce(Builder) -> Builder) -> Client {
    Client::from_conf(adjust(config(fake)).build())
}

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A transport past its first call, so that the direct way is the one under test. What was sent
/// and answered till then is forgotten.
async fn opened(kind: TransportKind, fake: &Fake, client: &Client, table: &str) -> Transport {
    let transport = Transport::new(client, kind, table, ATTEMPT);
    fake.unscripted();
    let first = transport.call(Operation::DescribeTable, body("{}")).await;
    assert!(first.is_ok(), "{first:?}");
    let direct = matches!(transport.0.way(), Way::Direct(_));
    assert_eq!(direct, kind == TransportKind::Direct);
    fake.forget();
    transport
}
