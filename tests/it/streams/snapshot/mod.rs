//! A snapshot of the table merged with its stream, over the fake in virtual time.

mod order;
mod scans;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use dynamodb_connector::GapPolicy;
use dynamodb_connector::streams::{
    Batch, BatchError, EventKind, SnapshotSettings, StartPosition, StreamsControl, StreamsError,
    StreamsSettings, StreamsSourceBuilder,
};
use dynamodb_connector::test_util::FaultyDynamoDb;
use futures::StreamExt as _;
use tokio::task::JoinHandle;

use super::rig::{Item, Log, SNAPSHOT_TABLE, TABLE, builder, put, table};

fn id(n: usize) -> String {
    format!("d-{n:05}")
}

/// Items of version 1, whose changes the stream has forgotten.
async fn fill(fake: &FaultyDynamoDb, items: usize) {
    let ids: Vec<String> = (0..items).map(id).collect();
    for ids in ids.chunks(25) {
        let writes = ids.iter().map(|id| {
            let put = PutRequest::builder()
                .item("id", AttributeValue::S(id.clone()))
                .item("version", AttributeValue::N("1".to_owned()))
                .build()
                .expect("an item");
            WriteRequest::builder().put_request(put).build()
        });
        let request = fake.client().batch_write_item();
        let request = request.request_items(TABLE, writes.collect());
        request.send().await.expect("they are written");
    }
    fake.trim_stream(TABLE, 0);
}

async fn start(
    builder: StreamsSourceBuilder,
    log: &Log,
) -> (StreamsControl, JoinHandle<Result<(), StreamsError>>) {
    let source = builder.open().await.expect("it opens");
    let control = source.control();
    let running = tokio::spawn(source.run(log.handler()));
    (control, running)
}

async fn stop(control: &StreamsControl, running: JoinHandle<Result<(), StreamsError>>) {
    control.stop();
    running.await.expect("no panic").expect("it ends well");
}

#[expect(
    clippy::disallowed_methods,
    reason = "paused: the test decides the time"
)]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Returns whether the snapshot's row says that all is done.
fn is_complete(fake: &FaultyDynamoDb) -> bool {
    let key = [("leaseKey", AttributeValue::S("snapshot".to_owned()))];
    let row = fake.item(SNAPSHOT_TABLE, key);
    row.is_some_and(|row| row["checkpoint"] == AttributeValue::S("SHARD_END".to_owned()))
}

async fn until_complete(fake: &FaultyDynamoDb) {
    let wait = async {
        while !is_complete(fake) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(3600), wait).await;
    waited.expect("the snapshot is complete within the hour");
}

/// The versions of every item in the table.
fn versions(fake: &FaultyDynamoDb) -> HashMap<String, u64> {
    let items = fake.items(TABLE).into_iter().map(|item| {
        let version = item["version"].as_n().expect("a number").parse();
        let id = item["id"].as_s().expect("text").clone();
        (id, version.expect("a number"))
    });
    items.collect()
}

/// Each item's versions, in the order in which they were seen.
fn histories(log: &Log) -> HashMap<String, Vec<(u64, EventKind)>> {
    let mut all: HashMap<String, Vec<(u64, EventKind)>> = HashMap::new();
    for seen in log.seen() {
        all.entry(seen.id)
            .or_default()
            .push((seen.version, seen.kind));
    }
    all
}

/// Every item was seen as it is now at last, and none stepped back.
fn check(fake: &FaultyDynamoDb, log: &Log) {
    let seen = histories(log);
    for (id, version) in versions(fake) {
        let history = seen
            .get(&id)
            .unwrap_or_else(|| panic!("{id} was never seen"));
        let steps: Vec<u64> = history.iter().map(|(version, _)| *version).collect();
        assert!(steps.is_sorted(), "{id}: {steps:?}");
        assert_eq!(steps.last(), Some(&version), "{id}: {steps:?}");
    }
}

fn snapshot_builder(fake: &FaultyDynamoDb, settings: SnapshotSettings) -> StreamsSourceBuilder {
    builder(fake)
        .start(StartPosition::Snapshot)
        .settings(StreamsSettings::default().snapshot(settings))
}
