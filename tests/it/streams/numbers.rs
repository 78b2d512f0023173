//! The numbers and the health that a source shows, at rest and in outages.

use std::time::Duration;

use dynamodb_connector::Health;
use dynamodb_connector::streams::{
    Batch, BatchError, FailedChange, StartPosition, StreamsControl, StreamsSettings,
};
use dynamodb_connector::test_util::{Fault, Operation};
use tokio::time::Instant;

use super::rig::{
    Item, Log, SNAPSHOT_TABLE, TABLE, Worker, eventually, failing, nth, open_shards, put, put_each,
    table,
};

const SECOND: Duration = Duration::from_secs(1);

/// The longest of all lags and unread times.
fn worst(control: &StreamsControl) -> Duration {
    let stats = control.stats();
    let all = stats.lag.values().chain(stats.unread.values());
    all.max().copied().unwrap_or_default()
}

async fn worst_within(control: &StreamsControl, time: Duration) -> Duration {
    let start = Instant::now();
    let mut most = Duration::ZERO;
    while start.elapsed() < time {
        most = most.max(worst(control));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    most
}

/// "Unread: … since the shard was found, or since its reader was last alive."
#[tokio::test(start_paused = true)]
async fn an_idle_shard_whose_reader_dies_is_unread_since_then_not_since_its_row_was_made() {
    let fake = table(4);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    let other = Worker::start(nth(&fake, 2), &log).await;
    eventually("they share", 30 * SECOND, || {
        worker.shards().len() == 2 && other.shards().len() == 2
    })
    .await;
    tokio::time::sleep(1800 * SECOND).await;
    other.kill().await;
    tokio::time::sleep(9 * SECOND).await;
    fake.fault_plan(failing(&[Operation::UpdateItem]));
    let unread = || worker.control.stats().unread;
    eventually("two are unread", 10 * SECOND, || unread().len() == 2).await;
    let longest = unread().into_values().max().expect("two");
    assert!(
        longest < 20 * SECOND,
        "unread for {longest:?}; its reader was alive 13 s ago"
    );
}

/// Lag: "how long ago it was last read up". An idle shard that is handed over was read up a second ago.
#[tokio::test(start_paused = true)]
async fn an_idle_shard_that_is_handed_over_does_not_lag_by_its_age() {
    let fake = table(4);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    tokio::time::sleep(1800 * SECOND).await;
    let other = Worker::start(nth(&fake, 2), &log).await;
    let most = worst_within(&other.control, 20 * SECOND).await;
    assert_eq!(other.shards().len(), 2);
    assert!(most < 20 * SECOND, "lag of {most:?}");
    worker.stop().await;
}

/// The same where a worker restarts (a deployment) with a graceful stop in between.
#[tokio::test(start_paused = true)]
async fn an_idle_application_that_is_restarted_does_not_lag_by_its_age() {
    let fake = table(4);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).start(StartPosition::Latest), &log).await;
    tokio::time::sleep(1800 * SECOND).await;
    worker.stop().await;
    let other = Worker::start(nth(&fake, 2).start(StartPosition::Latest), &log).await;
    let most = worst_within(&other.control, 20 * SECOND).await;
    assert!(most < 20 * SECOND, "lag of {most:?}");
}

/// "It is zero while the last read found no more and the next is not late."
#[tokio::test(start_paused = true)]
async fn with_a_slow_poll_a_shard_that_is_read_up_has_no_lag() {
    let fake = table(1);
    put(&fake, "a", 0).await;
    let log = Log::default();
    let settings = StreamsSettings::default()
        .poll(5 * SECOND)
        .idle_poll(5 * SECOND);
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    log.until(1).await;
    let most = worst_within(&worker.control, 60 * SECOND).await;
    assert!(
        most <= SECOND,
        "lag of {most:?} although all was read at each read"
    );
}

/// A shard has ended and its children are not known: nothing at all is read, for minutes.
#[tokio::test(start_paused = true)]
async fn while_children_can_not_be_listed_some_number_grows() {
    let fake = table(1);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put(&fake, "a", 0).await;
    log.until(1).await;
    fake.fault_plan(failing(&[Operation::DescribeStream]));
    let shard = open_shards(&fake).remove(0);
    fake.roll_shard(TABLE, &shard);
    put(&fake, "a", 1).await;
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(log.len(), 1, "the child is not read");
    let stats = worker.control.stats();
    assert!(
        worst(&worker.control) > 60 * SECOND,
        "nothing was read for 300 s, and lag {:?} unread {:?} ready {}; health {}",
        stats.lag,
        stats.unread,
        stats.ready,
        worker.control.health()
    );
}

/// A new shard's row can't be made: the shard is not read.
#[tokio::test(start_paused = true)]
async fn while_a_childs_row_can_not_be_made_some_number_grows() {
    let fake = table(1);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put(&fake, "a", 0).await;
    log.until(1).await;
    fake.fault_plan(failing(&[Operation::PutItem]));
    let shard = open_shards(&fake).remove(0);
    fake.roll_shard(TABLE, &shard);
    tokio::time::sleep(30 * SECOND).await;
    let stats = worker.control.stats();
    assert!(
        worst(&worker.control) > 20 * SECOND,
        "nothing was read for 30 s, and lag {:?} unread {:?} ready {}; health {}",
        stats.lag,
        stats.unread,
        stats.ready,
        worker.control.health()
    );
}

