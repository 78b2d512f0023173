//! The view of an operator while a source fails: its health, and the last error with its cause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dynamodb_connector::Health;
use dynamodb_connector::streams::{Batch, BatchError, StreamsSettings};
use dynamodb_connector::test_util::{FaultPlan, Operation};

use super::rig::{Item, Log, Worker, eventually, nth, put, put_each, table};

const SECOND: Duration = Duration::from_secs(1);

fn failing(health: &Health) -> Option<(&'static str, &str)> {
    match health {
        Health::Failing {
            operation, cause, ..
        } => Some((operation, cause)),
        _ => None,
    }
}

/// A record that can't be handled blocks its shard, and only that: the others' success does not hide it.
#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_for_one_shard_is_seen_with_its_own_words() {
    let fake = table(2);
    let broken = Arc::new(AtomicBool::new(true));
    let log = Log::default();
    let (seen, fails) = (log.clone(), Arc::clone(&broken));
    let handler = move |batch: Batch<Item>| {
        let poison = batch.changes.iter().any(|change| {
            let item = change.new.as_ref().expect("an image");
            item.id == "k0"
        });
        let fails = poison && fails.load(Ordering::Relaxed);
        if !fails {
            seen.note(&batch);
        }
        std::future::ready(if fails {
            Err(BatchError::retry_from(0, "the archive is full"))
        } else {
            Ok(())
        })
    };
    // Other batches of the shard go on beside it.
    let settings = StreamsSettings::default().parallelism(4);
    let worker = Worker::handle(nth(&fake, 1).settings(settings), handler).await;
    assert_eq!(worker.control.health(), Health::Healthy);
    for version in 0..10 {
        put_each(&fake, 20, version).await;
        tokio::time::sleep(SECOND).await;
    }
    let health = worker.control.health();
    let (operation, cause) = failing(&health).expect("it fails");
    assert_eq!(operation, "handler");
    assert!(
        cause.contains("the archive is full") && cause.contains("shardId-"),
        "{cause}"
    );
    let last = worker.control.stats().last_error.expect("there is one");
    assert!(last.cause.contains("the archive is full"), "{last:?}");

    broken.store(false, Ordering::Relaxed);
    let control = worker.control.clone();
    eventually("it is well again", 120 * SECOND, || {
        control.health().is_healthy()
    })
    .await;
    log.until(200).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn shards_that_can_not_be_read_are_seen_with_the_services_cause() {
    let fake = table(2);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put(&fake, "a", 0).await;
    log.until(1).await;
    let plan = FaultPlan::seeded(1)
        .operations([Operation::GetRecords])
        .internal_error(1.0);
    fake.fault_plan(plan);
    tokio::time::sleep(10 * SECOND).await;
    let health = worker.control.health();
    let (operation, cause) = failing(&health).expect("it fails");
    assert_eq!(operation, "GetRecords");
    assert!(cause.contains("InternalServerError"), "{cause}");
    fake.heal();
    let control = worker.control.clone();
    eventually("it is well again", 60 * SECOND, || {
        control.health().is_healthy()
    })
    .await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_ended_says_why() {
    let fake = table(1);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    let control = worker.control.clone();
    fake.delete_table(super::rig::TABLE);
    let error = worker.error().await;
    let Health::Ended { cause, .. } = control.health() else {
        panic!("{}", control.health());
    };
    assert_eq!(cause, error.to_string());
}
