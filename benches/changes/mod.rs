//! What the benchmarks of change streams share: a DynamoDB with streams in another process, what is
//! written to it, clients of it, and a board on which the times of each write are noted.
#![allow(dead_code, reason = "each benchmark uses the part it needs")]

pub(crate) mod board;
pub(crate) mod decision;
pub(crate) mod reading;
pub(crate) mod sdk_loop;
pub(crate) mod server;
pub(crate) mod writing;

use std::sync::atomic::{AtomicU32, Ordering};

use aws_credential_types::Credentials;
use aws_sdk_dynamodbstreams::config::{BehaviorVersion, Config, Region};
use dynamodb_connector::streams::{StreamsSource, StreamsSourceBuilder};

use crate::rig::{Failure, cores, sdk};

/// Clients of one server.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) endpoint: String,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) streams: aws_sdk_dynamodbstreams::Client,
    pub(crate) table: String,
}

impl Clients {
    /// The SDK's clients as users have them, for a server on this machine.
    pub(crate) fn new(endpoint: &str, table: &str) -> Self {
        let streams = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .credentials_provider(Credentials::new(
                "AKIDEXAMPLE",
                "wJalrXUtnFEMIK7MDENG",
                None,
                None,
                "bench",
            ))
            .endpoint_url(endpoint)
            .http_client(sdk::http_client())
            .build();
        Self {
            endpoint: endpoint.to_owned(),
            dynamodb: sdk::client(endpoint),
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams),
            table: table.to_owned(),
        }
    }

    /// A source that shares its leases with those of the same lease table.
    pub(crate) fn source(&self, lease_table: &str) -> StreamsSourceBuilder {
        StreamsSource::builder(&self.dynamodb, &self.streams, &self.table).lease_table(lease_table)
    }
}

/// A name that nobody else has, so that nothing is taken over from the run before.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("bench-{what}-{}-{number}", std::process::id())
}

/// Runs a client that leaves the server's core to the server, as do the threads and processes that it starts. Servers are started outside,
/// where that core is still to be had.
pub(crate) fn beside_server<T: Send>(
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let client = || {
        cores::leave(cores::SERVER);
        work()
    };
    std::thread::scope(|scope| scope.spawn(client).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
