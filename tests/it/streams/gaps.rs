//! Changes that are lost before they are read: an error or an event, never silence.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::ErrorKind;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::streams::{StreamsError, StreamsSettings};
use dynamodb_connector::test_util::FaultyDynamoDb;
use dynamodb_connector::{Gap, GapCause, GapPolicy};
use dynamodb_connector::{StreamView, TableSpec};

use super::rig::{LEASES, Log, TABLE, Worker, eventually, nth, open_shards, put, put_each, table};

const SECOND: Duration = Duration::from_secs(1);

/// Gaps as the handler was told of them.
#[derive(Clone, Default)]
pub(super) struct Gaps(Arc<Mutex<Vec<Gap>>>);

impl Gaps {
    pub(super) fn all(&self) -> Vec<Gap> {
        self.0.lock().clone()
    }

    pub(super) fn handler(&self) -> impl Fn(&Gap) + Send + Sync + 'static {
        let gaps = Arc::clone(&self.0);
        move |gap| gaps.lock().push(gap.clone())
    }
}

pub(super) fn report() -> StreamsSettings {
    StreamsSettings::default().on_gap(GapPolicy::Report)
}

/// A table of one shard whose first ten changes have been read.
async fn read_ten() -> (FaultyDynamoDb, String) {
    let fake = table(1);
    for version in 0..10 {
        put(&fake, "a", version).await;
    }
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(10).await;
    worker.stop().await;
    let shard = open_shards(&fake).remove(0);
    (fake, shard)
}

