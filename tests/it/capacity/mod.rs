//! The sink uses all of a table's capacity and little more, whatever is short: against the fake that enforces
//! it, in virtual time. `cargo test -- --nocapture capacity::` shows the figures.

#![expect(
    clippy::disallowed_methods,
    reason = "virtual time is what is measured in"
)]

mod hot_keys;
mod modes;
mod overrides;
mod reasons;
mod scenarios;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::{DynamoDbSink, TableSettings, TableSink};
use dynamodb_connector::test_util::{Capacity, CapacityUsage, FakeTable, FaultyDynamoDb};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::setup::TABLE;

/// What is written: a sort key, so that one partition key may have many items, and, for those that enter an
/// index, that index's key.
#[derive(Serialize)]
struct Event {
    pk: String,
    sk: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    body: String,
}

/// A table of [`Event`]s.
fn spec(name: &str) -> TableSpec {
    TableSpec::new(name)
        .partition("pk", KeyKind::String)
        .sort("sk", KeyKind::Number)
}

/// So many partitions of so many units each, and requests that take from 4 to 6 ms.
fn capacity(partitions: usize, partition_units: u64) -> Capacity {
    Capacity::enforced()
        .partitions(partitions)
        .partition_units(partition_units)
        .service_time(Duration::from_millis(5))
        .seed(11)
}

fn fake<T: Into<FakeTable>>(tables: impl IntoIterator<Item = T>) -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    fake.keep_journal(false);
    for table in tables {
        fake.create_table(table);
    }
    fake
}

/// Opens [`TABLE`], described.
async fn open(fake: &FaultyDynamoDb, settings: TableSettings, seed: u64) -> TableSink {
    let sink = DynamoDbSink::builder(&fake.client())
        .table(TABLE, settings)
        .seed(seed)
        .open();
    sink.await.expect("opened").table(TABLE).expect("opened")
}

/// A small buffer, which overload fills at once.
fn settings() -> TableSettings {
    TableSettings::default().buffer_records(2_000)
}

/// Records of one kind that are offered without end, and what became of them.
#[derive(Clone)]
struct Class {
    name: &'static str,
    /// Units offered each second, by the time; none for as many as find room.
    rate: Option<fn(f64) -> f64>,
    one_key: bool,
    indexed: bool,
    /// The bytes of a record with this number.
    bytes: fn(u32) -> usize,
    total: u32,
}

/// More than a buffer holds, and few enough for a small table.
const KEYS: u32 = 1 << 13;

impl Class {
    /// One-unit records over many keys, as many as find room.
    fn overload(name: &'static str) -> Self {
        Self {
            name,
            rate: None,
            one_key: false,
            indexed: false,
            bytes: |_| 100,
            total: u32::MAX,
        }
    }

    /// As many as this a second.
    fn offered(name: &'static str, rate: fn(f64) -> f64) -> Self {
        Self {
            rate: Some(rate),
            ..Self::overload(name)
        }
    }

    fn event(&self, number: u32) -> Event {
        let sk = number % KEYS;
        Event {
            pk: if self.one_key {
                self.name.to_owned()
            } else {
                format!("{}-{sk}", self.name)
            },
            sk,
            state: self.indexed.then(|| format!("open-{sk}")),
            // No two writes of a key are alike: an unchanged item would cost its indexes nothing.
            body: format!("{number:010}{}", "x".repeat((self.bytes)(sk))),
        }
    }

    /// Begins to offer them. What finds no room waits, and what was due by then comes as fast as it can.
    fn start(self, table: &TableSink) -> Load {
        let written = Arc::new(Written::default());
        let (log, table) = (Arc::clone(&written), table.clone());
        let task = tokio::spawn(async move {
            let started = Instant::now();
            let mut due = 0.0;
            for number in 0..self.total {
                if let Some(rate) = self.rate {
                    due += rate(due).recip();
                    tokio::time::sleep_until(started + Duration::from_secs_f64(due)).await;
                }
                let was_due = self.rate.map(|_| started + Duration::from_secs_f64(due));
                let event = self.event(number);
                let bytes = event.body.len();
                let receipt = table.put(&event).await.expect("accepted");
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    assert!(receipt.await.is_written());
                    log.count.fetch_add(1, Ordering::Relaxed);
                    log.bytes.lock().push(bytes);
                    if let Some(due) = was_due {
                        let mut took = log.took.lock();
                        took.push((due - started, due.elapsed()));
                    }
                });
            }
        });
        Load { written, task }
    }
}

#[derive(Default)]
struct Written {
    count: AtomicU64,
    /// The size of each.
    bytes: parking_lot::Mutex<Vec<usize>>,
    /// When each was due, and how long after that it was written.
    took: parking_lot::Mutex<Vec<(Duration, Duration)>>,
}

/// Records that are being offered.
struct Load {
    written: Arc<Written>,
    task: JoinHandle<()>,
}

impl Load {
    fn written(&self) -> f64 {
        let count = self.written.count.load(Ordering::Relaxed);
        f64::from(u32::try_from(count).expect("not that many"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What became of a table's capacity in a span of time.
#[derive(Clone, Debug)]
struct Span {
    from: CapacityUsage,
    until: CapacityUsage,
}

impl Span {
    /// The next so many seconds.
    async fn of(fake: &FaultyDynamoDb, length: f64) -> Self {
        let usage = || fake.capacity_usage(TABLE).expect("enforced");
        let from = usage();
        seconds(length).await;
        Self {
            from,
            until: usage(),
        }
    }

    fn consumed(&self) -> f64 {
        self.until.consumed_units - self.from.consumed_units
    }

    /// The share of what was granted that was used, in percent.
    fn used(&self) -> f64 {
        self.consumed() / (self.until.granted_units - self.from.granted_units) * 100.0
    }

    /// The same of an index.
    fn index_used(&self, index: &str) -> f64 {
        let (from, until) = (&self.from.indexes[index], &self.until.indexes[index]);
        (until.consumed_units - from.consumed_units) / (until.granted_units - from.granted_units)
            * 100.0
    }

    /// The share of the requests that were refused, wholly or in part, in percent.
    fn throttled(&self) -> f64 {
        let throttled = self.until.throttled_requests - self.from.throttled_requests;
        let requests = self.until.write_requests - self.from.write_requests;
        share(throttled, requests)
    }
}

/// In percent.
fn share<N: TryInto<u32>>(part: N, whole: N) -> f64 {
    let count = |count: N| f64::from(count.try_into().ok().expect("not that many"));
    count(part) / count(whole) * 100.0
}

async fn seconds(length: f64) {
    tokio::time::sleep(Duration::from_secs_f64(length)).await;
}

/// In percent, with the figure in the message.
#[track_caller]
fn at_least(figure: &str, value: f64, bar: f64) {
    eprintln!("{figure}: {value:.2} % (at least {bar} %)");
    assert!(value >= bar, "{figure}: {value:.2} %, at least {bar} %");
}

/// In percent, with the figure in the message.
#[track_caller]
fn at_most(figure: &str, value: f64, bar: f64) {
    eprintln!("{figure}: {value:.2} % (at most {bar} %)");
    assert!(value <= bar, "{figure}: {value:.2} %, at most {bar} %");
}
