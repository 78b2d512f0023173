//! What the tests of Flink's DynamoDB Streams source ask of it, and its defects.
//!
//! | Flink's connector | test |
//! |---|---|
//! | discovery | `shards_are_discovered_at_the_start_and_while_it_runs` |
//! | parents before children | `a_slow_parent_is_read_to_its_end_before_its_children` |
//! | restored positions | `every_shard_goes_on_where_it_was`, `after_a_crash_every_shard_goes_on_after_its_checkpoint` |
//! | LATEST takes only open leaves | `latest_takes_only_open_leaves` |
//! | children of later splits start at TRIM_HORIZON | `children_of_later_splits_are_read_from_their_first_record` |
//! | expired iterator retried | `an_expired_iterator_is_replaced_at_the_same_place` |
//! | trimmed data handled | `gaps::after_a_reported_gap_it_goes_on_with_the_oldest_change` |
//! | empty and non-empty poll delays | `reads_are_as_far_apart_as_what_the_shard_brings_asks_for` |
//! | per-shard lag metric | `the_lag_of_a_shard_is_the_age_of_what_was_read_last` |
//! | finished shards not reassigned | `finished_shards_are_not_read_again` |
//! | inconsistent shard graphs detected | `inconsistent_listings_lose_and_reorder_nothing` |
//! | defect: trimmed data and missing streams logged and skipped | `gaps` |
//! | defect: a LATEST shard with no record yet re-reads LATEST after a restore | `a_crash_before_the_first_record_skips_nothing_at_latest` |
//! | defect: no AT_TIMESTAMP | `at_a_timestamp_gives_what_changed_from_then_on` |

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use dynamodb_connector::streams::{ShardId, StartPosition, StreamsSettings};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use futures::StreamExt as _;

