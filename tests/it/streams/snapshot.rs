//! A snapshot of the table merged with its stream, over the fake in virtual time.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use dynamodb_connector::GapPolicy;
use dynamodb_connector::streams::{
    Batch, BatchError, EventKind, SnapshotSettings, StartPosition, StreamsControl, StreamsError,
    StreamsSettings, StreamsSourceBuilder,
};
use dynamodb_connector::test_util::FaultyDynamoDb;
use futures::StreamExt as _;
use tokio::task::JoinHandle;

use super::rig::{Item, Log, SNAPSHOT_TABLE, TABLE, builder, put, table};

fn id(n: usize) -> String {
    format!("d-{n:05}")
}

/// Items of version 1, whose changes the stream has forgotten.
async fn fill(fake: &FaultyDynamoDb, items: usize) {
    let ids: Vec<String> = (0..items).map(id).collect();
    for ids in ids.chunks(25) {
        let writes = ids.iter().map(|id| {
            let put = PutRequest::builder()
                .item("id", AttributeValue::S(id.clone()))
                .item("version", AttributeValue::N("1".to_owned()))
                .build()
                .expect("an item");
            WriteRequest::builder().put_request(put).build()
        });
        let request = fake.client().batch_write_item();
        let request = request.request_items(TABLE, writes.collect());
        request.send().await.expect("they are written");
    }
    fake.trim_stream(TABLE, 0);
}

async fn start(
    builder: StreamsSourceBuilder,
    log: &Log,
) -> (StreamsControl, JoinHandle<Result<(), StreamsError>>) {
    let source = builder.open().await.expect("it opens");
    let control = source.control();
    let running = tokio::spawn(source.run(log.handler()));
    (control, running)
}

async fn stop(control: &StreamsControl, running: JoinHandle<Result<(), StreamsError>>) {
    control.stop();
    running.await.expect("no panic").expect("it ends well");
}

#[expect(
    clippy::disallowed_methods,
    reason = "paused: the test decides the time"
)]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Whether the snapshot's row says that all is done.
fn is_complete(fake: &FaultyDynamoDb) -> bool {
    let key = [("leaseKey", AttributeValue::S("snapshot".to_owned()))];
    let row = fake.item(SNAPSHOT_TABLE, key);
    row.is_some_and(|row| row["checkpoint"] == AttributeValue::S("SHARD_END".to_owned()))
}

async fn until_complete(fake: &FaultyDynamoDb) {
    let wait = async {
        while !is_complete(fake) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(3600), wait).await;
    waited.expect("the snapshot is complete within the hour");
}

/// The versions of every item in the table.
fn versions(fake: &FaultyDynamoDb) -> HashMap<String, u64> {
    let items = fake.items(TABLE).into_iter().map(|item| {
        let version = item["version"].as_n().expect("a number").parse();
        let id = item["id"].as_s().expect("text").clone();
        (id, version.expect("a number"))
    });
    items.collect()
}

/// Each item's versions, in the order in which they were seen.
fn histories(log: &Log) -> HashMap<String, Vec<(u64, EventKind)>> {
    let mut all: HashMap<String, Vec<(u64, EventKind)>> = HashMap::new();
    for seen in log.seen() {
        all.entry(seen.id)
            .or_default()
            .push((seen.version, seen.kind));
    }
    all
}

/// Every item was seen as it is now at last, and none stepped back.
fn check(fake: &FaultyDynamoDb, log: &Log) {
    let seen = histories(log);
    for (id, version) in versions(fake) {
        let history = seen
            .get(&id)
            .unwrap_or_else(|| panic!("{id} was never seen"));
        let steps: Vec<u64> = history.iter().map(|(version, _)| *version).collect();
        assert!(steps.is_sorted(), "{id}: {steps:?}");
        assert_eq!(steps.last(), Some(&version), "{id}: {steps:?}");
    }
}

fn snapshot_builder(fake: &FaultyDynamoDb, settings: SnapshotSettings) -> StreamsSourceBuilder {
    builder(fake)
        .start(StartPosition::Snapshot)
        .settings(StreamsSettings::default().snapshot(settings))
}

#[tokio::test(start_paused = true)]
async fn a_fresh_application_sees_every_item_once_and_then_the_changes() {
    let fake = table(2);
    fill(&fake, 300).await;
    let log = Log::default();
    let (control, running) =
        start(snapshot_builder(&fake, SnapshotSettings::default()), &log).await;
    log.until(300).await;
    until_complete(&fake).await;
    assert_eq!(log.len(), 300);
    assert!(
        log.seen()
            .iter()
            .all(|seen| seen.kind == EventKind::Snapshot && seen.shard == "snapshot")
    );
    put(&fake, &id(7), 2).await;
    log.until(301).await;
    let stats = control.stats();
    assert_eq!((stats.snapshot_items, stats.snapshot_segments), (300, 4));
    stop(&control, running).await;
    check(&fake, &log);

    let again = Log::default();
    let (control, running) =
        start(snapshot_builder(&fake, SnapshotSettings::default()), &again).await;
    put(&fake, &id(8), 2).await;
    again.until(1).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    stop(&control, running).await;
    assert_eq!(again.len(), 1, "a complete snapshot is not taken again");
}

