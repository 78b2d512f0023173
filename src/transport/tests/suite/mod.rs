//! The assertions about every service, either way. Compiled once for each: `super` names it, by its
//! `sdk`, `RESOURCE`, `CALL` and the like.

mod errors;
mod kinds;
mod outputs;
mod requests;
mod settings;
mod sockets;

use super::{
    ACCOUNTS_SHARE, CALL, READ, RESOURCE, WHERE, code_of, holds_items, host_of_account, list,
    operations, page, read, sdk, transport,
};
use crate::transport::tests::{ATTEMPT, WAYS, body, fake};
use crate::transport::{Transport, TransportKind, Way};
use fake::Fake;
use sdk::Client;
use sdk::config::{Builder, Credentials, Region};

fn config(fake: &Fake) -> Builder {
    sdk::Config::builder()
        .behavior_version_latest()
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .http_client(fake.clone())
}

pub(in crate::transport::tests) fn client(
    fake: &Fake,
    adjust: impl FnOnce(Builder) -> Builder,
) -> Client {
    Client::from_conf(adjust(config(fake)).build())
}

/// A transport past its first call, so that the direct way is the one under test. What was sent
/// and answered till then is forgotten.
pub(in crate::transport::tests) async fn opened(
    kind: TransportKind,
    fake: &Fake,
    client: &Client,
    resource: &str,
) -> Transport {
    let transport = transport(client, kind, resource, ATTEMPT);
    fake.unscripted();
    let first = transport.call(CALL, body("{}")).await;
    assert!(first.is_ok(), "{first:?}");
    let direct = matches!(transport.0.way(), Way::Direct(_));
    assert_eq!(direct, kind == TransportKind::Direct);
    fake.forget();
    transport
}
