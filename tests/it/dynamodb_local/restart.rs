//! The server is killed under full load and started again, several times: nothing is lost, nothing overtakes.
//!
//! Numbered records go to a hundred keys, as fast as the server takes them. Some keys are guarded by the number: a
//! record that came after a newer one of its key would fail its condition, so that `Written` for all of them
//! shows that none did. After each kill every key is read, and must hold what was confirmed before, or
//! something newer: what DynamoDB Local confirms is in its files, and survives SIGKILL.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ScalarAttributeType;
use dynamodb_connector::retry::{RetryBudgetSettings, RetryPolicy};
use dynamodb_connector::sink::{DynamoDbSink, Receipt, TableSettings, TableSink};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::create;
use crate::servers::local_dynamodb::{LocalDynamoDb, Storage};
use crate::setup::{Row, TABLE, row};

const KEYS: u64 = 100;
const KILLS: u64 = 2;
/// Records confirmed between two kills. In files, each request takes the server a while.
const CONFIRMED: u64 = 200;
const LONGEST: Duration = Duration::from_secs(300);

fn key(n: u64) -> String {
    format!("k{}", n % KEYS)
}

fn place(n: u64) -> usize {
    usize::try_from(n % KEYS).expect("small")
}

fn is_guarded(n: u64) -> bool {
    n.is_multiple_of(10)
}

/// The highest number confirmed of each key.
type Confirmed = Arc<Mutex<Vec<Option<u64>>>>;

/// Submits numbered records until it is told to stop; gives their number.
async fn write(
    table: TableSink,
    receipts: mpsc::UnboundedSender<(u64, Receipt)>,
    stop: watch::Receiver<bool>,
) -> u64 {
    let mut n = 0;
    while !*stop.borrow() {
        let record = row(key(n), n);
        let mut put = table.put(&record);
        if is_guarded(n) {
            put = put.newer_by("n");
        }
        let receipt = put.await.expect("it is open");
        receipts.send((n, receipt)).expect("they are awaited");
        n += 1;
    }
    n
}

/// Awaits every receipt; all say `Written`.
async fn confirm(
    mut receipts: mpsc::UnboundedReceiver<(u64, Receipt)>,
    confirmed: Confirmed,
) -> u64 {
    let mut count = 0;
    while let Some((n, receipt)) = receipts.recv().await {
        let outcome = timeout(LONGEST, receipt).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("record {n} has no outcome"));
        assert!(outcome.is_written(), "record {n}: {outcome:?}");
        confirmed.lock()[place(n)] = Some(n);
        count += 1;
    }
    count
}

/// The number that each key holds.
async fn stored(client: &Client) -> Vec<Option<u64>> {
    let scan = client.scan().table_name(TABLE).consistent_read(true);
    let items = scan.send().await.expect("scanned").items.expect("items");
    let mut stored: Vec<Option<u64>> = (0..KEYS).map(|_| None).collect();
    for item in items {
        let row: Row = serde_dynamo::from_item(item).expect("a row");
        assert_eq!(row.pk, key(row.n));
        stored[place(row.n)] = Some(row.n);
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_started_again_loses_nothing() {
    let test = "dynamodb_local::restart::a_server_that_is_killed_and_started_again_loses_nothing";
    let name = format!("dynamodb-connector-{}", std::process::id());
    let files = Storage::Files(std::env::temp_dir().join(name));
    let Some(mut server) = LocalDynamoDb::start(test, files).await else {
        return;
    };
    let client = server.client();
    create(&client, TABLE, ScalarAttributeType::S, None).await;
    // Probed twice a second while it is away, and no budget to be waited for when it is back.
    let budget = RetryBudgetSettings::default().min_per_second(1_000);
    let retry = RetryPolicy::default()
        .max_backoff(Duration::from_millis(500))
        .budget(budget);
    let settings = TableSettings::default().buffer_records(200).retry(retry);
    let sink = DynamoDbSink::builder(&client)
        .table(TABLE, settings)
        .seed(7);
    let table = sink.open().await.unwrap().table(TABLE).unwrap();

    let confirmed: Confirmed = Arc::new(Mutex::new((0..KEYS).map(|_| None).collect()));
    let (send, receive) = mpsc::unbounded_channel();
    let (end, ended) = watch::channel(false);
    let writer = tokio::spawn(write(table.clone(), send, ended));
    let confirmer = tokio::spawn(confirm(receive, Arc::clone(&confirmed)));
    for round in 0..KILLS {
        let enough = table.stats().written + CONFIRMED;
        let progress = async {
            while table.stats().written < enough && !confirmer.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let progress = timeout(LONGEST, progress).await;
        assert!(progress.is_ok(), "nothing is written after {round} kills");
        if confirmer.is_finished() {
            // Some record was not written: it is said below.
            break;
        }
        let before = confirmed.lock().clone();
        server.kill();
        server.restart().await;
        for (key, (found, wanted)) in stored(&client).await.iter().zip(&before).enumerate() {
            assert!(found >= wanted, "key {key}: {found:?} < {wanted:?}");
        }
    }
    // While the server is away, flush and close wait for it.
    let flush = tokio::spawn({
        let table = table.clone();
        async move { table.flush().await }
    });
    server.kill();
    server.restart().await;
    let flushed = timeout(LONGEST, flush).await.expect("it resolves");
    flushed.unwrap().unwrap();
    end.send_replace(true);
    let submitted = writer.await.unwrap();
    let closed = timeout(LONGEST, table.close()).await.expect("it resolves");
    closed.unwrap();
    assert_eq!(confirmer.await.unwrap(), submitted, "all are written");
    assert_eq!(table.stats().written, submitted);
    assert!(table.stats().failed_requests > 0, "the kills were felt");
    let newest = |first| (0..submitted).rev().find(|n| n % KEYS == first);
    let wanted: Vec<Option<u64>> = (0..KEYS).map(newest).collect();
    assert_eq!(stored(&client).await, wanted);
}
