//! The changes of a table on DynamoDB Local, through the source, and through a pipeline to Apache Kafka: nothing lost, in order,
//! whatever is killed meanwhile.
//!
//! Rows are numbered by key, each change one more. What comes again must have come before; what comes first comes in turn.

mod kafka;
mod source;

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    BillingMode, KeyType, ScalarAttributeType, StreamSpecification, StreamViewType,
};
use dynamodb_connector::retry::{RetryBudgetSettings, RetryPolicy};
use dynamodb_connector::sink::{DynamoDbSink, TableSettings, TableSink};
use dynamodb_connector::streams::{StreamsSource, StreamsSourceBuilder};
use tokio::time::timeout;

use crate::conformance::harness::{attribute, client_for, key_element};
use crate::servers::streams_client_for;
use crate::setup::row;

/// However slow the machine.
const LONGEST: Duration = Duration::from_secs(240);

/// A table name that no other test and no other run has.
fn table_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("changes-{}-{number}", std::process::id())
}

async fn create(client: &Client, name: &str, stream: bool) {
    let mut create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key_element("pk", KeyType::Hash))
        .attribute_definitions(attribute("pk", ScalarAttributeType::S));
    if stream {
        let images = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages);
        create = create.stream_specification(images.build().expect("complete"));
    }
    create.send().await.expect("a table");
}

fn source(url: &str, table: &str) -> StreamsSourceBuilder {
    StreamsSource::builder(&client_for(url), &streams_client_for(url), table).seed(7)
}

/// A sink that waits for a server that is away.
async fn sink(client: &Client, table: &str) -> TableSink {
    let budget = RetryBudgetSettings::default().min_per_second(1_000);
    let retry = RetryPolicy::default()
        .max_backoff(Duration::from_millis(500))
        .budget(budget);
    let settings = TableSettings::default()
        .retry(retry)
        .request_timeout(LONGEST);
    let sink = DynamoDbSink::builder(client).table(table, settings).seed(7);
    sink.open()
        .await
        .expect("opened")
        .table(table)
        .expect("it was added")
}

/// Writes these versions of so many keys, from 1 on, all keys in turn.
async fn write(table: TableSink, keys: u64, versions: std::ops::RangeInclusive<u64>) {
    for version in versions {
        for key in 0..keys {
            let put = table.put(&row(format!("k{key}"), version));
            drop(put.await.expect("it is open"));
        }
    }
    let closed = timeout(LONGEST, table.close()).await.expect("in time");
    closed.expect("all are written");
}

/// What was seen of each key.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Counted>>);

#[derive(Default)]
struct Counted {
    newest: BTreeMap<String, u64>,
    first: u64,
    again: u64,
}

impl Seen {
    /// As if each key had been seen up to this version.
    fn after(keys: u64, version: u64) -> Self {
        let seen = Self::default();
        let newest = (0..keys).map(|key| (format!("k{key}"), version)).collect();
        seen.0.lock().newest = newest;
        seen
    }

    /// Notes a change; whether it came for the first time.
    fn note(&self, key: &str, version: u64) -> bool {
        let mut counted = self.0.lock();
        let newest = counted.newest.entry(key.to_owned()).or_default();
        assert!(version <= *newest + 1, "{key}: {version} after {newest}");
        let first = version == *newest + 1;
        if first {
            *newest = version;
            counted.first += 1;
        } else {
            counted.again += 1;
        }
        first
    }

    /// Changes seen, each counted once.
    fn first(&self) -> u64 {
        self.0.lock().first
    }

    /// Changes that were seen again.
    fn again(&self) -> u64 {
        self.0.lock().again
    }

    /// Waits until so many changes were seen, each counted once.
    async fn until(&self, count: u64) {
        let wait = async {
            while self.first() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(LONGEST, wait).await;
        assert!(waited.is_ok(), "{} of {count} changes came", self.first());
    }
}
