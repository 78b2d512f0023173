//! What these tests are made of: a table with a stream, writes, and handlers that note what they see.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::streams::{
    Batch, BatchError, EventKind, StreamsControl, StreamsError, StreamsSource, StreamsSourceBuilder,
};
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb, Operation, TableSpecExt as _};
use dynamodb_connector::{StreamView, TableSpec};
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) const TABLE: &str = "decisions";
pub(crate) const LEASES: &str = "decisions-leases";
pub(crate) const SNAPSHOT_TABLE: &str = "decisions-leases-snapshot";

/// A plan by which each request of these operations fails.
pub(crate) fn failing(operations: &[Operation]) -> FaultPlan {
    FaultPlan::seeded(1)
        .operations(operations.iter().copied())
        .internal_error(1.0)
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) version: u64,
}

/// A change as a handler saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) kind: EventKind,
    pub(crate) shard: String,
}

/// A table of string keys whose stream has so many open shards.
pub(crate) fn table(shards: usize) -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    fake.create_table(
        TableSpec::new(TABLE)
            .partition("id", KeyKind::String)
            .stream(StreamView::NewAndOldImages)
            .stream_shards(shards),
    );
    fake
}

pub(crate) fn builder(fake: &FaultyDynamoDb) -> StreamsSourceBuilder {
    StreamsSource::builder(&fake.client(), &fake.streams_client(), TABLE).seed(7)
}

/// The builder of one worker of several: each has a name and a seed of its own.
pub(crate) fn nth(fake: &FaultyDynamoDb, n: u64) -> StreamsSourceBuilder {
    builder(fake).worker(format!("w{n}")).seed(n)
}

pub(crate) async fn put(fake: &FaultyDynamoDb, id: &str, version: u64) {
    fake.client()
        .put_item()
        .table_name(TABLE)
        .item("id", AttributeValue::S(id.to_owned()))
        .item("version", AttributeValue::N(version.to_string()))
        .send()
        .await
        .expect("it is written");
}

/// Writes an item of 10 KB.
pub(crate) async fn put_large(fake: &FaultyDynamoDb, id: &str, version: u64) {
    let request = fake.client().put_item().table_name(TABLE);
    let request = request
        .item("id", AttributeValue::S(id.to_owned()))
        .item("version", AttributeValue::N(version.to_string()))
        .item("text", AttributeValue::S("x".repeat(10_000)));
    request.send().await.expect("it is written");
}

pub(crate) async fn delete(fake: &FaultyDynamoDb, id: &str) {
    let request = fake.client().delete_item().table_name(TABLE);
    let request = request.key("id", AttributeValue::S(id.to_owned()));
    request.send().await.expect("it is deleted");
}

/// Writes a version of each of so many items, `k0` and on.
pub(crate) async fn put_each(fake: &FaultyDynamoDb, ids: u64, version: u64) {
    for id in 0..ids {
        put(fake, &format!("k{id}"), version).await;
    }
}

/// The names of the open shards.
pub(crate) fn open_shards(fake: &FaultyDynamoDb) -> Vec<String> {
    let shards = fake.shards(TABLE).into_iter();
    let open = shards.filter(dynamodb_connector::test_util::ShardInfo::is_open);
    open.map(|shard| shard.id().to_owned()).collect()
}

pub(crate) type Row = HashMap<String, AttributeValue>;

/// The rows of the lease table by their keys.
pub(crate) fn leases(fake: &FaultyDynamoDb) -> BTreeMap<String, Row> {
    let rows = fake.items(LEASES).into_iter();
    rows.map(|row| (text(&row, "leaseKey").expect("a key"), row))
        .collect()
}

/// An attribute that is a text or a number.
pub(crate) fn text(row: &Row, name: &str) -> Option<String> {
    match row.get(name)? {
        AttributeValue::S(text) | AttributeValue::N(text) => Some(text.clone()),
        _ => None,
    }
}

/// The checkpoint of a shard's lease.
pub(crate) fn checkpoint(fake: &FaultyDynamoDb, shard: &str) -> Option<String> {
    text(leases(fake).get(shard)?, "checkpoint")
}

/// Puts a row of the lease table, behind the workers' backs.
pub(crate) async fn put_row(fake: &FaultyDynamoDb, row: Row) {
    let request = fake.client().put_item().table_name(LEASES);
    let put = request.set_item(Some(row)).send().await;
    put.expect("the row is written");
}

