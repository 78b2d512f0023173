//! Rows of the lease table that are deleted by hand: the shard of each is still read, by one worker, from where it was or from its beginning.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::streams::StreamsSettings;
use dynamodb_connector::test_util::FaultyDynamoDb;
use tokio::sync::Semaphore;

use super::rig::{
    LEASES, Log, TABLE, Worker, checkpoint, eventually, leases, nth, open_shards, put, put_each,
    table, text,
};

const SECOND: Duration = Duration::from_secs(1);

async fn delete_row(fake: &FaultyDynamoDb, shard: &str) {
    let request = fake.client().delete_item().table_name(LEASES);
    let request = request.key("leaseKey", AttributeValue::S(shard.to_owned()));
    request.send().await.expect("the row is deleted");
}

/// A shard, its child and its grandchild, each with a change of one item. The row of the child, which waits, is deleted.
async fn deleted_between(fake: &FaultyDynamoDb) -> String {
    put(fake, "a", 0).await;
    let child = fake.roll_shard(TABLE, &open_shards(fake)[0]);
    put(fake, "a", 1).await;
    fake.roll_shard(TABLE, &child);
    put(fake, "a", 2).await;
    child
}

#[tokio::test(start_paused = true)]
async fn a_waiting_shard_whose_row_is_deleted_is_read_in_its_turn() {
    for is_first_start in [false, true] {
        let fake = table(1);
        let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
        let open = || Worker::handle(nth(&fake, 1), log.gated_handler(&gate));
        let (child, worker) = if is_first_start {
            let child = deleted_between(&fake).await;
            (child, open().await)
        } else {
            let worker = open().await;
            eventually("it is read", 10 * SECOND, || worker.shards().len() == 1).await;
            (deleted_between(&fake).await, worker)
        };
        let three_rows = || leases(&fake).len() == 3;
        eventually("each has its row", 60 * SECOND, three_rows).await;
        tokio::time::sleep(3 * SECOND).await;
        delete_row(&fake, &child).await;
        tokio::time::sleep(3 * SECOND).await;
        gate.add_permits(100);
        log.until(3).await;
        assert_eq!(log.versions("a"), [0, 1, 2], "{is_first_start}");
        worker.stop().await;
    }
}

/// While no worker runs: the next one knows of the row by the stream's shards alone.
#[tokio::test(start_paused = true)]
async fn a_row_that_is_deleted_between_two_runs_is_made_again_for_all_of_its_shard() {
    let fake = table(1);
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let brief = StreamsSettings::default().drain_timeout(Duration::ZERO);
    let source = nth(&fake, 1).settings(brief);
    let worker = Worker::handle(source, log.gated_handler(&gate)).await;
    let child = deleted_between(&fake).await;
    let three_rows = || leases(&fake).len() == 3;
    eventually("each has its row", 60 * SECOND, three_rows).await;
    worker.stop().await;
    delete_row(&fake, &child).await;
    let worker = Worker::start(nth(&fake, 2), &log).await;
    log.until(3).await;
    assert_eq!(log.versions("a"), [0, 1, 2]);
    worker.stop().await;
}

/// Its reader sees that in a look and makes the row again at its position, before another worker makes it for the whole shard.
#[tokio::test(start_paused = true)]
async fn the_row_of_a_shard_that_is_read_is_made_again_by_its_reader() {
    for offset in 0..12 {
        let fake = table(4);
        let settings = StreamsSettings::default().discovery_interval(SECOND);
        let log = Log::default();
        let open = |n| nth(&fake, n).settings(settings.clone());
        let one = Worker::start(open(1), &log).await;
        let two = Worker::start(open(2), &log).await;
        put_each(&fake, 12, 0).await;
        log.until(12).await;
        eventually("they share", 60 * SECOND, || {
            one.shards().len() == 2 && two.shards().len() == 2
        })
        .await;
        let pause = Duration::from_millis(5_000 + 290 * offset);
        tokio::time::sleep(pause).await;
        let readers = || {
            let rows = leases(&fake).into_iter();
            rows.map(|(shard, row)| (shard, text(&row, "leaseOwner")))
                .collect::<Vec<_>>()
        };
        let before = readers();
        let shards = open_shards(&fake);
        let places = shards.iter().map(|shard| checkpoint(&fake, shard));
        let places: Vec<_> = places.collect();
        for shard in &shards {
            delete_row(&fake, shard).await;
        }
        let all_there = || leases(&fake).len() == 4;
        let took = eventually("they are there again", 10 * SECOND, all_there).await;
        assert!(took <= Duration::from_millis(1_300), "{offset}: {took:?}");
        assert_eq!(readers(), before, "{offset}");
        tokio::time::sleep(5 * SECOND).await;
        let now: Vec<_> = shards
            .iter()
            .map(|shard| checkpoint(&fake, shard))
            .collect();
        assert_eq!(now, places, "{offset}");
        put_each(&fake, 12, 1).await;
        log.until(24).await;
        tokio::time::sleep(5 * SECOND).await;
        log.assert_each(12, 0..2);
        one.stop().await;
        two.stop().await;
    }
}
