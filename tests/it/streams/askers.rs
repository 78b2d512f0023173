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
