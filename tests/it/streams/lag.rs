//! How far behind a source is, and which shards are not read at all.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::streams::{ShardId, StreamsSettings};
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb, Operation};
use tokio::sync::Semaphore;

use super::rig::{
    Log, TABLE, Worker, eventually, failing, nth, open_shards, put, put_large, table,
};

const SECOND: Duration = Duration::from_secs(1);

fn only_shard(fake: &FaultyDynamoDb) -> ShardId {
    ShardId::from(open_shards(fake).remove(0))
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_cannot_be_read_lags_from_when_it_was_last_read_up() {
    let fake = table(1);
    let shard = only_shard(&fake);
    let worker = Worker::start(nth(&fake, 1), &Log::default()).await;
    let lag = || worker.control.stats().lag.get(&shard).copied();
    eventually("it is read up", 10 * SECOND, || {
        lag() == Some(Duration::ZERO)
    })
    .await;
    // Nothing is written: the records that were read say nothing of the time since.
    fake.fault_plan(failing(&[Operation::GetRecords]));
    tokio::time::sleep(300 * SECOND).await;
    let behind = lag().expect("it is read by this worker");
    assert!((295..=305).contains(&behind.as_secs()), "{behind:?}");
    fake.fault_plan(FaultPlan::seeded(1));
    eventually("it is read up", 60 * SECOND, || {
        lag() == Some(Duration::ZERO)
    })
    .await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_a_slow_handler_keeps_from_being_read_lags() {
    let fake = table(1);
    for version in 0..100 {
        put_large(&fake, "a", version).await;
    }
    let settings = StreamsSettings::default().page_records(2);
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let builder = nth(&fake, 1).settings(settings.buffer_bytes(1 << 20));
    let worker = Worker::handle(builder, log.gated_handler(&gate)).await;
    tokio::time::sleep(120 * SECOND).await;
    let lag = worker.control.stats().lag[&only_shard(&fake)];
    assert!((115..=125).contains(&lag.as_secs()), "{lag:?}");
    gate.add_permits(1);
    log.until(100).await;
    let lag = || worker.control.stats().lag;
    eventually("no lag is left", 60 * SECOND, || {
        lag().values().all(Duration::is_zero)
    })
    .await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn shards_that_no_worker_reads_are_seen_by_the_others() {
    let fake = table(4);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    let other = Worker::start(nth(&fake, 2), &log).await;
    eventually("they share", 30 * SECOND, || {
        worker.shards().len() == 2 && other.shards().len() == 2
    })
    .await;
    eventually("all is counted", 5 * SECOND, || {
        worker.control.stats().ready == 4
    })
    .await;
    assert!(worker.control.stats().unread.is_empty());
    other.kill().await;
    // It takes them in the same look in which it finds them, where it can write.
    tokio::time::sleep(9 * SECOND).await;
    fake.fault_plan(failing(&[Operation::UpdateItem]));
    let unread = || worker.control.stats().unread;
    eventually("two are unread", 10 * SECOND, || unread().len() == 2).await;
    let longest = unread().into_values().max().expect("two");
    assert!((8..=13).contains(&longest.as_secs()), "{longest:?}");
    fake.fault_plan(FaultPlan::seeded(1));
    eventually("all are read", 60 * SECOND, || {
        unread().is_empty() && worker.shards().len() == 4
    })
    .await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_waits_for_its_parent_is_not_ready() {
    let fake = table(1);
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let worker = Worker::handle(nth(&fake, 1), log.gated_handler(&gate)).await;
    put(&fake, "a", 0).await;
    fake.roll_shard(TABLE, &open_shards(&fake)[0]);
    put(&fake, "a", 1).await;
    tokio::time::sleep(60 * SECOND).await;
    let stats = worker.control.stats();
    assert_eq!(
        (stats.ready, stats.unread.len(), stats.lag.len()),
        (1, 0, 1)
    );
    // All of it is read, and what is left is its child's.
    assert_eq!(stats.lag.values().max(), Some(&Duration::ZERO));
    gate.add_permits(1);
    log.until(2).await;
    worker.stop().await;
}

/// DynamoDB Local refuses every iterator of a shard without records. Nothing is there to be read.
#[tokio::test(start_paused = true)]
async fn at_dynamodb_local_an_open_shard_that_was_emptied_does_not_lag() {
    let fake = table(1);
    fake.imitate_dynamodb_local(TABLE);
    put(&fake, "a", 0).await;
    let last = fake.shards(TABLE)[0]
        .last_sequence_number()
        .map(str::to_owned);
    let shard = open_shards(&fake).remove(0);
    fake.trim_shard(TABLE, &shard, &last.expect("a record"));
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    tokio::time::sleep(20 * SECOND).await;
    for _ in 0..600 {
        tokio::time::sleep(SECOND / 2).await;
        let lag = worker.control.stats().lag[&only_shard(&fake)];
        assert_eq!(lag, Duration::ZERO);
    }
    put(&fake, "a", 1).await;
    let since = tokio::time::Instant::now();
    log.until(1).await;
    assert!(since.elapsed() < 3 * SECOND, "{:?}", since.elapsed());
    worker.stop().await;
}
