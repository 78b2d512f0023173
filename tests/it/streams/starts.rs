//! Where a source begins: nothing that was promised is passed over, whatever the clocks and the listings say.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::streams::{StartPosition, StreamsError, StreamsSettings};
use dynamodb_connector::test_util::FaultyDynamoDb;
use dynamodb_connector::{GapCause, GapPolicy};

use super::gaps::{Gaps, report};
use super::rig::{
    LEASES, Log, TABLE, Worker, checkpoint, eventually, leases, nth, open_shards, put, put_each,
    table, text,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The child of a shard that ends just when it is taken for the first time was born after the start.
#[tokio::test(start_paused = true)]
async fn at_latest_no_change_of_a_shards_children_is_lost_whenever_it_ends() {
    for millis in (0..400).step_by(20) {
        let fake = table(1);
        let shard = open_shards(&fake).remove(0);
        let log = Log::default();
        let source = nth(&fake, 1).start(StartPosition::Latest);
        let worker = Worker::start(source, &log).await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        fake.split_shard(TABLE, &shard);
        put_each(&fake, 80, 0).await;
        log.until(80).await;
        log.assert_each(80, 0..1);
        worker.stop().await;
    }
}

/// By how much the service's clock is behind this machine's, or ahead.
async fn skewed(fake: &FaultyDynamoDb, hours: i32) {
    let by = HOUR * hours.unsigned_abs();
    if hours < 0 {
        fake.set_clock_behind(by);
    } else {
        fake.set_clock_ahead(by);
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_clock_that_is_hours_off_a_snapshot_is_followed_by_every_change() {
    for hours in [-7, 0, 7] {
        let fake = table(2);
        skewed(&fake, hours).await;
        put_each(&fake, 5, 0).await;
        let log = Log::default();
        let source = nth(&fake, 1).start(StartPosition::Snapshot);
        let worker = Worker::start(source, &log).await;
        log.until(5).await;
        for version in 1..4 {
            put_each(&fake, 4, version).await;
        }
        log.until(17).await;
        for id in 0..4 {
            assert_eq!(log.versions(&format!("k{id}")), [0, 1, 2, 3], "{hours} h");
        }
        worker.stop().await;
    }
}

/// Every change since the start is given, and of those before it at most those of some seconds.
#[tokio::test(start_paused = true)]
async fn with_a_clock_that_is_hours_off_a_crash_before_the_first_checkpoint_loses_nothing() {
    for hours in [-7, 0, 7] {
        let fake = table(2);
        skewed(&fake, hours).await;
        put_each(&fake, 200, 0).await;
        tokio::time::sleep(10 * SECOND).await;
        let source = nth(&fake, 1).start(StartPosition::Latest).open().await;
        let source = source.expect("it opens");
        put_each(&fake, 12, 1).await;
        drop(source);

        let log = Log::default();
        let worker = Worker::start(nth(&fake, 2).start(StartPosition::Latest), &log).await;
        put_each(&fake, 12, 2).await;
        log.until(24).await;
        // Splits hand nothing down that would keep a change back.
        fake.split_all_shards(TABLE);
        put_each(&fake, 12, 3).await;
        log.until(36).await;
        log.assert_each(12, 1..4);
        worker.stop().await;
    }
}

/// A worker's row at LATEST that another application's library made says nothing of when that was.
#[tokio::test(start_paused = true)]
async fn a_row_at_latest_of_another_library_is_pinned_when_it_is_taken() {
    let fake = table(1);
    put_each(&fake, 3, 0).await;
    tokio::time::sleep(60 * SECOND).await;
    let shard = open_shards(&fake).remove(0);
    super::rig::make_lease_table(&fake);
    let texts = [("leaseKey", &*shard), ("checkpoint", "LATEST")];
    let numbers = [("leaseCounter", "3"), ("ownerSwitchesSinceCheckpoint", "0")];
    let texts = texts.map(|(name, text)| (name, AttributeValue::S(text.to_owned())));
    let numbers = numbers.map(|(name, number)| (name, AttributeValue::N(number.to_owned())));
    let row = texts.into_iter().chain(numbers);
    let row = row.map(|(name, value)| (name.to_owned(), value)).collect();
    super::rig::put_row(&fake, row).await;

    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    eventually("it is taken", 10 * SECOND, || {
        text(&leases(&fake)[&shard], "leaseCreatedTime").is_some()
    })
    .await;
    worker.kill().await;
    put_each(&fake, 3, 1).await;
    let worker = Worker::start(nth(&fake, 2), &log).await;
    log.until(3).await;
    worker.stop().await;
    log.assert_each(3, 1..2);
}

/// A shard of one that was read to its end: its row is made, nothing of it is passed, and nobody reads it for 25 hours.
async fn child_without_a_reader(whole: bool) -> (FaultyDynamoDb, String) {
    let fake = table(1);
    if whole {
        fake.imitate_dynamodb_local(TABLE);
    }
    put(&fake, "a", 0).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(1).await;
    let parent = open_shards(&fake).remove(0);
    let child = fake.roll_shard(TABLE, &parent);
    eventually("the child has its row", 60 * SECOND, || {
        checkpoint(&fake, &child).is_some()
            && checkpoint(&fake, &parent).as_deref() == Some("SHARD_END")
    })
    .await;
    worker.stop().await;
    assert_eq!(checkpoint(&fake, &child).as_deref(), Some("TRIM_HORIZON"));
    for version in 1..4 {
        put(&fake, "a", version).await;
    }
    if whole {
        fake.roll_shard(TABLE, &child);
    }
    tokio::time::sleep(20 * HOUR).await;
    for version in 4..6 {
        put(&fake, "a", version).await;
    }
    tokio::time::sleep(if whole { 2 * HOUR } else { 5 * HOUR }).await;
    (fake, child)
}

#[tokio::test(start_paused = true)]
async fn what_is_trimmed_of_a_shard_before_any_of_it_was_read_is_a_possible_gap() {
    let (fake, child) = child_without_a_reader(false).await;
    let log = Log::default();
    let error = Worker::start(nth(&fake, 2), &log).await.error().await;
    let StreamsError::Gap { gap, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(gap.cause, GapCause::PossiblyTrimmed);
    assert!(!gap.is_certain());
    assert_eq!(gap.partition.as_deref(), Some(child.as_ref()));
    assert_eq!(log.len(), 0);
    assert!(error.to_string().contains("on_gap"), "{error}");

    let gaps = Gaps::default();
    let source = nth(&fake, 3).settings(report()).on_gap(gaps.handler());
    let worker = Worker::start(source, &log).await;
    log.until(2).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [4, 5]);
    assert_eq!(gaps.all().len(), 1);
}

/// As DynamoDB Local answers: every iterator of a shard that was emptied is refused.
#[tokio::test(start_paused = true)]
async fn a_shard_that_is_trimmed_whole_before_any_of_it_was_read_is_told_and_passed() {
    let (fake, child) = child_without_a_reader(true).await;
    let whole = fake
        .shards(TABLE)
        .into_iter()
        .find(|shard| shard.id() == child);
    let last = whole
        .expect("it is there")
        .last_sequence_number()
        .map(str::to_owned);
    fake.trim_shard(TABLE, &child, &last.expect("it has records"));
    let (log, gaps) = (Log::default(), Gaps::default());
    let source = nth(&fake, 3).settings(report()).on_gap(gaps.handler());
    let worker = Worker::start(source, &log).await;
    log.until(2).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [4, 5], "its child is read");
    let gaps = gaps.all();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].cause, GapCause::PossiblyTrimmed);
}