use super::rig::{
    Log, TABLE, Worker, checkpoint, eventually, leases, nth, open_shards, put, put_each, table,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn shards_are_discovered_at_the_start_and_while_it_runs() {
    let fake = table(3);
    fake.split_all_shards(TABLE);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    assert_eq!(
        leases(&fake).len(),
        9,
        "every shard has its row when it is open"
    );
    put_each(&fake, 30, 0).await;
    log.until(30).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 30, 1).await;
    // A closed shard is a reason to look for its children at once.
    let took = eventually("the children are read", 10 * SECOND, || log.len() == 60).await;
    assert!(took < 3 * SECOND, "{took:?}");
    assert_eq!(worker.shards(), open_shards(&fake).into_iter().collect());
    worker.stop().await;
    log.assert_each(30, 0..2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_parent_is_read_to_its_end_before_its_children() {
    let fake = table(2);
    for shard in open_shards(&fake) {
        fake.slow_shard(TABLE, &shard, 2 * SECOND);
    }
    for round in 0..4 {
        for version in 0..5 {
            put_each(&fake, 12, 5 * round + version).await;
        }
        fake.split_all_shards(TABLE);
    }
    let log = Log::default();
    let settings = StreamsSettings::default().page_records(7);
    let one = Worker::start(nth(&fake, 1).settings(settings.clone()), &log).await;
    let two = Worker::start(nth(&fake, 2).settings(settings), &log).await;
    log.until(240).await;
    one.stop().await;
    two.stop().await;
    log.assert_each(12, 0..20);
    let parents: Vec<(String, String)> = fake
        .shards(TABLE)
        .iter()
        .filter_map(|shard| Some((shard.parent()?.to_owned(), shard.id().to_owned())))
        .collect();
    let seen = log.seen();
    for (parent, child) in parents {
        let last = seen.iter().rposition(|seen| seen.shard == parent);
        let first = seen.iter().position(|seen| seen.shard == child);
        if let (Some(last), Some(first)) = (last, first) {
            assert!(last < first, "{child} was begun before {parent} was over");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_shard_goes_on_where_it_was() {
    let fake = table(5);
    let log = Log::default();
    for round in 0..6 {
        put_each(&fake, 20, round).await;
        if round == 3 {
            fake.split_all_shards(TABLE);
        }
        let worker = Worker::start(nth(&fake, round), &log).await;
        log.until(20 * (usize::try_from(round).unwrap() + 1)).await;
        worker.stop().await;
    }
    log.assert_each(20, 0..6);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_every_shard_goes_on_after_its_checkpoint() {
    let fake = table(5);
    let log = Log::default();
    put_each(&fake, 20, 0).await;
    let settings = StreamsSettings::default().checkpoint_interval(5 * SECOND);
    let worker = Worker::start(nth(&fake, 1).settings(settings.clone()), &log).await;
    log.until(20).await;
    tokio::time::sleep(6 * SECOND).await;
    // These are seen and not checkpointed.
    put_each(&fake, 20, 1).await;
    log.until(40).await;
    worker.kill().await;
    let worker = Worker::start(nth(&fake, 2).settings(settings), &log).await;
    log.until(60).await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    for id in 0..20 {
        assert_eq!(log.versions(&format!("k{id}")), [0, 1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn latest_takes_only_open_leaves() {
    let fake = table(2);
    put_each(&fake, 10, 0).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 10, 1).await;
    fake.split_all_shards(TABLE);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).start(StartPosition::Latest), &log).await;
    put_each(&fake, 10, 2).await;
    log.until(10).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(worker.shards(), open_shards(&fake).into_iter().collect());
    for shard in fake.shards(TABLE).iter().filter(|shard| !shard.is_open()) {
        assert_eq!(fake.get_records_calls(shard.id()), 0, "of a closed shard");
    }
    worker.stop().await;
    log.assert_each(10, 2..3);
}

#[tokio::test(start_paused = true)]
async fn children_of_later_splits_are_read_from_their_first_record() {
    let fake = table(2);
    fake.list_children_late(TABLE, 20 * SECOND);
    put_each(&fake, 10, 0).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).start(StartPosition::Latest), &log).await;
    put_each(&fake, 10, 1).await;
    log.until(10).await;
    fake.split_all_shards(TABLE);
    // Written before anybody has heard of the shards that they are in.
    put_each(&fake, 10, 2).await;
    log.until(20).await;
    worker.stop().await;
    log.assert_each(10, 1..3);
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_replaced_at_the_same_place() {
    for start in [StartPosition::TrimHorizon, StartPosition::Latest] {
        let fake = table(2);
        let log = Log::default();
        let worker = Worker::start(nth(&fake, 1).start(start), &log).await;
        // Before anything was read by them, and after.
        fake.expire_iterators();
        for version in 0..20 {
            put_each(&fake, 10, version).await;
            fake.expire_iterators();
            tokio::time::sleep(SECOND / 7).await;
        }
        fake.inject(Fault::expired_iterator().on(Operation::GetRecords).times(5));
        put_each(&fake, 10, 20).await;
        log.until(210).await;
        worker.stop().await;
        log.assert_each(10, 0..21);
    }
}

/// Reads of a shard in this time.
async fn reads_in(fake: &FaultyDynamoDb, shard: &str, time: Duration) -> u64 {
    let before = fake.get_records_calls(shard);
    tokio::time::sleep(time).await;
    fake.get_records_calls(shard) - before
}

#[tokio::test(start_paused = true)]
async fn reads_are_as_far_apart_as_what_the_shard_brings_asks_for() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    let settings = StreamsSettings::default()
        .poll(SECOND / 5)
        .idle_poll(2 * SECOND)
        .idle_after(30 * SECOND)
        .page_records(10);
    for version in 0..1000 {
        put(&fake, "a", version).await;
    }
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    let took = eventually("the backlog is read", 10 * SECOND, || log.len() == 1000).await;
    assert!(
        took < 2 * SECOND,
        "full pages follow each other at once: {took:?}"
    );

    let waiting = reads_in(&fake, &shard, 20 * SECOND).await;
    assert!((99..=101).contains(&waiting), "five a second: {waiting}");
    tokio::time::sleep(20 * SECOND).await;
    let idle = reads_in(&fake, &shard, 20 * SECOND).await;
    assert!((9..=11).contains(&idle), "an idle shard's: {idle}");
    put(&fake, "a", 1000).await;
    let took = eventually("it wakes up", 3 * SECOND, || log.len() == 1001).await;
    assert!(took <= 2100 * SECOND / 1000, "{took:?}");
    let waiting = reads_in(&fake, &shard, 20 * SECOND).await;
    assert!(
        (99..=101).contains(&waiting),
        "five a second again: {waiting}"
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_shard_is_the_age_of_what_was_read_last() {
    let fake = table(2);
    // By the clock of the service, an hour before the worker's.
    fake.set_clock_behind(3600 * SECOND);
    put_each(&fake, 40, 0).await;
    fake.set_clock_behind(Duration::ZERO);
    let settings = StreamsSettings::default().page_records(2);
    let (log, gate) = (
        Log::default(),
        std::sync::Arc::new(tokio::sync::Semaphore::new(0)),
    );
    let worker = {
        let (log, gate) = (log.clone(), std::sync::Arc::clone(&gate));
        Worker::handle(
            nth(&fake, 1).settings(settings.buffer_bytes(1 << 20)),
            move |batch| {
                let (log, gate) = (log.clone(), std::sync::Arc::clone(&gate));
                async move {
                    gate.acquire().await.expect("a permit").forget();
                    log.note(&batch);
                    Ok(())
                }
            },
        )
        .await
    };
    let shard = ShardId::from(open_shards(&fake).remove(0));
    fake.slow_shard(TABLE, shard.as_str(), 4 * SECOND);
    tokio::time::sleep(15 * SECOND).await;
    let lag = worker.control.stats().lag[&shard];
    assert!((3590..=3640).contains(&lag.as_secs()), "{lag:?}");
    gate.add_permits(1000);
    log.until(40).await;
    let caught_up = || {
        worker
            .control
            .stats()
            .lag
            .values()
            .all(std::time::Duration::is_zero)
    };
    eventually("there is no lag left", 60 * SECOND, caught_up).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn finished_shards_are_not_read_again() {
    let fake = table(3);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put_each(&fake, 20, 0).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 20, 1).await;
    log.until(40).await;
    worker.stop().await;
    let finished: Vec<String> = fake
        .shards(TABLE)
        .iter()
        .filter(|shard| !shard.is_open())
        .map(|shard| shard.id().to_owned())
        .collect();
    let calls = |fake: &FaultyDynamoDb| -> Vec<u64> {
        finished
            .iter()
            .map(|id| fake.get_records_calls(id))
            .collect()
    };
    let before = calls(&fake);
    for n in 2..5 {
        let worker = Worker::start(nth(&fake, n), &log).await;
        put_each(&fake, 20, n).await;
        log.until(20 * (usize::try_from(n).unwrap() + 1)).await;
        tokio::time::sleep(120 * SECOND).await;
        worker.stop().await;
    }
    assert_eq!(calls(&fake), before);
    log.assert_each(20, 0..5);
}

#[tokio::test(start_paused = true)]
async fn inconsistent_listings_lose_and_reorder_nothing() {
    for seed in 0..10 {
        let fake = table(2);
        fake.inconsistent_pages(TABLE, seed);
        for round in 0..2 {
            put_each(&fake, 16, round).await;
            fake.split_all_shards(TABLE);
        }
        let log = Log::default();
        let settings = StreamsSettings::default().discovery_interval(2 * SECOND);
        let one = Worker::start(nth(&fake, 1).settings(settings.clone()), &log).await;
        let two = Worker::start(nth(&fake, 2).settings(settings), &log).await;
        for round in 2..5 {
            put_each(&fake, 16, round).await;
            if round < 4 {
                fake.split_all_shards(TABLE);
            }
            tokio::time::sleep(3 * SECOND).await;
        }
        let all = || (0..16).all(|id| log.versions(&format!("k{id}")).contains(&4));
        eventually("all is read", 120 * SECOND, all).await;
        one.stop().await;
        two.stop().await;
        for id in 0..16 {
            let seen = log.versions(&format!("k{id}"));
            assert_eq!(seen, (0..5).collect::<Vec<_>>(), "seed {seed}, item k{id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_the_first_record_skips_nothing_at_latest() {
    // Opened and never run, killed while it waited, and killed before the first record was handled.
    for moment in 0..3 {
        let fake = table(2);
        // Further back than two machines' clocks may be apart.
        fake.set_clock_behind(20 * 60 * SECOND);
        put_each(&fake, 10, 0).await;
        fake.set_clock_behind(Duration::ZERO);
        let log = Log::default();
        let first = nth(&fake, 1).start(StartPosition::Latest);
        match moment {
            0 => drop(first.open().await.expect("it opens")),
            1 => {
                let worker = Worker::start(first, &log).await;
                tokio::time::sleep(30 * SECOND).await;
                worker.kill().await;
            }
            _ => {
                let worker = Worker::handle(first, |_| std::future::pending()).await;
                put(&fake, "k0", 1).await;
                tokio::time::sleep(5 * SECOND).await;
                worker.kill().await;
            }
        }
        put_each(&fake, 10, 1).await;
        put_each(&fake, 10, 2).await;
        let second = Worker::start(nth(&fake, 2).start(StartPosition::Latest), &log).await;
        log.until(20).await;
        second.stop().await;
        log.assert_each(10, 1..3);
    }
}

/// When the service says that each version of `a` was made.
async fn times(fake: &FaultyDynamoDb) -> Vec<SystemTime> {
    let source = nth(fake, 99).lease_table("another-application");
    let mut stream = source.open().await.expect("it opens").into_stream();
    let mut times = Vec::new();
    while times.len() < 10 {
        let delivery = stream.next().await.expect("more").expect("a record");
        times.push(delivery.record.approximate_creation_time());
        delivery.ack.done();
    }
    stream.close().await.expect("it closes");
    times.sort();
    times
}

#[tokio::test(start_paused = true)]
async fn at_a_timestamp_gives_what_changed_from_then_on() {
    let fake = table(1);
    for version in 0..10 {
        put(&fake, "a", version).await;
        tokio::time::sleep(60 * SECOND).await;
        if version % 3 == 0 {
            fake.split_all_shards(TABLE);
        }
    }
    let times = times(&fake).await;
    let at = StartPosition::AtTimestamp(times[4]);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).start(at), &log).await;
    log.until(6).await;
    fake.split_all_shards(TABLE);
    put(&fake, "a", 10).await;
    log.until(7).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), (4..11).collect::<Vec<_>>());

    // A crash changes nothing about it, nor does a restart that names another position.
    let again = Log::default();
    let fresh = |n| nth(&fake, n).lease_table("a-third");
    let first = fresh(2).start(at).open().await.expect("it opens");
    drop(first);
    let worker = Worker::start(fresh(3), &again).await;
    again.until(7).await;
    worker.stop().await;
    assert_eq!(again.versions("a"), (4..11).collect::<Vec<_>>());

    let future = Log::default();
    let at = StartPosition::AtTimestamp(times[9] + 3600 * SECOND);
    let worker = Worker::start(nth(&fake, 4).lease_table("a-fourth").start(at), &future).await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    assert_eq!(future.len(), 0);
    let ended: BTreeSet<String> = fake
        .shards(TABLE)
        .iter()
        .filter(|shard| !shard.is_open())
        .map(|shard| shard.id().to_owned())
        .collect();
    for shard in ended {
        let stored = checkpoint(&fake, &shard);
        assert!(stored.is_none_or(|stored| stored == "SHARD_END"), "{shard}");
    }
}