/// Leases can't be taken from the start: nothing is read. Health must say so.
#[tokio::test(start_paused = true)]
async fn leases_that_can_not_be_taken_show_in_the_health() {
    let fake = table(2);
    let log = Log::default();
    let source = nth(&fake, 1).open().await.expect("it opens");
    fake.fault_plan(failing(&[Operation::UpdateItem]));
    let control = source.control();
    let running = tokio::spawn(source.run(log.handler()));
    let mut failing_seconds = 0;
    for _ in 0..120 {
        tokio::time::sleep(SECOND).await;
        if matches!(control.health(), Health::Failing { .. }) {
            failing_seconds += 1;
        }
    }
    let stats = control.stats();
    assert!(
        failing_seconds > 60,
        "of 120 s without a lease, health said so in {failing_seconds}; {} last {:?} unread {:?}",
        control.health(),
        stats.last_error,
        stats.unread
    );
    running.abort();
}

/// A snapshot whose table can't be scanned: nothing comes.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_can_not_scan_shows_in_the_health() {
    let fake = table(1);
    put_each(&fake, 50, 0).await;
    let log = Log::default();
    let source = nth(&fake, 1).start(StartPosition::Snapshot).open().await;
    let source = source.expect("it opens");
    fake.inject(
        Fault::internal_error()
            .on(Operation::Scan)
            .table(TABLE)
            .always(),
    );
    let control = source.control();
    let running = tokio::spawn(source.run(log.handler()));
    tokio::time::sleep(120 * SECOND).await;
    assert_eq!(log.len(), 0);
    let last = control.stats().last_error;
    assert!(
        matches!(control.health(), Health::Failing { .. }),
        "after 120 s without a scan: {}; last error {last:?}",
        control.health()
    );
    running.abort();
}

/// The snapshot's own table is out: no worker takes any shard.
#[tokio::test(start_paused = true)]
async fn a_snapshot_table_that_can_not_be_read_shows_in_the_health() {
    let fake = table(1);
    let log = Log::default();
    let source = nth(&fake, 1).start(StartPosition::Snapshot).open().await;
    let source = source.expect("it opens");
    fake.inject(
        Fault::internal_error()
            .on(Operation::Scan)
            .table(SNAPSHOT_TABLE)
            .always(),
    );
    let control = source.control();
    let running = tokio::spawn(source.run(log.handler()));
    tokio::time::sleep(120 * SECOND).await;
    let stats = control.stats();
    assert!(
        !control.health().is_healthy(),
        "{}; last {:?}; unread {:?}",
        control.health(),
        stats.last_error,
        stats.unread
    );
    running.abort();
}

/// A poison record blocks one key group for good, while dead letters of another are taken.
#[tokio::test(start_paused = true)]
async fn dead_letters_that_are_taken_do_not_hide_a_handler_that_fails() {
    let fake = table(1);
    let handler = move |batch: Batch<Item>| {
        let at = batch
            .changes
            .iter()
            .position(|change| change.new.as_ref().is_some_and(|item| item.id != "k0"));
        let poison = batch
            .changes
            .iter()
            .any(|change| change.new.as_ref().is_some_and(|item| item.id == "k0"));
        std::future::ready(match at {
            _ if poison => Err(BatchError::retry_from(0, "the archive is full")),
            Some(at) => Err(BatchError::refuse(at, "unwanted")),
            None => Ok(()),
        })
    };
    let settings = StreamsSettings::default().parallelism(16).batch_records(1);
    let builder = nth(&fake, 1)
        .settings(settings)
        .dead_letters(|_: FailedChange| async { Ok::<_, std::io::Error>(()) });
    let worker = Worker::handle(builder, handler).await;
    put(&fake, "k0", 0).await;
    let mut healthy = 0;
    for n in 0..120 {
        put(&fake, &format!("k{}", 1 + n % 30), n).await;
        tokio::time::sleep(SECOND).await;
        if n > 10 && worker.control.health().is_healthy() {
            healthy += 1;
        }
    }
    assert!(
        healthy < 20,
        "healthy in {healthy} of 110 s while one item is blocked throughout"
    );
}

/// Lease table out (reads and writes): the lease lapses, nothing is read. Lag must grow.
#[tokio::test(start_paused = true)]
async fn while_the_whole_lease_table_is_out_lag_grows() {
    let fake = table(2);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put_each(&fake, 10, 0).await;
    log.until(10).await;
    use Operation::{GetItem, Scan, UpdateItem};
    fake.fault_plan(failing(&[GetItem, Scan, UpdateItem]));
    tokio::time::sleep(5 * SECOND).await;
    tokio::time::sleep(20 * SECOND).await;
    put_each(&fake, 10, 1).await;
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(log.len(), 10, "nothing is read");
    let stats = worker.control.stats();
    assert!(
        worst(&worker.control) > 60 * SECOND,
        "nothing was read for 110 s: lag {:?} unread {:?} ready {}; {}",
        stats.lag,
        stats.unread,
        stats.ready,
        worker.control.health()
    );
}

/// A stopped source: what do its statistics say?
#[tokio::test(start_paused = true)]
async fn a_source_that_was_stopped_or_dropped_shows_no_shard_as_read() {
    let fake = table(2);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    eventually("it reads", 10 * SECOND, || worker.shards().len() == 2).await;
    let control = worker.control.clone();
    worker.kill().await;
    tokio::time::sleep(60 * SECOND).await;
    let stats = control.stats();
    assert!(
        stats.lag.is_empty(),
        "dropped: lag {:?}, {}",
        stats.lag,
        control.health()
    );
}
