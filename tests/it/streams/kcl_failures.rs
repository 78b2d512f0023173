//! What is known to go wrong with the Kinesis Client Library, each as a test that it does not go wrong here.
//!
//! | its failure | where it was told |
//! |---|---|
//! | idle for ever after a shard's end, the child being listed late | dynamodb-streams-kinesis-adapter #20, amazon-kinesis-client #185 |
//! | some children never taken after many splits at once | amazon-kinesis-client #339 |
//! | a lease row deleted under a running worker | amazon-kinesis-client #461 |
//! | leases lost in a network blip and picked up by nobody | amazon-kinesis-client #136 |
//! | a checkpoint after the lease was stolen | amazon-kinesis-client #108 |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::streams::{StartPosition, StreamsSettings};
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb};
use tokio::sync::Semaphore;

use super::rig::{
    LEASES, Log, TABLE, Worker, checkpoint, eventually, leases, nth, open_shards, put, put_each,
    put_row, table, text,
};

const SECOND: Duration = Duration::from_secs(1);
const FAILOVER: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_child_that_is_listed_late_is_read_once_it_is_listed() {
    let fake = table(1);
    fake.list_children_late(TABLE, 90 * SECOND);
    put(&fake, "a", 0).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(1).await;
    fake.split_all_shards(TABLE);
    put(&fake, "a", 1).await;
    tokio::time::sleep(85 * SECOND).await;
    assert_eq!(log.len(), 1, "nothing lists the children yet");
    let parent = fake.shards(TABLE)[0].id().to_owned();
    assert_eq!(checkpoint(&fake, &parent).as_deref(), Some("SHARD_END"));
    // The listings are further and further apart, up to the discovery interval.
    eventually("the child is read", 36 * SECOND, || log.len() == 2).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_listed_after_its_parents_worker_is_gone_is_read_by_another() {
    for start in [StartPosition::TrimHorizon, StartPosition::Latest] {
        let fake = table(1);
        fake.list_children_late(TABLE, 60 * SECOND);
        let log = Log::default();
        let first = Worker::start(nth(&fake, 1).start(start), &log).await;
        put(&fake, "a", 0).await;
        log.until(1).await;
        fake.split_all_shards(TABLE);
        put(&fake, "a", 1).await;
        let parent = fake.shards(TABLE)[0].id().to_owned();
        eventually("the parent is finished", 10 * SECOND, || {
            checkpoint(&fake, &parent).as_deref() == Some("SHARD_END")
        })
        .await;
        first.kill().await;
        let second = Worker::start(nth(&fake, 2).start(start), &log).await;
        eventually("the child is read", 120 * SECOND, || log.len() == 2).await;
        second.stop().await;
        assert_eq!(log.versions("a"), [0, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_start_at_latest_while_the_child_is_not_listed_misses_nothing() {
    let fake = table(1);
    fake.list_children_late(TABLE, 20 * SECOND);
    put(&fake, "a", 0).await;
    fake.split_all_shards(TABLE);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).start(StartPosition::Latest), &log).await;
    put(&fake, "a", 1).await;
    log.until(1).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [1]);
}

#[tokio::test(start_paused = true)]
async fn all_children_of_many_splits_at_once_are_taken() {
    for workers in [1, 3] {
        let fake = table(60);
        let log = Log::default();
        let settings = StreamsSettings::default().poll(2 * SECOND);
        let mut fleet = Vec::new();
        for n in 0..workers {
            fleet.push(Worker::start(nth(&fake, n).settings(settings.clone()), &log).await);
        }
        put_each(&fake, 300, 0).await;
        log.until(300).await;
        fake.split_all_shards(TABLE);
        put_each(&fake, 300, 1).await;
        eventually("everything is read", 60 * SECOND, || log.len() >= 600).await;
        let open: BTreeSet<String> = open_shards(&fake).into_iter().collect();
        assert_eq!(open.len(), 120);
        eventually(
            "each child is read, with changes or without",
            60 * SECOND,
            || {
                let read: BTreeSet<String> = fleet.iter().flat_map(Worker::shards).collect();
                read == open
            },
        )
        .await;
        for worker in fleet {
            worker.stop().await;
        }
        log.assert_each(300, 0..2);
    }
}

async fn delete_row(fake: &FaultyDynamoDb, shard: &str) {
    let request = fake.client().delete_item().table_name(LEASES);
    let request = request.key("leaseKey", AttributeValue::S(shard.to_owned()));
    request.send().await.expect("the row is deleted");
}

#[tokio::test(start_paused = true)]
async fn a_lease_row_that_is_deleted_under_its_worker_is_made_again_where_it_was() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    for version in 0..10 {
        put(&fake, "a", version).await;
    }
    log.until(10).await;
    tokio::time::sleep(2 * SECOND).await;
    delete_row(&fake, &shard).await;
    for version in 10..20 {
        put(&fake, "a", version).await;
    }
    log.until(20).await;
    eventually("the row is there again", 5 * SECOND, || {
        leases(&fake).contains_key(&shard)
    })
    .await;
    tokio::time::sleep(60 * SECOND).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), (0..20).collect::<Vec<_>>());

    put(&fake, "a", 20).await;
    let again = Log::default();
    let worker = Worker::start(nth(&fake, 2), &again).await;
    again.until(1).await;
    worker.stop().await;
    assert_eq!(again.versions("a"), [20], "the row held the position");
}