/// An open shard without a record is no end: the next change is given.
#[tokio::test(start_paused = true)]
async fn an_open_shard_that_was_emptied_is_read_on() {
    let fake = table(1);
    fake.imitate_dynamodb_local(TABLE);
    put(&fake, "a", 0).await;
    let log = Log::default();
    // What 25 hours cost is not what is looked at.
    let minute = 60 * SECOND;
    let settings = StreamsSettings::default()
        .poll(minute)
        .idle_poll(minute)
        .failover(10 * minute)
        .discovery_interval(HOUR);
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    log.until(1).await;
    tokio::time::sleep(25 * HOUR).await;
    put(&fake, "a", 1).await;
    log.until(2).await;
    assert_eq!(worker.control.stats().gaps, 0, "all of it had been read");
    worker.stop().await;
    assert_eq!(log.versions("a"), [0, 1]);
}

/// DynamoDB Local lists shards that expired, gives iterators of them, and refuses to read them.
#[tokio::test(start_paused = true)]
async fn a_first_start_passes_shards_that_have_expired_and_are_still_listed() {
    let fake = table(1);
    fake.imitate_dynamodb_local(TABLE);
    put(&fake, "a", 0).await;
    let expired = open_shards(&fake).remove(0);
    fake.roll_shard(TABLE, &expired);
    tokio::time::sleep(25 * HOUR).await;
    put(&fake, "a", 1).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(1).await;
    assert_eq!(worker.control.stats().gaps, 0);
    worker.stop().await;
    assert_eq!(log.versions("a"), [1]);
    assert_eq!(checkpoint(&fake, &expired).as_deref(), Some("SHARD_END"));
}