#[tokio::test(start_paused = true)]
async fn an_application_that_has_leases_takes_no_snapshot() {
    let fake = table(1);
    let log = Log::default();
    let (control, running) = start(builder(&fake), &log).await;
    put(&fake, "a", 1).await;
    log.until(1).await;
    stop(&control, running).await;
    let (control, running) =
        start(snapshot_builder(&fake, SnapshotSettings::default()), &log).await;
    put(&fake, "a", 2).await;
    log.until(2).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    stop(&control, running).await;
    assert_eq!(log.versions("a"), [1, 2]);
}

/// Writes, at a steady rate, the next version of random items, some of them new, while `splits` shards split now and then.
async fn write(fake: FaultyDynamoDb, items: usize, writes: u64, splits: u64) {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut latest: HashMap<String, u64> = HashMap::new();
    for n in 0..writes {
        let id = id(rng.usize(..items + items / 10));
        let version = latest.entry(id.clone()).or_insert(1);
        *version += 1;
        put(&fake, &id, *version).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if splits > 0 && n % (writes / splits) == writes / splits - 1 {
            fake.split_all_shards(TABLE);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_writers_splits_and_a_stream_that_lags_nothing_is_lost_and_nothing_steps_back() {
    let fake = table(2);
    fill(&fake, 400).await;
    fake.stream_lag(TABLE, Duration::from_millis(1500));
    let log = Log::default();
    let settings = SnapshotSettings::default().read_units(1);
    let (control, running) = start(snapshot_builder(&fake, settings), &log).await;
    write(fake.clone(), 400, 1500, 3).await;
    until_complete(&fake).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    stop(&control, running).await;
    check(&fake, &log);
    let snapshots = log
        .seen()
        .iter()
        .filter(|seen| seen.kind == EventKind::Snapshot)
        .count();
    assert!(snapshots > 50, "{snapshots} of 400 were given by the scan");
    let fresh = log
        .seen()
        .iter()
        .any(|seen| seen.kind == EventKind::Snapshot && seen.version > 1);
    assert!(
        fresh,
        "the scan saw what had changed while it was under way"
    );
}

#[tokio::test(start_paused = true)]
async fn with_handlers_of_any_speed_an_items_changes_are_never_handled_beside_its_snapshot() {
    let fake = table(3);
    fill(&fake, 60).await;
    let log = Log::default();
    let settings = SnapshotSettings::default().read_units(1).segments(2);
    let settings = StreamsSettings::default()
        .snapshot(settings)
        .parallelism(3)
        .batch_records(2);
    let source = builder(&fake)
        .start(StartPosition::Snapshot)
        .settings(settings);
    let source = source.open().await.expect("it opens");
    let control = source.control();
    let noted = log.clone();
    let slow = move |batch: Batch<Item>| {
        let log = noted.clone();
        // Different for each batch, and the same in each run.
        let version = batch.changes[0].new.as_ref().map_or(0, |item| item.version);
        let pause = Duration::from_millis(version * 7919 % 900);
        async move {
            tokio::time::sleep(pause).await;
            log.note(&batch);
            Ok::<(), BatchError>(())
        }
    };
    let running = tokio::spawn(source.run(slow));
    write(fake.clone(), 60, 600, 2).await;
    until_complete(&fake).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    stop(&control, running).await;
    check(&fake, &log);
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_middle_of_a_snapshot_begins_it_anew() {
    let fake = table(1);
    fill(&fake, 1500).await;
    let settings = StreamsSettings::default()
        .on_gap(GapPolicy::Rescan)
        .snapshot(SnapshotSettings::default().read_units(1));
    let log = Log::default();
    let snapshot = builder(&fake)
        .start(StartPosition::Snapshot)
        .settings(settings);
    let (control, running) = start(snapshot, &log).await;
    log.until(600).await;
    // Changes that nobody can read any more, of items that the scan is past and of others.
    fake.stream_lag(TABLE, Duration::from_secs(3600));
    for n in 0..1500 {
        put(&fake, &id(n), 2).await;
    }
    let parent = fake.shards(TABLE)[0].id().to_owned();
    fake.stream_lag(TABLE, Duration::ZERO);
    fake.roll_shard(TABLE, &parent);
    fake.forget_shard(TABLE, &parent);
    log.until(2100).await;
    until_complete(&fake).await;
    put(&fake, &id(5), 3).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(control.stats().gaps, 1);
    stop(&control, running).await;
    check(&fake, &log);
}

#[tokio::test(start_paused = true)]
async fn a_scan_keeps_to_its_read_units_over_twenty_thousand_items() {
    let fake = table(1);
    fill(&fake, 20_000).await;
    let log = Log::default();
    let started = now();
    let settings = SnapshotSettings::default().read_units(10);
    let (control, running) = start(snapshot_builder(&fake, settings), &log).await;
    until_complete(&fake).await;
    let seconds = started.elapsed().as_secs_f64();
    stop(&control, running).await;
    check(&fake, &log);
    assert_eq!(log.len(), 20_000);
    // An item of `d-00000` and a version takes 18 bytes; a unit reads 4,096.
    let units = 20_000.0 * 18.0 / 4096.0;
    assert!(seconds >= units / 10.0, "{seconds} s");
    assert!(seconds < units / 10.0 * 4.0 + 20.0, "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_worker_that_dies_is_replaced_and_the_scan_goes_on_where_it_was() {
    let fake = table(2);
    fill(&fake, 2000).await;
    let settings = SnapshotSettings::default().read_units(1);
    let first = Log::default();
    let (_control, running) = start(snapshot_builder(&fake, settings.clone()), &first).await;
    let second = Log::default();
    let (control, other) = start(snapshot_builder(&fake, settings).seed(8), &second).await;
    first.until(1000).await;
    assert_eq!(
        second.len(),
        0,
        "one worker takes the snapshot and all shards"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    running.abort();
    let died = now();
    let before = first.len();
    second.until(1).await;
    assert!(
        died.elapsed() < Duration::from_secs(25),
        "{:?}",
        died.elapsed()
    );
    put(&fake, &id(3), 2).await;
    until_complete(&fake).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop(&control, other).await;
    assert!(
        second.len() < 2000 - before / 2,
        "{before} and {}",
        second.len()
    );
    let mut all: Vec<String> = first.seen().into_iter().map(|seen| seen.id).collect();
    all.extend(second.seen().into_iter().map(|seen| seen.id));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 2000);
    assert_eq!(second.versions(&id(3)).last(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_closed_by_scanning_the_table_again() {
    let fake = table(1);
    fill(&fake, 50).await;
    let settings = StreamsSettings::default().on_gap(GapPolicy::Rescan);
    let first = Log::default();
    let with = || builder(&fake).settings(settings.clone());
    let (control, running) = start(with(), &first).await;
    put(&fake, &id(0), 2).await;
    first.until(1).await;
    stop(&control, running).await;
    assert!(is_complete(&fake), "there is none to take");

    put(&fake, &id(1), 2).await;
    put(&fake, &id(2), 2).await;
    fake.trim_stream(TABLE, 0);
    let second = Log::default();
    let (control, running) = start(with(), &second).await;
    second.until(50).await;
    until_complete(&fake).await;
    put(&fake, &id(2), 3).await;
    second.until(51).await;
    assert_eq!(control.stats().gaps, 1);
    stop(&control, running).await;
    check(&fake, &second);
    assert_eq!(second.versions(&id(1)), [2]);
}

#[tokio::test(start_paused = true)]
async fn as_a_stream_too_items_and_changes_come_in_order_and_the_scan_ends_once_all_are_done() {
    let fake = table(2);
    fill(&fake, 300).await;
    let settings = SnapshotSettings::default().read_units(1);
    let source = snapshot_builder(&fake, settings)
        .open()
        .await
        .expect("it opens");
    let mut stream = source.into_stream();
    let writing = tokio::spawn(write(fake.clone(), 300, 500, 1));
    let mut seen: HashMap<String, Vec<u64>> = HashMap::new();
    let mut kept = std::collections::VecDeque::new();
    while !(is_complete(&fake) && writing.is_finished()) {
        let next = tokio::time::timeout(Duration::from_secs(1), stream.next()).await;
        let Ok(next) = next else {
            kept.clear_done();
            continue;
        };
        let delivery = next.expect("more").expect("a record");
        let item: HashMap<String, serde_json::Value> = delivery
            .record
            .new_image()
            .expect("readable")
            .expect("an image");
        let id = item["id"].as_str().expect("text").to_owned();
        seen.entry(id)
            .or_default()
            .push(item["version"].as_u64().expect("a number"));
        kept.push_back(delivery.ack);
        if kept.len() > 20 {
            kept.pop_front().expect("twenty").done();
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    while let Ok(Some(next)) = tokio::time::timeout(Duration::from_secs(5), stream.next()).await {
        let delivery = next.expect("a record");
        let item: HashMap<String, serde_json::Value> = delivery
            .record
            .new_image()
            .expect("readable")
            .expect("an image");
        let id = item["id"].as_str().expect("text").to_owned();
        seen.entry(id)
            .or_default()
            .push(item["version"].as_u64().expect("a number"));
        delivery.ack.done();
    }
    kept.clear_done();
    stream.close().await.expect("it closes");
    for (id, version) in versions(&fake) {
        let steps = &seen[&id];
        assert!(steps.is_sorted(), "{id}: {steps:?}");
        assert_eq!(steps.last(), Some(&version), "{id}");
    }
}

trait ClearDone {
    fn clear_done(&mut self);
}

impl ClearDone for std::collections::VecDeque<dynamodb_connector::Ack> {
    fn clear_done(&mut self) {
        self.drain(..).for_each(dynamodb_connector::Ack::done);
    }
}
