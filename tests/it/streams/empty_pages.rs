//! Pages without a record come first wherever a shard is read from its oldest record, as the API reference of `GetRecords` allows.

use std::time::Duration;

use dynamodb_connector::streams::{EventKind, SnapshotSettings, StartPosition, StreamsSettings};

use super::rig::{
    Log, TABLE, Worker, builder, checkpoint, eventually, nth, open_shards, put_each, table,
};

const SECOND: Duration = Duration::from_secs(1);
const PAGES: [usize; 3] = [1, 4, 20];

#[tokio::test(start_paused = true)]
async fn from_the_oldest_record_nothing_is_lost_behind_empty_pages() {
    for pages in PAGES {
        let fake = table(2);
        fake.empty_pages(TABLE, pages);
        put_each(&fake, 20, 0).await;
        let closed = open_shards(&fake);
        fake.split_all_shards(TABLE);
        put_each(&fake, 20, 1).await;
        let log = Log::default();
        let worker = Worker::start(nth(&fake, 1), &log).await;
        log.until(40).await;
        fake.split_all_shards(TABLE);
        put_each(&fake, 20, 2).await;
        log.until(60).await;
        log.assert_each(20, 0..3);
        assert_eq!(worker.control.stats().gaps, 0);
        worker.stop().await;
        // A closed shard is not over while only empty pages of it were seen.
        for shard in closed {
            let stored = checkpoint(&fake, &shard);
            assert!(stored.is_none_or(|stored| stored == "SHARD_END"));
        }
    }
}

/// A first reader that dies before its first checkpoint leaves a row at LATEST: its follower reads from the oldest record.
#[tokio::test(start_paused = true)]
async fn at_latest_nothing_is_lost_behind_empty_pages() {
    for pages in PAGES {
        let fake = table(2);
        fake.empty_pages(TABLE, pages);
        put_each(&fake, 20, 0).await;
        tokio::time::sleep(60 * SECOND).await;
        let log = Log::default();
        let source = nth(&fake, 1).start(StartPosition::Latest);
        let source = source.open().await.expect("it opens");
        put_each(&fake, 20, 1).await;
        drop(source);

        let source = nth(&fake, 2).start(StartPosition::Latest);
        let worker = Worker::start(source, &log).await;
        put_each(&fake, 20, 2).await;
        log.until(40).await;
        fake.split_all_shards(TABLE);
        put_each(&fake, 20, 3).await;
        log.until(60).await;
        log.assert_each(20, 1..4);
        worker.kill().await;

        // And the next one, after a crash with all checkpointed but the last.
        put_each(&fake, 20, 4).await;
        let source = nth(&fake, 3).start(StartPosition::Latest);
        let worker = Worker::start(source, &log).await;
        eventually("the last are seen", 60 * SECOND, || {
            (0..20).all(|id| log.versions(&format!("k{id}")).last() == Some(&4))
        })
        .await;
        assert_eq!(worker.control.stats().gaps, 0);
        worker.stop().await;
    }
}

/// The stream still holds every version of each item when the snapshot is taken: none comes after the row that shows a later one.
#[tokio::test(start_paused = true)]
async fn a_snapshots_consumer_never_steps_back_behind_empty_pages() {
    for (pages, split) in PAGES
        .into_iter()
        .flat_map(|pages| [(pages, false), (pages, true)])
    {
        let fake = table(2);
        fake.empty_pages(TABLE, pages);
        for version in 1..6 {
            put_each(&fake, 10, version).await;
            if split && version == 3 {
                fake.split_all_shards(TABLE);
            }
        }
        let log = Log::default();
        let source = builder(&fake).start(StartPosition::Snapshot);
        let worker = Worker::start(source, &log).await;
        // While it is scanned, and after.
        put_each(&fake, 10, 6).await;
        if split {
            fake.split_all_shards(TABLE);
        }
        tokio::time::sleep(60 * SECOND).await;
        put_each(&fake, 10, 7).await;
        eventually("the last are seen", 60 * SECOND, || {
            (0..10).all(|id| log.versions(&format!("k{id}")).contains(&7))
        })
        .await;
        worker.stop().await;
        for id in 0..10 {
            let versions = log.versions(&format!("k{id}"));
            assert!(versions.is_sorted(), "{pages} {split}: {versions:?}");
            assert_eq!(versions.last(), Some(&7));
        }
        // An item is not shown as it was scanned where a later change of it came first.
        let rows = log.seen().into_iter();
        let rows = rows.filter(|seen| seen.kind == EventKind::Snapshot).count();
        assert!(rows > 0, "there was a snapshot");
    }
}

/// The shard is read from its oldest record, and its first pages are sent late enough for the scan to be settled by then.
#[tokio::test(start_paused = true)]
async fn an_empty_page_does_not_show_a_snapshot_that_its_shard_is_read_up() {
    for pages in [1, 2] {
        let fake = table(1);
        let snapshot = |n| {
            let settling = SnapshotSettings::default().settling(Duration::ZERO);
            let settings = StreamsSettings::default().snapshot(settling);
            nth(&fake, n)
                .start(StartPosition::Snapshot)
                .settings(settings)
        };
        // Its row is made, and the iterator at LATEST is gone with the worker.
        drop(snapshot(1).open().await.expect("it opens"));
        for version in 1..6 {
            put_each(&fake, 10, version).await;
        }
        fake.empty_pages(TABLE, pages);
        fake.slow_shard(TABLE, &open_shards(&fake)[0], 2 * SECOND);
        let log = Log::default();
        let worker = Worker::start(snapshot(2), &log).await;
        eventually("all is given", 60 * SECOND, || {
            (0..10).all(|id| log.versions(&format!("k{id}")).contains(&5))
        })
        .await;
        tokio::time::sleep(20 * SECOND).await;
        worker.stop().await;
        for id in 0..10 {
            let versions = log.versions(&format!("k{id}"));
            assert!(versions.is_sorted(), "{pages}: {versions:?}");
        }
    }
}