#[tokio::test(start_paused = true)]
async fn at_latest_what_changes_while_no_shard_is_listed_is_given() {
    for late in [100, 700, 20_000] {
        let fake = table(2);
        put_each(&fake, 10, 0).await;
        tokio::time::sleep(10 * SECOND).await;
        fake.list_nothing(TABLE, Duration::from_millis(late));
        let log = Log::default();
        let worker = Worker::start(nth(&fake, 1).start(StartPosition::Latest), &log).await;
        for version in 1..6 {
            put_each(&fake, 10, version).await;
        }
        let since = tokio::time::Instant::now();
        log.until(50).await;
        log.assert_each(10, 1..6);
        let patience = Duration::from_millis(late) + 4 * SECOND;
        assert!(since.elapsed() < patience, "{late}: {:?}", since.elapsed());
        worker.stop().await;
    }
}

/// Two sources of one seed are two workers: each shard has one reader.
#[tokio::test(start_paused = true)]
async fn sources_of_one_seed_share_the_shards() {
    let fake = table(6);
    let log = Log::default();
    let one = Worker::start(nth(&fake, 7), &log).await;
    let two = Worker::start(nth(&fake, 7), &log).await;
    eventually("they share", 60 * SECOND, || {
        one.shards().len() == 3 && two.shards().is_disjoint(&one.shards())
    })
    .await;
    put_each(&fake, 30, 0).await;
    log.until(30).await;
    log.assert_each(30, 0..1);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unnamed_worker_is_known_by_its_host_and_process() {
    let fake = table(1);
    let log = Log::default();
    let worker = Worker::start(super::rig::builder(&fake), &log).await;
    let process = format!("-{}-", std::process::id());
    eventually("its lease names it", 10 * SECOND, || {
        let row = leases(&fake).into_values().next();
        let owner = row.and_then(|row| text(&row, "leaseOwner"));
        owner.is_some_and(|owner| owner.contains(&process))
    })
    .await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn leases_of_another_tables_stream_are_not_taken_for_ones_own() {
    let fake = table(1);
    let log = Log::default();
    Worker::start(nth(&fake, 1), &log).await.stop().await;
    let other = dynamodb_connector::TableSpec::new("other")
        .partition("id", dynamodb_connector::item::KeyKind::String)
        .stream(dynamodb_connector::StreamView::NewAndOldImages);
    fake.create_table(other);
    let (dynamodb, streams) = (fake.client(), fake.streams_client());
    let source = dynamodb_connector::streams::StreamsSource::builder(&dynamodb, &streams, "other")
        .settings(StreamsSettings::default().on_gap(GapPolicy::Report))
        .on_gap(|_| {})
        .lease_table(LEASES);
    let error = source.open().await.expect_err("they are another table's");
    let StreamsError::ForeignLeases {
        lease_table,
        stream,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(lease_table, LEASES);
    assert!(stream.contains(":table/decisions/stream/"), "{stream}");
}
