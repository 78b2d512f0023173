//! A shard that changes hands: what was begun ends first, whoever works on it, and however its thread is blocked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::streams::{
    Batch, BatchError, Delivery, StartPosition, StreamSettings, StreamsError,
};
use futures::StreamExt as _;
use tokio::sync::Semaphore;

use super::rig::{
    Item, LEASES, Log, TABLE, Worker, checkpoint, eventually, leases, nth, open_shards, put,
    put_each, put_row, table, text,
};

const SECOND: Duration = Duration::from_secs(1);

fn one_by_one() -> StreamSettings {
    StreamSettings::default()
        .batch_records(1)
        .drain_timeout(SECOND)
}

/// A consumer that keeps what it was given for longer than the drain sees that it is no longer its own, before another worker has it.
#[tokio::test(start_paused = true)]
async fn a_delivery_is_current_until_its_shard_may_be_another_workers() {
    let fake = table(2);
    put_each(&fake, 20, 0).await;
    let source = nth(&fake, 1).settings(one_by_one()).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let mut kept = Vec::new();
    while kept.len() < 20 {
        kept.push(stream.next().await.expect("more").expect("a record"));
    }
    let reading = tokio::spawn(async move { stream.next().await.map(|_| ()) });
    assert!(kept.iter().all(Delivery::is_current));

    let log = Log::default();
    let (seen, newcomer) = (log.clone(), nth(&fake, 2).settings(one_by_one()));
    let other = Worker::start(newcomer, &log).await;
    let given = seen.until(1);
    tokio::time::timeout(60 * SECOND, given)
        .await
        .expect("it is handed over");
    let taken = log.seen()[0].shard.clone();
    for delivery in &kept {
        let is_taken = delivery.record.shard_id().as_str() == taken;
        assert_eq!(delivery.is_current(), !is_taken);
    }
    other.stop().await;
    reading.abort();
}

/// A worker whose tasks are not run can't say that a lease has lapsed: the time does.
#[tokio::test(start_paused = true)]
async fn a_delivery_is_not_current_once_the_lease_was_not_renewed_in_time() {
    let fake = table(1);
    put_each(&fake, 2, 0).await;
    let source = nth(&fake, 1).settings(one_by_one()).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let delivery = stream.next().await.expect("more").expect("a record");
    assert!(delivery.is_current());
    // Every task of the runtime is held up for so long.
    tokio::time::advance(10 * SECOND).await;
    assert!(!delivery.is_current());
}

/// Handlers that keep their thread for longer than the failover time: whatever is done is checkpointed, while nobody else takes the lease.
#[tokio::test(start_paused = true)]
async fn a_handler_that_blocks_its_thread_for_longer_than_the_failover_time_gets_on() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    for version in 0..8 {
        put(&fake, "a", version).await;
    }
    let log = Log::default();
    let seen = log.clone();
    let handler = move |batch: Batch<Item>| {
        let log = seen.clone();
        async move {
            // The clock goes on and nothing else does: where it is polled again, other tasks are.
            let advancing = std::pin::pin!(tokio::time::advance(12 * SECOND));
            let _ = futures::poll!(advancing);
            log.note(&batch);
            Ok::<(), BatchError>(())
        }
    };
    let worker = Worker::handle(nth(&fake, 1).settings(one_by_one()), handler).await;
    let last = fake.shards(TABLE)[0]
        .last_sequence_number()
        .map(str::to_owned);
    eventually("all is checkpointed", 300 * SECOND, || {
        checkpoint(&fake, &shard) == last
    })
    .await;
    let versions = log.versions("a");
    assert_eq!(versions.first(), Some(&0));
    assert_eq!(versions.last(), Some(&7));
    assert!(versions.is_sorted(), "{versions:?}");
    assert!(versions.len() <= 10, "few come twice: {versions:?}");
    worker.stop().await;
}

/// A shard at LATEST of which nothing has been read yet is read on from where it was, not from the moment at which its lease was proven.
#[tokio::test(start_paused = true)]
async fn at_latest_a_lease_that_lapses_before_the_first_record_loses_none() {
    let fake = table(1);
    let log = Log::default();
    let source = nth(&fake, 1).start(StartPosition::Latest);
    let worker = Worker::start(source, &log).await;
    eventually("it is read", 10 * SECOND, || worker.shards().len() == 1).await;
    tokio::time::sleep(SECOND).await;
    put_each(&fake, 5, 0).await;
    // Every task of the runtime is held up for so long.
    tokio::time::advance(12 * SECOND).await;
    put_each(&fake, 5, 1).await;
    log.until(10).await;
    log.assert_each(5, 0..2);
    worker.stop().await;
}