#[tokio::test(start_paused = true)]
async fn a_position_that_was_trimmed_ends_the_source() {
    let (fake, shard) = read_ten().await;
    let last = fake.shards(TABLE)[0]
        .last_sequence_number()
        .unwrap()
        .to_owned();
    for version in 10..20 {
        put(&fake, "a", version).await;
    }
    fake.trim_stream(TABLE, 5);
    for attempt in 2..4 {
        let log = Log::default();
        let error = Worker::start(nth(&fake, attempt), &log).await.error().await;
        assert_eq!(error.kind(), ErrorKind::Gap);
        assert!(!error.is_retryable());
        let StreamsError::Gap { table, gap, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((table.as_str(), gap.cause), (TABLE, GapCause::Trimmed));
        assert_eq!(gap.partition.as_deref(), Some(shard.as_ref()));
        assert_eq!(gap.after.as_deref(), Some(&*last));
        let said = error.to_string();
        assert!(said.contains("trimmed") && said.contains(&shard), "{said}");
        assert_eq!(log.len(), 0, "nothing is passed over");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_reported_gap_it_goes_on_with_the_oldest_change() {
    let (fake, shard) = read_ten().await;
    for version in 10..20 {
        put(&fake, "a", version).await;
    }
    fake.trim_stream(TABLE, 5);
    let (log, gaps) = (Log::default(), Gaps::default());
    let source = nth(&fake, 2).settings(report()).on_gap(gaps.handler());
    let worker = Worker::start(source, &log).await;
    log.until(5).await;
    put(&fake, "a", 20).await;
    log.until(6).await;
    assert_eq!(worker.control.stats().gaps, 1);
    worker.stop().await;
    assert_eq!(log.versions("a"), (15..21).collect::<Vec<_>>());
    let gaps = gaps.all();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].cause, GapCause::Trimmed);
    assert_eq!(gaps[0].partition.as_deref(), Some(shard.as_ref()));
}

#[tokio::test(start_paused = true)]
async fn what_is_trimmed_while_the_shard_is_read_slowly_is_told_too() {
    let fake = table(1);
    for version in 0..100 {
        put(&fake, "a", version).await;
    }
    let (log, gaps) = (Log::default(), Gaps::default());
    let shard = open_shards(&fake).remove(0);
    fake.slow_shard(TABLE, &shard, 2 * SECOND);
    let source = nth(&fake, 2).settings(report().page_records(10));
    let worker = Worker::start(source.on_gap(gaps.handler()), &log).await;
    log.until(20).await;
    fake.trim_stream(TABLE, 10);
    eventually("the rest is read", 60 * SECOND, || {
        log.versions("a").contains(&99)
    })
    .await;
    worker.stop().await;
    let seen = log.versions("a");
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert!(seen.len() < 100, "something was lost");
    assert_eq!(gaps.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn changes_that_were_already_seen_may_be_trimmed() {
    let (fake, _) = read_ten().await;
    fake.trim_stream(TABLE, 0);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 2), &log).await;
    put(&fake, "a", 10).await;
    log.until(1).await;
    assert_eq!(worker.control.stats().gaps, 0);
    worker.stop().await;
    assert_eq!(log.versions("a"), [10]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_away_for_two_days_says_so() {
    let (fake, _) = read_ten().await;
    put(&fake, "a", 10).await;
    tokio::time::sleep(48 * 3600 * SECOND).await;
    put(&fake, "a", 11).await;
    let log = Log::default();
    let error = Worker::start(nth(&fake, 2), &log).await.error().await;
    assert_eq!(error.kind(), ErrorKind::Gap, "{error}");

    // The same where the shard was rolled over meanwhile and is gone as a whole.
    let (fake, shard) = read_ten().await;
    put(&fake, "a", 10).await;
    fake.roll_shard(TABLE, &shard);
    tokio::time::sleep(48 * 3600 * SECOND).await;
    put(&fake, "a", 11).await;
    let source = nth(&fake, 2).open().await;
    let error = match source {
        Err(error) => error,
        Ok(source) => tokio::time::timeout(600 * SECOND, source.run(log.handler()))
            .await
            .expect("within 10 minutes")
            .expect_err("a gap"),
    };
    assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
}

/// Two lines of shards. One still has a shard that was read; of the other, a whole generation came and went.
#[tokio::test(start_paused = true)]
async fn a_generation_of_shards_that_nobody_ever_saw_is_a_gap() {
    let fake = table(2);
    put_each(&fake, 20, 0).await;
    let log = Log::default();
    let [steady, rolled] = open_shards(&fake).try_into().expect("two shards");
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(20).await;
    worker.stop().await;
    let unseen = fake.roll_shard(TABLE, &rolled);
    put_each(&fake, 20, 1).await;
    fake.roll_shard(TABLE, &unseen);
    put_each(&fake, 20, 2).await;
    // The finished parent's row says nothing of the child, which expires.
    let mut row = super::rig::leases(&fake).remove(&rolled).expect("its row");
    let end = aws_sdk_dynamodb::types::AttributeValue::S("SHARD_END".into());
    row.insert("checkpoint".to_owned(), end);
    super::rig::put_row(&fake, row).await;
    fake.forget_shard(TABLE, &rolled);
    fake.forget_shard(TABLE, &unseen);

    let error = nth(&fake, 2).open().await.expect_err("a gap");
    let StreamsError::Gap { gap, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(gap.cause, GapCause::ShardLost);
    assert_eq!(gap.partition.as_deref(), Some(unseen.as_ref()));

    let gaps = Gaps::default();
    let source = nth(&fake, 3).settings(report()).on_gap(gaps.handler());
    let worker = Worker::start(source, &log).await;
    eventually("the rest is read", 60 * SECOND, || {
        (0..20).all(|id| log.versions(&format!("k{id}")).contains(&2))
    })
    .await;
    tokio::time::sleep(120 * SECOND).await;
    assert!(worker.shards().contains(&steady));
    worker.stop().await;
    assert_eq!(gaps.all().len(), 1, "{:?}", gaps.all());
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_vanishes_before_it_was_read_to_its_end_ends_the_source() {
    let (fake, shard) = read_ten().await;
    put(&fake, "a", 10).await;
    fake.roll_shard(TABLE, &shard);
    put(&fake, "a", 11).await;
    fake.forget_shard(TABLE, &shard);
    let log = Log::default();
    let error = Worker::start(nth(&fake, 2), &log).await.error().await;
    let StreamsError::Gap { gap, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(gap.cause, GapCause::ShardLost);
    assert_eq!(gap.partition.as_deref(), Some(shard.as_ref()));
    assert_eq!(log.len(), 0, "its child waits for somebody to decide");

    let gaps = Gaps::default();
    let source = nth(&fake, 3).settings(report()).on_gap(gaps.handler());
    let worker = Worker::start(source, &log).await;
    log.until(1).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [11], "the child is read after all");
    assert_eq!(gaps.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_switched_off_and_on_again_is_a_gap() {
    let (fake, _) = read_ten().await;
    fake.disable_stream(TABLE);
    put(&fake, "a", 10).await;
    fake.enable_stream(TABLE, StreamView::NewAndOldImages);
    put(&fake, "a", 11).await;
    for n in 2..4 {
        let error = nth(&fake, n).open().await.expect_err("nobody knows of it");
        let StreamsError::Gap { gap, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(
            (gap.cause, &gap.partition),
            (GapCause::StreamReplaced, &None)
        );
    }

    let (log, gaps) = (Log::default(), Gaps::default());
    let source = nth(&fake, 4).settings(report()).on_gap(gaps.handler());
    let worker = Worker::start(source, &log).await;
    log.until(1).await;
    put(&fake, "a", 12).await;
    log.until(2).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [11, 12]);
    assert_eq!(gaps.all().len(), 1, "{:?}", gaps.all());

    let again = Log::default();
    let worker = Worker::start(nth(&fake, 5), &again).await;
    put(&fake, "a", 13).await;
    again.until(1).await;
    worker.stop().await;
    assert_eq!(again.versions("a"), [13], "told once, it is over");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_switched_off_is_read_to_its_end_first() {
    let fake = table(3);
    let log = Log::default();
    let one = Worker::start(nth(&fake, 1), &log).await;
    let two = Worker::start(nth(&fake, 2), &log).await;
    put_each(&fake, 30, 0).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 30, 1).await;
    fake.disable_stream(TABLE);
    put_each(&fake, 30, 2).await;
    for worker in [one, two] {
        let error = worker.error().await;
        assert!(
            matches!(&error, StreamsError::StreamDisabled { table, .. } if table == TABLE),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::Ended);
    }
    log.assert_each(30, 0..2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_gone_while_it_is_read_ends_the_source() {
    let (fake, _) = read_ten().await;
    fake.disable_stream(TABLE);
    tokio::time::sleep(25 * 3600 * SECOND).await;
    let log = Log::default();
    let error = match nth(&fake, 2).open().await {
        Err(error) => error,
        Ok(source) => tokio::time::timeout(600 * SECOND, source.run(log.handler()))
            .await
            .expect("within 10 minutes")
            .expect_err("there is no stream"),
    };
    assert!(!error.is_retryable(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_table_without_a_stream_is_told_how_to_switch_it_on() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE).partition("id", KeyKind::String));
    let error = nth(&fake, 1).open().await.expect_err("no stream");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "table \"decisions\" has no stream; switch it on with `aws dynamodb update-table --table-name decisions \
         --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES`"
    );
    assert_eq!(fake.items(LEASES).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_not_there_is_an_error() {
    let fake = FaultyDynamoDb::new();
    let error = nth(&fake, 1).open().await.expect_err("no table");
    assert!(!error.is_retryable());
    let said = error.to_string();
    assert!(
        said.starts_with("DescribeTable of \"decisions\" failed: ResourceNotFoundException"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn another_table_is_not_taken_for_the_lease_table() {
    let fake = table(1);
    let others = [
        TableSpec::new("other").partition("id", KeyKind::String),
        TableSpec::new("other").partition("leaseKey", KeyKind::Number),
        TableSpec::new("other")
            .partition("leaseKey", KeyKind::String)
            .sort("sort", KeyKind::String),
    ];
    for other in others {
        fake.create_table(other);
        let error = nth(&fake, 1).lease_table("other").open().await;
        let error = error.expect_err("another table");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            matches!(&error, StreamsError::NotALeaseTable { table, .. } if table == "other"),
            "{error}"
        );
        assert_eq!(fake.item_count("other"), 0);
        fake.delete_table("other");
    }
    let error = nth(&fake, 1).lease_table(TABLE).open().await;
    error.expect_err("the table itself");
}