/// The lease table is looked at and the stream listed all the time, so that somebody notices the missing row before its owner does.
#[tokio::test(start_paused = true)]
async fn lease_rows_that_are_deleted_lose_nothing_whoever_notices_first() {
    for start in [StartPosition::TrimHorizon, StartPosition::Latest] {
        for seed in 0..4 {
            let settings = StreamsSettings::default().discovery_interval(SECOND);
            let fake = table(2);
            let log = Log::default();
            let open = |n| nth(&fake, n).settings(settings.clone()).start(start);
            let one = Worker::start(open(100 + seed), &log).await;
            let two = Worker::start(open(200 + seed), &log).await;
            put_each(&fake, 8, 0).await;
            log.until(8).await;
            tokio::time::sleep(Duration::from_millis(1500 + 370 * seed)).await;
            for shard in leases(&fake).keys() {
                delete_row(&fake, shard).await;
            }
            for version in 1..40 {
                put_each(&fake, 8, version).await;
                tokio::time::sleep(SECOND / 3).await;
            }
            let all_seen = || (0..8).all(|id| log.versions(&format!("k{id}")).contains(&39));
            eventually("the last versions are seen", 60 * SECOND, all_seen).await;
            one.stop().await;
            two.stop().await;
            for id in 0..8 {
                let seen = log.versions(&format!("k{id}"));
                let distinct: BTreeSet<u64> = seen.iter().copied().collect();
                let missed: Vec<u64> = (0..40).filter(|v| !distinct.contains(v)).collect();
                assert_eq!(
                    missed, [0; 0],
                    "{start:?}, seed {seed}, item k{id}: {seen:?}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn leases_that_are_lost_in_a_network_blip_are_picked_up_again() {
    for workers in [1, 3] {
        for silent in [false, true] {
            let fake = table(9);
            let log = Log::default();
            let mut fleet = Vec::new();
            for n in 0..workers {
                fleet.push(Worker::start(nth(&fake, n), &log).await);
            }
            put_each(&fake, 50, 0).await;
            log.until(50).await;
            tokio::time::sleep(30 * SECOND).await;

            let blip = FaultPlan::seeded(1);
            fake.fault_plan(if silent {
                blip.never(1.0)
            } else {
                blip.close_before(1.0)
            });
            tokio::time::sleep(4 * FAILOVER).await;
            let lost: u64 = fleet.iter().map(|w| w.control.stats().leases_lost).sum();
            assert_eq!(lost, 9, "no worker keeps a lease that it can't renew");
            fake.heal();

            put_each(&fake, 50, 1).await;
            eventually("everything is read", FAILOVER + 10 * SECOND, || {
                log.len() >= 100
            })
            .await;
            eventually("each shard has one reader", 30 * SECOND, || {
                let all: Vec<String> = fleet.iter().flat_map(Worker::shards).collect();
                let distinct: BTreeSet<&String> = all.iter().collect();
                all.len() == 9 && distinct.len() == 9
            })
            .await;
            for worker in fleet {
                worker.stop().await;
            }
            log.assert_each(50, 0..2);
        }
    }
}

/// Gives a shard's lease to somebody else, as a worker that believes its owner dead does.
async fn steal(fake: &FaultyDynamoDb, shard: &str) {
    let mut row = leases(fake).remove(shard).expect("a row");
    let counter: u64 = text(&row, "leaseCounter").unwrap().parse().unwrap();
    row.insert(
        "leaseCounter".to_owned(),
        AttributeValue::N((counter + 1).to_string()),
    );
    row.insert("leaseOwner".to_owned(), AttributeValue::S("thief".into()));
    put_row(fake, row).await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_after_the_lease_was_stolen_is_refused() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    put(&fake, "a", 0).await;
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let worker = {
        let (log, gate) = (log.clone(), Arc::clone(&gate));
        Worker::handle(nth(&fake, 1), move |batch| {
            let (log, gate) = (log.clone(), Arc::clone(&gate));
            async move {
                log.note(&batch);
                gate.acquire().await.expect("a permit").forget();
                Ok(())
            }
        })
        .await
    };
    log.until(1).await;
    steal(&fake, &shard).await;
    let stolen = leases(&fake).remove(&shard);
    gate.add_permits(1);
    eventually("the loss is noticed", 5 * SECOND, || {
        worker.control.stats().leases_lost == 1
    })
    .await;
    assert!(worker.is_running(), "losing a lease ends no source");
    assert_eq!(
        leases(&fake).remove(&shard),
        stolen,
        "the row is the new owner's"
    );
    assert_eq!(worker.control.stats().checkpoints, 0);

    // The thief says no more, so that the shard comes back, from the thief's checkpoint.
    put(&fake, "a", 1).await;
    gate.add_permits(10);
    let took = eventually("it is read again", 30 * SECOND, || log.len() >= 3).await;
    assert!(took >= FAILOVER - 5 * SECOND, "{took:?}");
    worker.stop().await;
    assert_eq!(log.versions("a"), [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_stops_when_its_lease_can_no_longer_be_renewed() {
    let fake = table(1);
    put(&fake, "a", 0).await;
    let (begun, ended) = (Log::default(), Log::default());
    let worker = {
        let (begun, ended) = (begun.clone(), ended.clone());
        Worker::handle(nth(&fake, 1), move |batch| {
            let (begun, ended) = (begun.clone(), ended.clone());
            async move {
                begun.note(&batch);
                tokio::time::sleep(30 * SECOND).await;
                ended.note(&batch);
                Ok(())
            }
        })
        .await
    };
    begun.until(1).await;
    fake.fault_plan(FaultPlan::seeded(1).close_before(1.0));
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(ended.len(), 0, "another worker may have the shard by now");
    fake.heal();
    ended.until(1).await;
    worker.stop().await;
    assert_eq!(begun.versions("a"), [0, 0]);
}
