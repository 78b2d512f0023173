//! The thinnest way through: what is written is seen, in order, once, and the position survives.

use std::time::Duration;

use dynamodb_connector::SettingsFile;
use dynamodb_connector::streams::{
    EventKind, StartPosition, StreamsSettings, StreamsSourceBuilder,
};
use futures::StreamExt as _;

use super::rig::{LEASES, Log, TABLE, Worker, builder, open_shards, put, put_each, table, text};

#[tokio::test(start_paused = true)]
async fn changes_are_seen_in_order_and_a_second_run_goes_on_after_them() {
    let fake = table(4);
    for version in 0..50 {
        for id in ["a", "b", "c", "d", "e"] {
            put(&fake, id, version).await;
        }
    }
    let log = Log::default();
    let source = builder(&fake).open().await.expect("it opens");
    let control = source.control();
    let running = tokio::spawn(source.run(log.handler()));
    log.until(250).await;
    control.stop();
    running.await.expect("no panic").expect("it ends well");
    for id in ["a", "b", "c", "d", "e"] {
        assert_eq!(log.versions(id), (0..50).collect::<Vec<_>>());
    }
    assert_eq!(log.seen()[0].kind, EventKind::Insert);

    put(&fake, "a", 50).await;
    let again = Log::default();
    let source = builder(&fake).open().await.expect("it opens again");
    let started = tokio::time::Instant::now();
    let control = source.control();
    let running = tokio::spawn(source.run(again.handler()));
    again.until(1).await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "the leases had been given up"
    );
    control.stop();
    running.await.expect("no panic").expect("it ends well");
    assert_eq!(again.seen().len(), 1);
    assert_eq!(again.versions("a"), [50]);
}

#[tokio::test(start_paused = true)]
async fn a_child_is_read_after_its_parent_and_soon() {
    let fake = table(1);
    let log = Log::default();
    let source = builder(&fake).open().await.expect("it opens");
    let control = source.control();
    let running = tokio::spawn(source.run(log.handler()));
    for round in 0..5 {
        put(&fake, "a", round).await;
        put(&fake, "b", round).await;
        fake.split_all_shards(TABLE);
    }
    put(&fake, "a", 5).await;
    let started = tokio::time::Instant::now();
    log.until(11).await;
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    control.stop();
    running.await.expect("no panic").expect("it ends well");
    assert_eq!(log.versions("a"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(log.versions("b"), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn latest_gives_what_changes_after_opening() {
    let fake = table(2);
    put(&fake, "a", 1).await;
    let source = builder(&fake)
        .start(StartPosition::Latest)
        .open()
        .await
        .expect("it opens");
    put(&fake, "a", 2).await;
    let log = Log::default();
    let control = source.control();
    let running = tokio::spawn(source.run(log.handler()));
    log.until(1).await;
    put(&fake, "b", 1).await;
    log.until(2).await;
    control.stop();
    running.await.expect("no panic").expect("it ends well");
    assert_eq!((log.versions("a"), log.versions("b")), (vec![2], vec![1]));
}

#[tokio::test(start_paused = true)]
async fn as_a_stream_the_checkpoint_waits_for_the_acknowledgements() {
    let fake = table(1);
    for version in 0..10 {
        put(&fake, "a", version).await;
    }
    let source = builder(&fake).open().await.expect("it opens");
    let mut stream = source.into_stream();
    let mut kept = Vec::new();
    for n in 0..10 {
        let delivery = stream.next().await.expect("more").expect("a record");
        if n == 4 {
            kept.push(delivery);
        } else {
            delivery.ack.done();
        }
    }
    stream.close().await.expect("it closes");
    drop(kept);

    let source = builder(&fake).open().await.expect("it opens");
    let mut stream = source.into_stream();
    let delivery = stream.next().await.expect("more").expect("a record");
    let version: std::collections::HashMap<String, serde_json::Value> = delivery
        .record
        .new_image()
        .expect("readable")
        .expect("an image");
    assert_eq!(
        version["version"], 4,
        "everything from the first that was not done"
    );
}

#[tokio::test(start_paused = true)]
async fn with_leases_in_memory_no_table_is_made_and_all_is_read_over_splits() {
    let fake = table(3);
    let log = Log::default();
    put_each(&fake, 20, 0).await;
    let in_memory = || builder(&fake).leases_in_memory();
    let worker = Worker::start(in_memory(), &log).await;
    log.until(20).await;
    for shard in open_shards(&fake) {
        fake.split_shard(TABLE, &shard);
    }
    put_each(&fake, 20, 1).await;
    log.until(40).await;
    log.assert_each(20, 0..2);
    assert_eq!(worker.shards().len(), 6);
    worker.stop().await;
    let described = fake.client().describe_table().table_name(LEASES);
    assert!(described.send().await.is_err(), "there is no such table");

    // The next one begins anew, also with a file that names a table for others.
    let log = Log::default();
    let shared = StreamsSettings::default().lease_table(LEASES);
    let worker = Worker::start(in_memory().settings(shared), &log).await;
    log.until(40).await;
    worker.stop().await;
    let described = fake.client().describe_table().table_name(LEASES);
    assert!(described.send().await.is_err(), "nor is there one now");

    for (builder, setting) in [
        (in_memory().lease_table("leases"), "lease_table"),
        (in_memory().start(StartPosition::Snapshot), "snapshot"),
    ] {
        let error = builder.open().await.expect_err("they need a table");
        assert!(error.to_string().contains(setting), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_names_lease_table_worker_and_start_and_the_builder_goes_over_it() {
    let fake = table(1);
    put(&fake, "a", 1).await;
    let file = SettingsFile::from_toml(
        r#"
        [streams]
        lease_table = "from-file"
        worker = "file"
        start = "latest"
        "#,
    );
    let settings = file.and_then(|file| file.streams()).expect("valid");
    let owners = |table: &str| -> Vec<_> {
        let rows = fake.items(table).into_iter();
        rows.filter_map(|row| text(&row, "leaseOwner")).collect()
    };

    let log = Log::default();
    let worker = Worker::start(builder(&fake).settings(settings.clone()), &log).await;
    put(&fake, "a", 2).await;
    log.until(1).await;
    assert_eq!(log.versions("a"), [2], "it begins at the latest change");
    let found = owners("from-file");
    assert!(found[0].starts_with("file-"), "{found:?}");
    worker.stop().await;

    // Over the settings, whichever was called first.
    let named = |n: usize, builder: StreamsSourceBuilder| {
        builder
            .lease_table(format!("over-{n}"))
            .worker("builder")
            .start(StartPosition::TrimHorizon)
    };
    let before = named(0, builder(&fake)).settings(settings.clone());
    let after = named(1, builder(&fake).settings(settings));
    for (n, builder) in [before, after].into_iter().enumerate() {
        let log = Log::default();
        let worker = Worker::start(builder, &log).await;
        log.until(2).await;
        assert_eq!(log.versions("a"), [1, 2], "it begins at the oldest change");
        let found = owners(&format!("over-{n}"));
        assert!(found[0].starts_with("builder-"), "{found:?}");
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_table_without_a_name_is_refused() {
    let settings = StreamsSettings::default().lease_table("");
    let error = builder(&table(1)).settings(settings).open().await;
    let error = error.expect_err("no name").to_string();
    assert_eq!(error, "streams: lease_table is 0B, allowed 1B to 1KiB");
}