/// Makes the lease table, for rows that are there before the first worker.
pub(crate) fn make_lease_table(fake: &FaultyDynamoDb) {
    fake.create_table(TableSpec::new(LEASES).partition("leaseKey", KeyKind::String));
}

/// Waits, in virtual time, until this is so, and says how long it took.
pub(crate) async fn eventually(what: &str, within: Duration, is_so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < within,
            "not within {within:?} of virtual time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    start.elapsed()
}

/// A source that is being read by a handler.
pub(crate) struct Worker {
    pub(crate) control: StreamsControl,
    task: JoinHandle<Result<(), StreamsError>>,
}

impl Worker {
    /// Opens a source whose changes are noted.
    pub(crate) async fn start(builder: StreamsSourceBuilder, log: &Log) -> Self {
        Self::handle(builder, log.handler()).await
    }

    /// Opens a source whose changes are given to this handler.
    pub(crate) async fn handle<H, F>(builder: StreamsSourceBuilder, handler: H) -> Self
    where
        H: Fn(Batch<Item>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), BatchError>> + Send + 'static,
    {
        let source = builder.open().await.expect("it opens");
        Self {
            control: source.control(),
            task: tokio::spawn(source.run(handler)),
        }
    }

    /// Reads a source that is open. Its changes are noted.
    pub(crate) fn of(source: StreamsSource, log: &Log) -> Self {
        Self {
            control: source.control(),
            task: tokio::spawn(source.run(log.handler())),
        }
    }

    /// The shards that it reads.
    pub(crate) fn shards(&self) -> BTreeSet<String> {
        let lag = self.control.stats().lag;
        lag.keys().map(ToString::to_string).collect()
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    /// Closes it, as a service that shuts down does.
    pub(crate) async fn stop(self) {
        self.control.stop();
        self.task.await.expect("no panic").expect("it ends well");
    }

    /// Ends it where it is, as a crash does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let ended = self.task.await;
        assert!(ended.is_err(), "it was still running");
        // What it had spawned is gone once the runtime has been round.
        tokio::task::yield_now().await;
    }

    /// Waits for it to fail.
    pub(crate) async fn error(self) -> StreamsError {
        tokio::time::timeout(Duration::from_secs(600), self.task)
            .await
            .expect("it fails within 10 minutes")
            .expect("no panic")
            .expect_err("it fails")
    }
}

/// What handlers have seen, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.lock().clone()
    }

    pub(crate) fn versions(&self, id: &str) -> Vec<u64> {
        let seen = self.seen();
        let of_key = seen.iter().filter(|seen| seen.id == id);
        of_key.map(|seen| seen.version).collect()
    }

    /// Whether each item's versions are exactly these, none twice and in order.
    pub(crate) fn assert_each(&self, ids: u64, versions: std::ops::Range<u64>) {
        let versions: Vec<u64> = versions.collect();
        for id in 0..ids {
            assert_eq!(self.versions(&format!("k{id}")), versions, "of item k{id}");
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Notes a batch.
    pub(crate) fn note(&self, batch: &Batch<Item>) {
        let mut seen = self.0.lock();
        for change in &batch.changes {
            let item = change
                .new
                .as_ref()
                .or(change.old.as_ref())
                .expect("an image");
            seen.push(Seen {
                id: item.id.clone(),
                version: item.version,
                kind: change.kind,
                shard: batch.shard.to_string(),
            });
        }
    }

    /// A handler that notes everything.
    pub(crate) fn handler(
        &self,
    ) -> impl Fn(Batch<Item>) -> std::future::Ready<Result<(), BatchError>> + Send + Sync + 'static
    {
        let log = self.clone();
        move |batch| {
            log.note(&batch);
            std::future::ready(Ok(()))
        }
    }

    /// A handler that notes everything, once the gate has a permit for it.
    pub(crate) fn gated_handler(
        &self,
        gate: &Arc<Semaphore>,
    ) -> impl Fn(Batch<Item>) -> BoxFuture<'static, Result<(), BatchError>> + Send + Sync + 'static
    {
        let (log, gate) = (self.clone(), Arc::clone(gate));
        move |batch| {
            let (log, gate) = (log.clone(), Arc::clone(&gate));
            Box::pin(async move {
                let _permit = gate.acquire().await.expect("a permit");
                log.note(&batch);
                Ok(())
            })
        }
    }

    /// Waits, in virtual time, until so many changes were seen.
    pub(crate) async fn until(&self, count: usize) {
        let wait = async {
            while self.len() < count {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(600), wait)
            .await
            .unwrap_or_else(|_| panic!("{} of {count} changes after 10 minutes", self.len()));
    }
}
