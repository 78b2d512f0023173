//! What the sink's tests have in common: a table, a record, and a sink opened on both.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::TableSpec;
use dynamodb_connector::item::{KeyKind, KeySchema};
use dynamodb_connector::sink::{DynamoDbSink, DynamoDbSinkBuilder, TableSettings, TableSink};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use serde::{Deserialize, Serialize};

pub(crate) const TABLE: &str = "decisions";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) pk: String,
    pub(crate) n: u64,
}

pub(crate) fn row(pk: impl Into<String>, n: u64) -> Row {
    Row { pk: pk.into(), n }
}

/// A key alone.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Id {
    pub(crate) pk: String,
}

pub(crate) fn id(pk: impl Into<String>) -> Id {
    Id { pk: pk.into() }
}

/// A record of about this many bytes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Large {
    pub(crate) pk: String,
    pub(crate) text: String,
}

pub(crate) fn large(pk: impl Into<String>, bytes: usize) -> Large {
    Large {
        pk: pk.into(),
        text: "x".repeat(bytes),
    }
}

/// The faulty DynamoDB with [`TABLE`], whose key is `pk`.
pub(crate) fn fake() -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    fake
}

pub(crate) fn keys() -> KeySchema {
    KeySchema::new("pk", KeyKind::String)
}

/// A builder of [`TABLE`] alone, with its keys given and a fixed seed.
pub(crate) fn builder(fake: &FaultyDynamoDb, settings: TableSettings) -> DynamoDbSinkBuilder {
    DynamoDbSink::builder(&fake.client())
        .table(TABLE, settings)
        .keys(TABLE, keys())
        .seed(7)
}

pub(crate) async fn open_with(fake: &FaultyDynamoDb, settings: TableSettings) -> TableSink {
    let sink = builder(fake, settings).open().await.expect("opened");
    sink.table(TABLE).expect("it was added")
}

pub(crate) async fn open(fake: &FaultyDynamoDb) -> TableSink {
    open_with(fake, TableSettings::default()).await
}

pub(crate) async fn opened() -> (FaultyDynamoDb, TableSink) {
    let fake = fake();
    let table = open(&fake).await;
    (fake, table)
}

/// Settings under which each write is a request of its own, one at a time.
pub(crate) fn one_by_one() -> TableSettings {
    TableSettings::default()
        .concurrency(1)
        .max_batch_items(1)
        .request_timeout(Duration::from_secs(300))
}

/// A fault that strikes writes alone, whatever their operation, and no description of the table: that is asked for
/// in the background, at a time which is not the test's.
pub(crate) fn on_writes(fault: Fault) -> Fault {
    fault.on_key(|_| true)
}

/// How many requests with writes were sent.
pub(crate) fn writes_sent(fake: &FaultyDynamoDb) -> usize {
    let requests = fake.requests();
    let writes = requests.iter().filter(|request| {
        let operation = request.operation();
        operation.is_some_and(Operation::is_write)
    });
    writes.count()
}

/// Whether a key is this one.
pub(crate) fn is_pk(pk: &'static str) -> impl Fn(&HashMap<String, AttributeValue>) -> bool {
    move |key| key.get("pk") == Some(&AttributeValue::S(pk.to_owned()))
}

/// The item of this key.
pub(crate) fn stored(fake: &FaultyDynamoDb, pk: &str) -> Option<HashMap<String, AttributeValue>> {
    fake.item(TABLE, [("pk", AttributeValue::S(pk.to_owned()))])
}

/// The number `n` of the item of this key.
pub(crate) fn stored_n(fake: &FaultyDynamoDb, pk: &str) -> Option<u64> {
    let item = stored(fake, pk)?;
    item.get("n")?.as_n().ok()?.parse().ok()
}

/// Lets all other tasks run until they wait, without letting time pass.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Nothing of the buffer is taken, and nobody waits.
pub(crate) fn assert_no_room_taken(table: &TableSink) {
    let stats = table.stats();
    assert_eq!(
        (
            stats.buffered_records,
            stats.buffered_bytes,
            stats.waiting_callers
        ),
        (0, 0, 0)
    );
}

/// The log of a test.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects what is logged on this thread, by this filter, while the guard is held.
    pub(crate) fn subscribe(filter: &str) -> (Self, LogGuard) {
        // With one dispatcher alone, tracing asks the thread that reaches a callsite first whether it is
        // of interest; that may be another test's.
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        let log = Self::default();
        let out = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || out.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (
            log,
            LogGuard {
                _subscriber: guard,
                _second: second,
            },
        )
    }

    /// The lines that contain this text, such as a level.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let bytes = self.0.lock();
        let log = String::from_utf8_lossy(&bytes);
        let lines = log.lines().filter(|line| line.contains(text));
        lines.map(str::to_owned).collect()
    }
}

/// Keeps a [`Log`] collecting.
pub(crate) struct LogGuard {
    _subscriber: tracing::subscriber::DefaultGuard,
    _second: tracing::Dispatch,
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock();
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
