//! A worker that asks for a lease and dies.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::streams::StreamsSettings;
use tokio::sync::Semaphore;

use super::rig::{Log, TABLE, Worker, eventually, leases, nth, open_shards, put, put_row, table};

const SECOND: Duration = Duration::from_secs(1);

/// A worker that asks for a lease and dies leaves its name in the row, and its owner must not hand it to the dead.
#[tokio::test(start_paused = true)]
async fn a_lease_that_a_dead_worker_has_asked_for_is_kept_by_its_owner() {
    let fake = table(1);
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let slow = StreamsSettings::default().drain_timeout(300 * SECOND);
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

/// A lease that was handed to a worker, and that another one asked for before the first saw it, has no reader: the first never
/// begins, and must not keep the other waiting until the lease has lapsed.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_asked_for_before_it_is_begun_is_handed_on_at_once() {
    let fake = table(2);
    let log = Log::default();
    let worker = Worker::handle(nth(&fake, 1), log.handler()).await;
    let holds_both = || worker.shards().len() == 2;
    eventually("both are read", 60 * SECOND, holds_both).await;
    let shard = open_shards(&fake).remove(1);
    let rewrite = async |attributes: &[(&str, AttributeValue)]| {
        let mut row = leases(&fake).remove(&shard).expect("a row");
        for (name, value) in attributes {
            row.insert((*name).to_owned(), value.clone());
        }
        put_row(&fake, row).await;
    };
    let other = |n: u64| AttributeValue::S(format!("w{n}-00000000deadbeef"));
    let counter = |n: u64| AttributeValue::N(n.to_string());
    let row = leases(&fake).remove(&shard).expect("a row");
    let me = row.get("leaseOwner").expect("an owner").clone();
    rewrite(&[("leaseOwner", other(2)), ("leaseCounter", counter(1_000))]).await;
    let is_lost = || worker.shards().len() == 1;
    eventually("it is another's", 10 * SECOND, is_lost).await;
    // Whatever the lost task may have left behind is over by then; the other worker renews the lease meanwhile.
    for n in 1..5 {
        tokio::time::sleep(3 * SECOND).await;
        rewrite(&[("leaseCounter", counter(1_000 + n))]).await;
    }
    // The second one has handed it to the worker, and a third has asked for it since.
    rewrite(&[
        ("leaseOwner", other(3)),
        ("checkpointOwner", me),
        ("leaseCounter", counter(1_005)),
    ])
    .await;
    let is_handed_on = || {
        let row = leases(&fake).remove(&shard).expect("a row");
        row.get("leaseOwner") == Some(&other(3)) && !row.contains_key("checkpointOwner")
    };
    eventually("it is handed on", 3 * SECOND, is_handed_on).await;
    worker.stop().await;
}