/// A worker that asked for leases and leaves gives them back: their reader keeps them, without a pause.
#[tokio::test(start_paused = true)]
async fn a_worker_that_had_asked_for_leases_and_stops_leaves_no_shard_unread() {
    let fake = table(40);
    let log = Log::default();
    let one = Worker::start(nth(&fake, 1), &log).await;
    eventually("it has all", 60 * SECOND, || one.shards().len() == 40).await;
    let two = Worker::start(nth(&fake, 2), &log).await;
    eventually("it has asked", 10 * SECOND, || {
        let rows = leases(&fake);
        rows.values().any(|row| row.contains_key("checkpointOwner"))
    })
    .await;
    two.stop().await;
    put_each(&fake, 200, 0).await;
    let since = tokio::time::Instant::now();
    log.until(200).await;
    assert!(since.elapsed() < 4 * SECOND, "{:?}", since.elapsed());
    one.stop().await;
}

/// An owner learns that it is asked from the scan that it makes anyway.
#[tokio::test(start_paused = true)]
async fn eight_workers_share_two_hundred_shards_within_ten_seconds() {
    let fake = table(200);
    let log = Log::default();
    let mut workers = vec![Worker::start(nth(&fake, 0), &log).await];
    eventually("one has all", 60 * SECOND, || {
        workers[0].shards().len() == 200
    })
    .await;
    for n in 1..8 {
        workers.push(Worker::start(nth(&fake, n), &log).await);
    }
    let took = eventually("all have a part", 60 * SECOND, || {
        workers.iter().all(|worker| worker.shards().len() == 25)
    })
    .await;
    assert!(took <= 10 * SECOND, "{took:?}");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn callbacks_that_panic_are_named_and_no_defect_of_this_crate() {
    let fake = table(1);
    put(&fake, "a", 0).await;
    let log = Log::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let source = nth(&fake, 1).filter(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        // Without the hook, which would print a backtrace.
        std::panic::resume_unwind(Box::new("a filter that panics"))
    });
    let error = Worker::start(source, &log).await.error().await;
    assert!(
        matches!(
            error,
            StreamsError::CallbackPanicked {
                callback: "filter",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "the source's `filter` panicked");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert!(
        fake.items(LEASES)
            .iter()
            .all(|row| text(row, "leaseOwner").is_none())
    );

    let worker = Worker::start(nth(&fake, 2), &log).await;
    log.until(1).await;
    worker.stop().await;
}

/// A worker that asks for a lease and dies leaves its name in the row, and its owner must not hand it to the dead.
#[tokio::test(start_paused = true)]
async fn a_lease_that_a_dead_worker_has_asked_for_is_kept_by_its_owner() {
    let fake = table(1);
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let slow = StreamSettings::default().drain_timeout(300 * SECOND);
    let owner = Worker::handle(nth(&fake, 1).settings(slow), log.gated_handler(&gate)).await;
    let parent = open_shards(&fake).remove(0);
    let child = fake.roll_shard(TABLE, &parent);
    put(&fake, "a", 0).await;
    let holds_child = || owner.shards().contains(&child);
    eventually("the child is read", 60 * SECOND, holds_child).await;
    tokio::time::sleep(5 * SECOND).await;
    // The other worker is seen to renew a lease, and then no more. A finished one serves too.
    let asker = "w2-00000000deadbeef".to_owned();
    for counter in 100..103 {
        let mut row = leases(&fake).remove(&parent).expect("a row");
        row.insert("leaseOwner".to_owned(), AttributeValue::S(asker.clone()));
        row.insert(
            "leaseCounter".to_owned(),
            AttributeValue::N(counter.to_string()),
        );
        put_row(&fake, row).await;
        tokio::time::sleep(3 * SECOND).await;
    }
    tokio::time::sleep(11 * SECOND).await;
    let mut row = leases(&fake).remove(&child).expect("a row");
    let me = row.insert("leaseOwner".to_owned(), AttributeValue::S(asker));
    let me = me.expect("an owner");
    row.insert("checkpointOwner".to_owned(), me.clone());
    put_row(&fake, row).await;
    let is_kept = || {
        let row = leases(&fake).remove(&child).expect("a row");
        row.get("leaseOwner") == Some(&me) && !row.contains_key("checkpointOwner")
    };
    eventually("the request is withdrawn", 10 * SECOND, is_kept).await;
    gate.add_permits(1);
    log.until(1).await;
    put(&fake, "a", 1).await;
    log.until(2).await;
    assert!(is_kept() && holds_child());
    owner.stop().await;
}
