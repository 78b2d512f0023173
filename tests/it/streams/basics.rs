//! The thinnest way through: what is written is seen, in order, once, and the position survives.

use std::time::Duration;

use dynamodb_connector::streams::{EventKind, StartPosition};
use futures::StreamExt as _;

use super::rig::{LEASES, Log, TABLE, Worker, builder, open_shards, put, put_each, table};

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

    // The next one begins anew.
    let log = Log::default();
    let worker = Worker::start(in_memory(), &log).await;
    log.until(40).await;
    worker.stop().await;

    for (builder, setting) in [
        (in_memory().lease_table("leases"), "lease_table"),
        (in_memory().start(StartPosition::Snapshot), "Snapshot"),
    ] {
        let error = builder.open().await.expect_err("they need a table");
        assert!(error.to_string().contains(setting), "{error}");
    }
}
