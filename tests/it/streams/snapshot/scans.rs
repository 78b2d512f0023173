//! Scans: their pace, their worker, gaps.

use super::*;

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
    // Changes that can no longer be read, of items that the scan is past and of others.
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
