//! Items and changes: each once, and in order.

use super::*;

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
