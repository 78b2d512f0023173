//! Listings that leave out, or name wrongly, what is there; streams that end and begin again.

use std::time::Duration;

use dynamodb_connector::GapCause;
use dynamodb_connector::streams::StreamsError;
use dynamodb_connector::test_util::{
    Capacity, Fault, FaultyDynamoDb, Operation, TableSpecExt as _,
};
use dynamodb_connector::{StreamView, TableSpec};

use super::gaps::{Gaps, report};
use super::rig::{
    LEASES, Log, TABLE, Worker, checkpoint, eventually, leases, nth, open_shards, put, put_each,
    table, text,
};

const SECOND: Duration = Duration::from_secs(1);

fn count(fake: &FaultyDynamoDb, operation: Operation) -> usize {
    let requests = fake.requests().into_iter();
    requests
        .filter(|request| request.operation() == Some(operation))
        .count()
}

/// That a listing leaves a shard out proves nothing, however many do: the service is asked.
#[tokio::test(start_paused = true)]
async fn a_child_that_listings_leave_out_while_they_show_its_own_child_is_waited_for() {
    for late in [500, 3_000, 20_000] {
        let fake = table(1);
        let log = Log::default();
        let worker = Worker::start(nth(&fake, 1), &log).await;
        put(&fake, "a", 0).await;
        log.until(1).await;
        let shard = open_shards(&fake).remove(0);
        let child = fake.roll_shard(TABLE, &shard);
        fake.list_shard_late(TABLE, &child, Duration::from_millis(late));
        put(&fake, "a", 1).await;
        fake.roll_shard(TABLE, &child);
        put(&fake, "a", 2).await;
        log.until(3).await;
        assert_eq!(log.versions("a"), [0, 1, 2], "{late} ms");
        assert_eq!(worker.control.stats().gaps, 0);
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_a_listing_names_wrongly_costs_no_change() {
    for listings in [1, 2, 5] {
        let fake = table(2);
        let log = Log::default();
        let worker = Worker::start(nth(&fake, 1), &log).await;
        put_each(&fake, 40, 0).await;
        log.until(40).await;
        let [left, right] = open_shards(&fake).try_into().expect("two");
        let child = fake.roll_shard(TABLE, &left);
        // The other one is open: a child of it would never be read.
        fake.misname_parent(TABLE, &child, &[&right], listings);
        put_each(&fake, 40, 1).await;
        log.until(80).await;
        log.assert_each(40, 0..2);
        worker.stop().await;
        let listed = count(&fake, Operation::DescribeStream);
        assert!(listed < 30, "{listed} listings");
    }
}

#[tokio::test(start_paused = true)]
async fn listings_that_never_agree_end_the_source_with_a_name() {
    let fake = table(3);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    let [left, one, other] = open_shards(&fake).try_into().expect("three");
    let child = fake.roll_shard(TABLE, &left);
    eventually("the child is read", 60 * SECOND, || {
        worker.shards().iter().any(|shard| *shard == child)
    })
    .await;
    fake.misname_parent(TABLE, &child, &[&one, &other], u32::MAX);
    eventually("it gives up", 3_600 * SECOND, || !worker.is_running()).await;
    let error = worker.error().await;
    assert!(
        matches!(error, StreamsError::InconsistentShards { .. }),
        "{error}"
    );
}

/// Each row is written as the table allows; the stream is not listed again for it.
#[tokio::test(start_paused = true)]
async fn a_lease_table_of_few_write_units_is_filled_with_patience() {
    let fake = table(60);
    fake.create_table(
        TableSpec::new(LEASES)
            .partition("leaseKey", dynamodb_connector::item::KeyKind::String)
            .provisioned(100, 5)
            .enforce(Capacity::enforced()),
    );
    let source = nth(&fake, 1).open().await.expect("it opens in the end");
    assert_eq!(leases(&fake).len(), 60);
    let listed = count(&fake, Operation::DescribeStream);
    // That a shard has no parent is believed at the third.
    assert!(listed <= 3, "{listed} listings");
    drop(source);
}

#[tokio::test(start_paused = true)]
async fn a_lease_table_that_takes_no_row_is_named_with_the_cause() {
    let fake = table(3);
    super::rig::make_lease_table(&fake);
    let throttled = dynamodb_connector::test_util::FaultPlan::seeded(1)
        .operations([Operation::PutItem])
        .throttle(1.0);
    fake.fault_plan(throttled);
    let error = nth(&fake, 1).open().await.expect_err("no row can be made");
    let StreamsError::Service {
        operation,
        target,
        error: cause,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*operation, target.as_str()), ("PutItem", LEASES));
    assert!(cause.to_string().contains("Throughput"), "{cause}");
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_switched_off_and_on_while_it_is_read_is_a_gap_and_is_gone_on_with() {
    let fake = table(2);
    let (log, gaps) = (Log::default(), Gaps::default());
    // Each worker notices at a time of its own, and none takes a shard of a stream that it does not read.
    let reporting = |n| nth(&fake, n).settings(report()).on_gap(gaps.handler());
    let worker = Worker::start(reporting(1), &log).await;
    let other = Worker::start(reporting(3), &log).await;
    eventually("they share", 60 * SECOND, || {
        worker.shards().len() == 1 && other.shards().len() == 1
    })
    .await;
    put_each(&fake, 10, 0).await;
    log.until(10).await;
    fake.disable_stream(TABLE);
    put_each(&fake, 10, 1).await;
    fake.enable_stream(TABLE, StreamView::NewAndOldImages);
    put_each(&fake, 10, 2).await;
    log.until(20).await;
    for id in 0..10 {
        assert_eq!(log.versions(&format!("k{id}")), [0, 2]);
    }
    for version in 3..6 {
        put_each(&fake, 10, version).await;
        tokio::time::sleep(5 * SECOND).await;
    }
    log.until(50).await;
    for id in 0..10 {
        assert_eq!(log.versions(&format!("k{id}")), [0, 2, 3, 4, 5]);
    }
    let told = gaps.all();
    assert_eq!(told.len(), 2, "one of each: {told:?}");
    assert!(told.iter().all(|gap| gap.cause == GapCause::StreamReplaced));
    worker.stop().await;
    other.stop().await;

    // By default somebody has to decide.
    let worker = Worker::start(nth(&fake, 2), &log).await;
    fake.enable_stream(TABLE, StreamView::NewAndOldImages);
    let error = worker.error().await;
    assert!(matches!(error, StreamsError::Gap { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_table_is_called_that() {
    let fake = table(2);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put_each(&fake, 10, 0).await;
    fake.delete_table(TABLE);
    let error = worker.error().await;
    assert!(
        matches!(&error, StreamsError::TableDeleted { table, .. } if table == TABLE),
        "{error}"
    );
    assert_eq!(log.len(), 10, "its stream was read to its end first");
}

/// A chain of shards, the oldest with a row: one listing of a new worker leaves out one in the middle, whose child is shown.
#[tokio::test(start_paused = true)]
async fn one_listing_that_leaves_out_the_middle_of_a_chain_is_no_gap() {
    for middle in [0, 1] {
        let fake = table(1);
        let log = Log::default();
        put(&fake, "a", 0).await;
        let worker = Worker::start(nth(&fake, 1), &log).await;
        log.until(1).await;
        worker.stop().await;
        let mut chain = open_shards(&fake);
        for version in 1..4 {
            let child = fake.roll_shard(TABLE, chain.last().expect("one"));
            chain.push(child);
            put(&fake, "a", version).await;
        }
        // The next listing shows it again: it comes 250 ms after the first, or later.
        fake.list_shard_late(TABLE, &chain[1 + middle], Duration::from_millis(100));
        fake.clear_journal();
        let worker = Worker::start(nth(&fake, 2), &log).await;
        assert!(count(&fake, Operation::GetShardIterator) > 0, "it is asked");
        log.until(4).await;
        assert_eq!(log.versions("a"), [0, 1, 2, 3]);
        assert_eq!(worker.control.stats().gaps, 0);
        worker.stop().await;
    }
}

/// Shards that were read to their end have no rows any more, the last of their chain has one. A listing without the middle
/// of the chain shows neither that they had rows nor that they are new.
#[tokio::test(start_paused = true)]
async fn a_chain_whose_link_to_the_shard_that_is_read_is_not_listed_is_not_read_again() {
    for (late, root_is_gone) in [(100, true), (3_000, true), (100, false), (3_000, false)] {
        let fake = table(1);
        let log = Log::default();
        let worker = Worker::start(nth(&fake, 1), &log).await;
        let mut chain = open_shards(&fake);
        for version in 0..4 {
            put(&fake, "a", version).await;
            log.until(usize::try_from(version).unwrap() + 1).await;
            let child = fake.roll_shard(TABLE, chain.last().expect("one"));
            chain.push(child);
        }
        put(&fake, "a", 4).await;
        log.until(5).await;
        eventually("the last alone has a row", 600 * SECOND, || {
            leases(&fake).keys().eq([&chain[4]])
        })
        .await;
        worker.stop().await;
        if root_is_gone {
            fake.forget_shard(TABLE, &chain[0]);
        }
        fake.list_shard_late(TABLE, &chain[3], Duration::from_millis(late));
        let worker = Worker::start(nth(&fake, 2), &log).await;
        put(&fake, "a", 5).await;
        log.until(6).await;
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(worker.control.stats().gaps, 0, "{late} ms {root_is_gone}");
        worker.stop().await;
        assert_eq!(log.versions("a"), [0, 1, 2, 3, 4, 5]);
    }
}

/// A shard's end that is read while its listing is under way waits for that listing, and for nothing else.
#[tokio::test(start_paused = true)]
async fn a_shards_end_is_stored_as_soon_as_a_listing_shows_it() {
    for offset in 0..10 {
        let fake = table(1);
        let log = Log::default();
        let worker = Worker::start(nth(&fake, 1), &log).await;
        put(&fake, "a", 0).await;
        log.until(1).await;
        fake.clear_journal();
        let slow = Fault::delay_before(Duration::from_millis(3_000 + 7 * offset));
        fake.inject(slow.on(Operation::DescribeStream).times(1));
        let shard = open_shards(&fake).remove(0);
        fake.roll_shard(TABLE, &shard);
        let finished = || checkpoint(&fake, &shard).as_deref() == Some("SHARD_END");
        eventually("it is finished", 30 * SECOND, finished).await;
        let requests = fake.requests().into_iter();
        let listed = requests
            .filter(|request| request.operation() == Some(Operation::DescribeStream))
            .find_map(|request| request.ended());
        let ends = fake.applied().into_iter().filter(|write| {
            let checkpoint = write.after().and_then(|row| text(&row, "checkpoint"));
            checkpoint.as_deref() == Some("SHARD_END")
        });
        let stored = ends.map(|write| write.at()).next().expect("it is stored");
        let waited = stored.saturating_sub(listed.expect("it is listed"));
        assert!(waited <= Duration::from_millis(3), "{offset}: {waited:?}");
        worker.stop().await;
    }
}
