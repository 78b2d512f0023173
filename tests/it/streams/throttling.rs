//! A service that takes fewer requests than it is sent.

use std::time::Duration;

use dynamodb_connector::streams::StreamsSettings;
use dynamodb_connector::test_util::{Fault, FaultPlan, FaultyDynamoDb, Operation};

use super::rig::{LEASES, Log, TABLE, Worker, eventually, nth, open_shards, put_each, table};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_listing_of_many_pages_ends_although_one_page_a_second_is_let_through() {
    let fake = table(450);
    fake.limit_describe_stream(1);
    put_each(&fake, 100, 0).await;
    let log = Log::default();
    let settings = StreamsSettings::default().poll(4 * SECOND);
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    log.until(100).await;
    eventually("every shard is read", 60 * SECOND, || {
        worker.shards().len() == 450
    })
    .await;
    worker.stop().await;
    log.assert_each(100, 0..1);
}

#[tokio::test(start_paused = true)]
async fn workers_that_start_together_share_the_accounts_listings() {
    let fake = table(120);
    fake.limit_describe_stream(3);
    let log = Log::default();
    let opening = (0..6).map(|n| {
        let settings = StreamsSettings::default().poll(2 * SECOND);
        Worker::start(nth(&fake, n).settings(settings), &log)
    });
    let fleet = futures::future::join_all(opening).await;
    put_each(&fake, 100, 0).await;
    log.until(100).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 100, 1).await;
    eventually("the children are read", 60 * SECOND, || log.len() == 200).await;
    for worker in fleet {
        worker.stop().await;
    }
    log.assert_each(100, 0..2);
}

#[tokio::test(start_paused = true)]
async fn reads_that_are_throttled_are_made_again_in_order() {
    let fake = table(3);
    fake.limit_readers(true);
    let settings = StreamsSettings::default()
        .poll(Duration::from_millis(10))
        .page_records(10);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    for version in 0..30 {
        put_each(&fake, 12, version).await;
        tokio::time::sleep(SECOND / 5).await;
    }
    log.until(360).await;
    assert!(
        worker.control.stats().failed_reads > 20,
        "they were throttled"
    );
    for shard in open_shards(&fake) {
        assert_eq!(fake.max_readers(&shard), 1);
    }
    worker.stop().await;
    log.assert_each(12, 0..30);
}

