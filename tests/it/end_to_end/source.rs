//! The source alone: the server killed and started again, shards that roll over, a table without a stream.

use parking_lot::Mutex;
use std::sync::Arc;

use dynamodb_connector::streams::{
    Batch, BatchError, StreamsError, StreamsSettings, StreamsSource,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{LONGEST, Seen, create, sink, source, table_name, write};
use crate::conformance::harness::{client_for, local_url};
use crate::servers::local_dynamodb::{LocalDynamoDb, Storage};
use crate::setup::Row;

const TABLE: &str = "changes";
const KEYS: u64 = 20;

/// The shards in the order in which their records came, each named once for each time it was gone on with.
type Shards = Arc<Mutex<Vec<String>>>;

fn run(
    source: StreamsSource,
    seen: &Seen,
    shards: &Shards,
) -> JoinHandle<Result<(), StreamsError>> {
    let (seen, shards) = (seen.clone(), Arc::clone(shards));
    tokio::spawn(source.run(move |batch: Batch<Row>| {
        let mut shards = shards.lock();
        let shard = batch.shard.to_string();
        if shards.last() != Some(&shard) {
            shards.push(shard);
        }
        for change in &batch.changes {
            let row = change.new.as_ref().expect("nothing is removed");
            seen.note(&row.pk, row.n);
        }
        std::future::ready(Ok::<(), BatchError>(()))
    }))
}

async fn ended(running: JoinHandle<Result<(), StreamsError>>) {
    let ended = timeout(LONGEST, running).await.expect("in time");
    ended.expect("no panic").expect("it ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_whose_server_is_killed_and_started_again_loses_nothing() {
    const VERSIONS: u64 = 75;
    let test =
        "end_to_end::source::a_source_whose_server_is_killed_and_started_again_loses_nothing";
    let folder = std::env::temp_dir().join(table_name());
    let Some(mut server) = LocalDynamoDb::start(test, Storage::Files(folder)).await else {
        return;
    };
    let client = server.client();
    create(&client, TABLE, true).await;
    let (seen, shards) = (Seen::default(), Shards::default());
    let opened = source(&server.url(), TABLE).open().await.expect("opened");
    let control = opened.control();
    let running = run(opened, &seen, &shards);
    let writer = tokio::spawn(write(sink(&client, TABLE).await, KEYS, 1..=VERSIONS));
    for kill in 1..=2 {
        seen.until(kill * 400).await;
        server.kill();
        server.restart().await;
    }
    timeout(LONGEST, writer)
        .await
        .expect("in time")
        .expect("no panic");
    seen.until(KEYS * VERSIONS).await;
    assert!(control.stats().failed_reads > 0, "the kills were felt");
    control.stop();
    ended(running).await;

    // What was handled is checkpointed: a second run goes on behind it.
    let further = Seen::after(KEYS, VERSIONS);
    let opened = source(&server.url(), TABLE).open().await.expect("opened");
    let control = opened.control();
    let running = run(opened, &further, &shards);
    let next = VERSIONS + 1;
    write(sink(&client, TABLE).await, KEYS, next..=next).await;
    further.until(KEYS).await;
    assert_eq!(further.again(), 0);
    control.stop();
    ended(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_roll_over_under_a_running_source_are_read_one_after_the_other() {
    const ROLLOVERS: u64 = 4;
    let test = "end_to_end::source::shards_that_roll_over_under_a_running_source_are_read_one_after_the_other";
    let Some(server) = LocalDynamoDb::start(test, Storage::Memory).await else {
        return;
    };
    let client = server.client();
    create(&client, TABLE, true).await;
    let (seen, shards) = (Seen::default(), Shards::default());
    let opened = source(&server.url(), TABLE).open().await.expect("opened");
    let control = opened.control();
    let running = run(opened, &seen, &shards);
    let versions = 50 * (ROLLOVERS + 1);
    let writer = tokio::spawn(write(sink(&client, TABLE).await, KEYS, 1..=versions));
    for rollover in 1..=ROLLOVERS {
        seen.until(rollover * 800).await;
        server.rollover().await;
    }
    timeout(LONGEST, writer)
        .await
        .expect("in time")
        .expect("no panic");
    seen.until(KEYS * versions).await;
    assert_eq!(seen.again(), 0);
    control.stop();
    ended(running).await;
    let shards = shards.lock().clone();
    assert_eq!(shards.len() as u64, ROLLOVERS + 1, "{shards:?}");
    // The time is in their names.
    assert!(shards.is_sorted(), "{shards:?}");
}

#[tokio::test]
async fn a_table_without_a_stream_is_an_error_that_says_how_to_switch_it_on() {
    let test =
        "end_to_end::source::a_table_without_a_stream_is_an_error_that_says_how_to_switch_it_on";
    let Some(url) = local_url(test) else { return };
    let client = client_for(&url);
    let name = table_name();
    create(&client, &name, false).await;
    let error = source(&url, &name).open().await.expect_err("no stream");
    assert!(
        matches!(&error, StreamsError::NoStream { table, .. } if *table == name),
        "{error:?}"
    );
    assert!(error.to_string().contains("update-table"), "{error}");
    let settings = StreamsSettings::default();
    let missing = source(&url, "nowhere").settings(settings).open().await;
    let error = missing.expect_err("no table");
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
    client
        .delete_table()
        .table_name(&name)
        .send()
        .await
        .expect("deleted");
}
