//! Requests for a rescan that can't be stored: they are repeated for as long as it takes, and nothing passes the gap before.

use std::time::Duration;

use dynamodb_connector::streams::{StreamsError, StreamsSettings, StreamsSourceBuilder};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use dynamodb_connector::{GapPolicy, Health};

use super::rig::{
    Log, SNAPSHOT_TABLE, TABLE, Worker, checkpoint, eventually, leases, nth, open_shards, put,
    put_each, table,
};

const SECOND: Duration = Duration::from_secs(1);

fn rescanning(fake: &FaultyDynamoDb, n: u64) -> StreamsSourceBuilder {
    let settings = StreamsSettings::default().on_gap(GapPolicy::Rescan);
    nth(fake, n).settings(settings)
}

/// No request for a rescan is stored from now on.
fn refuse_requests(fake: &FaultyDynamoDb) {
    let fault = Fault::internal_error().on(Operation::UpdateItem);
    fake.inject(fault.table(SNAPSHOT_TABLE).always());
}

/// A shard of which a change was trimmed unread, with the checkpoint before it.
async fn trimmed() -> (FaultyDynamoDb, String) {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    let log = Log::default();
    let worker = Worker::start(rescanning(&fake, 1), &log).await;
    put(&fake, "a", 0).await;
    log.until(1).await;
    worker.stop().await;
    put(&fake, "b", 0).await;
    fake.trim_stream(TABLE, 0);
    (fake, shard)
}

#[tokio::test(start_paused = true)]
async fn a_rescan_that_can_not_be_requested_for_minutes_ends_nothing_and_nothing_passes_the_gap() {
    let (fake, shard) = trimmed().await;
    let before = checkpoint(&fake, &shard);
    refuse_requests(&fake);
    let log = Log::default();
    let worker = Worker::start(rescanning(&fake, 2), &log).await;
    tokio::time::sleep(180 * SECOND).await;
    assert!(worker.is_running(), "{}", worker.error().await);
    assert_eq!(worker.control.stats().gaps, 1);
    assert_eq!(checkpoint(&fake, &shard), before);
    let Health::Failing { operation, .. } = worker.control.health() else {
        panic!("{}", worker.control.health());
    };
    assert!(operation.starts_with("UpdateItem"), "{operation}");
    fake.heal();
    // By the scan alone: its change was trimmed.
    log.until(2).await;
    assert_eq!(log.versions("b"), [0]);
    put(&fake, "b", 1).await;
    log.until(3).await;
    assert_eq!(worker.control.health(), Health::Healthy);
    worker.stop().await;
    assert_eq!(named_owners(&fake), 0);
}

/// The leases that still name an owner.
fn named_owners(fake: &FaultyDynamoDb) -> usize {
    let rows = leases(fake).into_values();
    rows.filter(|row| row.contains_key("leaseOwner")).count()
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_answered_while_a_rescan_can_not_be_requested() {
    let (fake, shard) = trimmed().await;
    let before = checkpoint(&fake, &shard);
    // Its answer stays away as well.
    let fault = Fault::never_answer().on(Operation::UpdateItem);
    fake.inject(fault.table(SNAPSHOT_TABLE).always());
    let worker = Worker::start(rescanning(&fake, 2), &Log::default()).await;
    let gaps = || worker.control.stats().gaps == 1;
    eventually("the gap is found", 10 * SECOND, gaps).await;
    tokio::time::sleep(3 * SECOND).await;
    let since = tokio::time::Instant::now();
    worker.stop().await;
    assert!(since.elapsed() < SECOND, "{:?}", since.elapsed());
    assert_eq!(checkpoint(&fake, &shard), before, "the gap is found again");
    assert_eq!(named_owners(&fake), 0);
}

/// A generation of shards that came and went between two listings: the rows of its children wait for the request, and other shards are read on.
#[tokio::test(start_paused = true)]
async fn rows_behind_a_gap_wait_until_the_rescan_is_requested() {
    let fake = table(2);
    let log = Log::default();
    let worker = Worker::start(rescanning(&fake, 1), &log).await;
    put_each(&fake, 20, 0).await;
    log.until(20).await;
    let rolled = open_shards(&fake).remove(0);
    refuse_requests(&fake);
    let unseen = fake.roll_shard(TABLE, &rolled);
    let child = fake.roll_shard(TABLE, &unseen);
    fake.forget_shard(TABLE, &unseen);
    eventually("the gap is found", 30 * SECOND, || {
        worker.control.stats().gaps == 1
    })
    .await;
    tokio::time::sleep(60 * SECOND).await;
    assert!(worker.is_running(), "{}", worker.error().await);
    assert_eq!(
        checkpoint(&fake, &child),
        None,
        "its row would hide the gap"
    );
    let steady = log.len();
    put_each(&fake, 20, 1).await;
    let is_read = || log.len() > steady;
    eventually("the other shard is read", 10 * SECOND, is_read).await;
    fake.heal();
    eventually("the child is read", 120 * SECOND, || {
        worker.shards().contains(&child)
    })
    .await;
    eventually("all is given", 120 * SECOND, || {
        (0..20).all(|id| log.versions(&format!("k{id}")).contains(&1))
    })
    .await;
    assert_eq!(worker.control.stats().gaps, 1);
    worker.stop().await;
}

/// Time alone does not help against missing rights.
#[tokio::test(start_paused = true)]
async fn a_rescan_that_may_not_be_requested_ends_the_source() {
    let (fake, _) = trimmed().await;
    let fault = Fault::access_denied().on(Operation::UpdateItem);
    fake.inject(fault.table(SNAPSHOT_TABLE).always());
    let worker = Worker::start(rescanning(&fake, 2), &Log::default()).await;
    let error = worker.error().await;
    let StreamsError::Service {
        operation, target, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*operation, &**target), ("UpdateItem", SNAPSHOT_TABLE));
}