#[tokio::test(start_paused = true)]
async fn at_the_default_poll_interval_no_read_is_throttled() {
    let fake = table(3);
    fake.limit_readers(true);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    for version in 0..60 {
        put_each(&fake, 6, version).await;
        tokio::time::sleep(SECOND / 3).await;
    }
    log.until(360).await;
    assert_eq!(worker.control.stats().failed_reads, 0);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_often_delays_and_loses_nothing() {
    for seed in 0..6 {
        let fake = table(3);
        let log = Log::default();
        let fleet = [
            Worker::start(nth(&fake, 1), &log).await,
            Worker::start(nth(&fake, 2), &log).await,
        ];
        let plan = FaultPlan::seeded(seed)
            .operations([
                Operation::DescribeStream,
                Operation::GetShardIterator,
                Operation::GetRecords,
                Operation::Scan,
                Operation::UpdateItem,
                Operation::GetItem,
            ])
            .throttle(0.1)
            .internal_error(0.1)
            .internal_error_after(0.05)
            .close_before(0.05)
            .close_after(0.05)
            .garbage(0.05)
            .delay(0.1, Duration::ZERO..=SECOND);
        fake.fault_plan(plan);
        for version in 0..12 {
            put_each(&fake, 12, version).await;
            if version % 4 == 2 {
                fake.split_all_shards(TABLE);
            }
            tokio::time::sleep(2 * SECOND).await;
        }
        let all = || (0..12).all(|id| log.versions(&format!("k{id}")).contains(&11));
        eventually("all is read", 120 * SECOND, all).await;
        fake.heal();
        for worker in fleet {
            worker.stop().await;
        }
        for id in 0..12 {
            let mut seen = log.versions(&format!("k{id}"));
            // Whatever came again came in order: the last time each was seen is in order, and so is the first.
            let mut firsts = seen.clone();
            let mut known = std::collections::BTreeSet::new();
            firsts.retain(|version| known.insert(*version));
            assert_eq!(firsts, (0..12).collect::<Vec<_>>(), "seed {seed}: {seen:?}");
            seen.reverse();
            let mut known = std::collections::BTreeSet::new();
            seen.retain(|version| known.insert(*version));
            seen.reverse();
            assert_eq!(seen, (0..12).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_table_that_is_throttled_costs_no_lease() {
    let fake = table(6);
    let log = Log::default();
    let fleet = [
        Worker::start(nth(&fake, 1), &log).await,
        Worker::start(nth(&fake, 2), &log).await,
    ];
    let plan = FaultPlan::seeded(3)
        .operations([Operation::UpdateItem, Operation::Scan])
        .throttle(0.3);
    fake.fault_plan(plan);
    for version in 0..30 {
        put_each(&fake, 12, version).await;
        tokio::time::sleep(2 * SECOND).await;
    }
    log.until(360).await;
    for worker in fleet {
        assert_eq!(worker.control.stats().leases_lost, 0);
        worker.stop().await;
    }
    log.assert_each(12, 0..30);
}

#[tokio::test(start_paused = true)]
async fn slow_and_broken_shards_hold_nothing_else_back() {
    let fake = table(8);
    let shards = open_shards(&fake);
    let (slow, broken) = (shards[0].clone(), shards[1].clone());
    fake.slow_shard(TABLE, &slow, 4 * SECOND);
    let fault = Fault::internal_error().on(Operation::GetRecords);
    fake.inject(fault.on_shard(&broken).always());
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put_each(&fake, 200, 0).await;
    let held_back: usize = fake
        .shards(TABLE)
        .iter()
        .filter(|shard| shard.id() == slow || shard.id() == broken)
        .map(dynamodb_connector::test_util::ShardInfo::record_count)
        .sum();
    assert!(held_back > 20);
    let took = eventually("the others are read", 10 * SECOND, || {
        let of_others = log.seen().into_iter();
        let of_others = of_others.filter(|seen| seen.shard != slow && seen.shard != broken);
        of_others.count() == 200 - held_back
    })
    .await;
    assert!(took < SECOND, "{took:?}");
    fake.heal();
    log.until(200).await;
    worker.stop().await;
    log.assert_each(200, 0..1);
    assert!(fake.item_count(LEASES) > 0);
}

/// Returns the gaps between the requests of a source for a description that it never gets.
async fn gaps_of_describing(fake: &FaultyDynamoDb, seed: u64) -> Vec<Duration> {
    fake.take_requests();
    let opened = nth(fake, seed).open().await;
    opened.expect_err("the table can't be described");
    let requests = fake.take_requests();
    let pairs = requests.windows(2);
    pairs
        .map(|two| two[1].received() - two[0].received())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn sources_that_can_not_describe_their_table_do_not_come_back_in_step() {
    let fake = table(1);
    let fault = Fault::internal_error().on(Operation::DescribeTable);
    fake.inject(fault.always());
    let mut gaps = Vec::new();
    for seed in 0..4 {
        gaps.push(gaps_of_describing(&fake, seed).await);
    }
    assert_eq!(gaps[0].len(), 5, "{gaps:?}");
    let again = gaps_of_describing(&fake, 0).await;
    assert_eq!(gaps[0], again, "a seed fixes the delays");
    gaps.sort();
    gaps.dedup();
    assert_eq!(gaps.len(), 4, "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_page_beyond_every_limit_is_asked_for_again_with_fewer_records() {
    let fake = table(1);
    let page: &'static str = " ".repeat(70 << 20).leak();
    let fault = Fault::answer(200, page).on(Operation::GetRecords);
    fake.inject(fault.times(2));
    put_each(&fake, 40, 0).await;
    let log = Log::default();
    let settings = StreamsSettings::default().page_records(100);
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    log.until(40).await;
    assert_eq!(worker.control.stats().failed_reads, 2);
    worker.stop().await;
    log.assert_each(40, 0..1);
    let requests = fake.requests().into_iter();
    let reads = requests.filter(|request| request.operation() == Some(Operation::GetRecords));
    let sizes: Vec<_> = reads.map(|request| request.body_bytes()).take(3).collect();
    // The same iterator, and limits of 100 records, half of them and a quarter: one digit less.
    assert_eq!(
        (sizes[0] - sizes[1], sizes[1] - sizes[2]),
        (1, 0),
        "{sizes:?}"
    );
}
