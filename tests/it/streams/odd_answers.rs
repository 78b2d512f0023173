//! Answers that the service does not give: for a moment, or for a while.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::GapPolicy;
use dynamodb_connector::StreamView;
use dynamodb_connector::streams::{StartPosition, StreamsSettings};
use dynamodb_connector::test_util::{Fault, FaultPlan, Operation};
use futures::StreamExt as _;
use tokio::time::Instant;

use super::rig::{
    Item, Log, SNAPSHOT_TABLE, TABLE, Worker, failing, nth, open_shards, put, put_each, table,
};

const SECOND: Duration = Duration::from_secs(1);

/// Odd answers for 20 s on each operation: it goes on afterwards.
#[tokio::test(start_paused = true)]
async fn odd_answers_for_20_s_on_any_operation_end_nothing() {
    let operations = [
        Operation::GetRecords,
        Operation::GetShardIterator,
        Operation::DescribeStream,
        Operation::Scan,
        Operation::UpdateItem,
        Operation::PutItem,
        Operation::GetItem,
        Operation::DeleteItem,
    ];
    type Make = fn() -> Fault;
    let faults: [(&str, Make); 9] = [
        ("validation", || Fault::validation("odd")),
        ("unknown 400", || Fault::error(400, "FooException", "odd")),
        ("unknown 500", || Fault::error(500, "FooException", "odd")),
        ("502", Fault::bad_gateway),
        ("413", Fault::too_large),
        ("garbage", Fault::garbage_body),
        ("truncated", Fault::truncated_body),
        ("limit", Fault::limit_exceeded),
        ("empty 200", || Fault::answer(200, "{}")),
    ];
    let mut ended = Vec::new();
    for operation in operations {
        for (name, fault) in faults {
            let fake = table(2);
            let log = Log::default();
            let worker = Worker::start(nth(&fake, 1), &log).await;
            put_each(&fake, 10, 0).await;
            log.until(10).await;
            fake.inject(fault().on(operation).always());
            fake.expire_iterators();
            fake.split_all_shards(TABLE);
            let start = Instant::now();
            while worker.is_running() && start.elapsed() < 20 * SECOND {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            if !worker.is_running() {
                ended.push(format!(
                    "{operation:?} {name}: after {:?}: {}",
                    start.elapsed(),
                    worker.error().await
                ));
                continue;
            }
            fake.heal();
            put_each(&fake, 10, 1).await;
            let healed = Instant::now();
            let lacks = || (0..10).any(|id| !log.versions(&format!("k{id}")).contains(&1));
            while lacks() && healed.elapsed() < 120 * SECOND {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let missing = (0..10).filter(|id| !log.versions(&format!("k{id}")).contains(&1));
            let missing = missing.count();
            if missing > 0 || healed.elapsed() > 40 * SECOND {
                ended.push(format!(
                    "{operation:?} {name}: {missing} missing {:?} after healing",
                    healed.elapsed()
                ));
            }
            let _ = tokio::time::timeout(120 * SECOND, worker.stop()).await;
        }
    }
    assert!(ended.is_empty(), "\n{}", ended.join("\n"));
}

/// "It does not end for an outage": three minutes without `PutItem`, just when a shard splits.
#[tokio::test(start_paused = true)]
async fn it_does_not_end_because_a_row_can_not_be_made_for_three_minutes() {
    let fake = table(1);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put(&fake, "a", 0).await;
    log.until(1).await;
    fake.fault_plan(
        FaultPlan::seeded(1)
            .operations([Operation::PutItem])
            .unavailable(1.0),
    );
    let shard = open_shards(&fake).remove(0);
    fake.roll_shard(TABLE, &shard);
    let start = Instant::now();
    while worker.is_running() && start.elapsed() < 180 * SECOND {
        tokio::time::sleep(SECOND).await;
    }
    assert!(
        worker.is_running(),
        "ended after {:?}: {}",
        start.elapsed(),
        worker.error().await
    );
}

/// A stream switched off and on, and `DescribeTable` out for 20 s.
#[tokio::test(start_paused = true)]
async fn an_outage_of_describe_table_while_the_stream_is_replaced_ends_nothing() {
    let fake = table(1);
    let log = Log::default();
    let settings = StreamsSettings::default().on_gap(GapPolicy::Report);
    let worker = Worker::start(nth(&fake, 1).settings(settings).on_gap(|_| {}), &log).await;
    put(&fake, "a", 0).await;
    log.until(1).await;
    fake.fault_plan(failing(&[Operation::DescribeTable]));
    fake.disable_stream(TABLE);
    fake.enable_stream(TABLE, StreamView::NewAndOldImages);
    let start = Instant::now();
    while worker.is_running() && start.elapsed() < 20 * SECOND {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        worker.is_running(),
        "ended after {:?}: {}",
        start.elapsed(),
        worker.error().await
    );
}

/// One write of the snapshot's table is answered 500 at opening.
#[tokio::test(start_paused = true)]
async fn one_failed_write_of_the_snapshots_row_does_not_fail_the_opening() {
    let fake = table(1);
    fake.inject(
        Fault::internal_error()
            .on(Operation::PutItem)
            .table(SNAPSHOT_TABLE),
    );
    let opened = nth(&fake, 1).start(StartPosition::Snapshot).open().await;
    assert!(
        opened.is_ok(),
        "{}",
        opened
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    );
}

/// "If it is dropped … No record behind this one is given before."
#[tokio::test(start_paused = true)]
async fn after_a_dropped_acknowledgement_no_record_behind_it_is_given() {
    let fake = table(1);
    for n in 0..5 {
        put(&fake, "a", n).await;
    }
    let settings = StreamsSettings::default().page_records(1);
    let source = nth(&fake, 1)
        .settings(settings)
        .open()
        .await
        .expect("it opens");
    let mut stream = source.into_stream();
    let first = stream.next().await.expect("more").expect("a record");
    assert_eq!(version(&first.record), 0);
    // The pages behind it wait in the channel by now.
    tokio::time::sleep(5 * SECOND).await;
    drop(first);
    let next = stream.next().await.expect("more").expect("a record");
    assert_eq!(
        version(&next.record),
        0,
        "behind the dropped one; current {}",
        next.is_current()
    );
}

fn version(record: &dynamodb_connector::streams::Record) -> u64 {
    let item: Item = record.new_image().expect("it reads").expect("an image");
    item.version
}

/// A shard that is listed as open and answers `ResourceNotFoundException` for a moment: nothing of it is lost in silence.
async fn not_found_for_a_moment(
    times: usize,
    position: StartPosition,
    policy: GapPolicy,
    read_before: bool,
) -> String {
    let fake = table(1);
    let log = Log::default();
    let gaps = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&gaps);
    let settings = StreamsSettings::default().on_gap(policy);
    let builder = nth(&fake, 1).start(position).settings(settings);
    let builder = builder.on_gap(move |gap| told.lock().push(gap.to_string()));
    let worker = Worker::start(builder, &log).await;
    let mut expected = 0;
    tokio::time::sleep(5 * SECOND).await;
    if read_before {
        put(&fake, "a", 0).await;
        log.until(1).await;
        expected = 1;
    }
    tokio::time::sleep(5 * SECOND).await;
    for operation in [Operation::GetRecords, Operation::GetShardIterator] {
        fake.inject(Fault::resource_not_found().on(operation).times(times));
    }
    tokio::time::sleep(10 * SECOND).await;
    fake.heal();
    for n in 1..=20 {
        put(&fake, "a", n).await;
    }
    tokio::time::sleep(300 * SECOND).await;
    let ended = !worker.is_running();
    let given = log.len() - expected;
    let health = worker.control.health();
    let gaps = gaps.lock().clone();
    let open = fake.shards(TABLE)[0].is_open();
    if !ended {
        worker.stop().await;
        let again = Worker::start(nth(&fake, 2).start(position), &log).await;
        tokio::time::sleep(60 * SECOND).await;
        let given = log.len() - expected;
        again.stop().await;
        println!("after a restart: given {given}");
    }
    format!("given {given} of 20, ended {ended}, gaps {gaps:?}, shard open {open}, {health}")
}

#[tokio::test(start_paused = true)]
async fn an_open_idle_shard_not_found_for_a_moment_is_not_lost_in_silence() {
    let told = not_found_for_a_moment(3, StartPosition::TrimHorizon, GapPolicy::Fail, false).await;
    assert!(
        told.starts_with("given 20") || !told.contains("gaps []"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_shard_not_found_for_a_moment_is_read_on_after_the_gap() {
    let told = not_found_for_a_moment(3, StartPosition::TrimHorizon, GapPolicy::Report, true).await;
    assert!(told.starts_with("given 20"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn an_open_shard_not_found_for_a_moment_is_read_on_at_latest() {
    let told = not_found_for_a_moment(3, StartPosition::Latest, GapPolicy::Report, false).await;
    assert!(told.starts_with("given 20"), "{told}");
}

/// The same, where only the iterator is refused, three times in a row: as just after a stream was switched on.
#[tokio::test(start_paused = true)]
async fn three_refused_iterators_do_not_end_a_shard_that_is_listed_open() {
    let fake = table(4);
    fake.inject(
        Fault::resource_not_found()
            .on(Operation::GetShardIterator)
            .times(24),
    );
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    tokio::time::sleep(30 * SECOND).await;
    put_each(&fake, 40, 0).await;
    tokio::time::sleep(120 * SECOND).await;
    let ends = super::rig::leases(&fake);
    let ends = ends
        .values()
        .filter(|row| super::rig::text(row, "checkpoint").as_deref() == Some("SHARD_END"));
    assert!(
        log.len() == 40 || !worker.is_running(),
        "{} of 40 given, {} of 4 open shards are finished by their rows; {}; gaps {}",
        log.len(),
        ends.count(),
        worker.control.health(),
        worker.control.stats().gaps
    );
}

/// A page without a next iterator of a shard that listings show as open.
#[tokio::test(start_paused = true)]
async fn one_page_without_a_next_iterator_does_not_end_an_open_shard_in_silence() {
    let fake = table(1);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put(&fake, "a", 0).await;
    log.until(1).await;
    fake.inject(Fault::answer(200, r#"{"Records":[]}"#).on(Operation::GetRecords));
    tokio::time::sleep(5 * SECOND).await;
    for n in 1..=20 {
        put(&fake, "a", n).await;
    }
    tokio::time::sleep(300 * SECOND).await;
    assert!(
        log.len() == 21 || !worker.is_running(),
        "{} of 21 given; {}; {:?}",
        log.len(),
        worker.control.health(),
        worker.control.stats().lag
    );
}

/// At LATEST a new iterator is of a later moment: it must not be asked for where a page had no other behind it.
#[tokio::test(start_paused = true)]
async fn one_page_without_a_next_iterator_at_latest_skips_no_change() {
    let fake = table(1);
    let log = Log::default();
    let builder = nth(&fake, 1).start(StartPosition::Latest);
    let worker = Worker::start(builder, &log).await;
    tokio::time::sleep(5 * SECOND).await;
    let empty = Fault::answer(200, r#"{"Records":[]}"#);
    fake.inject(empty.on(Operation::GetRecords));
    for version in 0..40 {
        put(&fake, "a", version).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    log.until(40).await;
    assert_eq!(log.versions("a"), (0..40).collect::<Vec<_>>());
    worker.stop().await;
}

/// That a shard is closed does not say that it was read to its end.
#[tokio::test(start_paused = true)]
async fn one_page_without_a_next_iterator_does_not_end_a_closed_shard_that_has_more() {
    let fake = table(1);
    for version in 0..100 {
        put(&fake, "a", version).await;
    }
    fake.roll_shard(TABLE, &open_shards(&fake)[0]);
    put(&fake, "a", 100).await;
    let log = Log::default();
    let settings = StreamsSettings::default().page_records(10);
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    log.until(20).await;
    let empty = Fault::answer(200, r#"{"Records":[]}"#);
    fake.inject(empty.on(Operation::GetRecords));
    log.until(101).await;
    assert_eq!(log.versions("a"), (0..101).collect::<Vec<_>>());
    worker.stop().await;
}
