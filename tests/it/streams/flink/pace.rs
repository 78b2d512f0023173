//! The pace of reads, and lag.

use super::*;

/// Reads of a shard in this time.
async fn reads_in(fake: &FaultyDynamoDb, shard: &str, time: Duration) -> u64 {
    let before = fake.get_records_calls(shard);
    tokio::time::sleep(time).await;
    fake.get_records_calls(shard) - before
}

#[tokio::test(start_paused = true)]
async fn reads_are_as_far_apart_as_what_the_shard_brings_asks_for() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    let settings = StreamsSettings::default()
        .poll(SECOND / 5)
        .idle_poll(2 * SECOND)
        .idle_after(30 * SECOND)
        .page_records(10);
    for version in 0..1000 {
        put(&fake, "a", version).await;
    }
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    let took = eventually("the backlog is read", 10 * SECOND, || log.len() == 1000).await;
    assert!(
        took < 2 * SECOND,
        "full pages follow each other at once: {took:?}"
    );

    let waiting = reads_in(&fake, &shard, 20 * SECOND).await;
    assert!((99..=101).contains(&waiting), "five a second: {waiting}");
    tokio::time::sleep(20 * SECOND).await;
    let idle = reads_in(&fake, &shard, 20 * SECOND).await;
    assert!((9..=11).contains(&idle), "an idle shard's: {idle}");
    put(&fake, "a", 1000).await;
    let took = eventually("it wakes up", 3 * SECOND, || log.len() == 1001).await;
    assert!(took <= 2100 * SECOND / 1000, "{took:?}");
    let waiting = reads_in(&fake, &shard, 20 * SECOND).await;
    assert!(
        (99..=101).contains(&waiting),
        "five a second again: {waiting}"
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_shard_is_the_age_of_what_was_read_last() {
    let fake = table(2);
    // By the clock of the service, an hour before the worker's.
    fake.set_clock_behind(3600 * SECOND);
    put_each(&fake, 40, 0).await;
    fake.set_clock_behind(Duration::ZERO);
    let settings = StreamsSettings::default().page_records(2);
    let (log, gate) = (
        Log::default(),
        std::sync::Arc::new(tokio::sync::Semaphore::new(0)),
    );
    let worker = {
        let (log, gate) = (log.clone(), std::sync::Arc::clone(&gate));
        Worker::handle(
            nth(&fake, 1).settings(settings.buffer_bytes(1 << 20)),
            move |batch| {
                let (log, gate) = (log.clone(), std::sync::Arc::clone(&gate));
                async move {
                    gate.acquire().await.expect("a permit").forget();
                    log.note(&batch);
                    Ok(())
                }
            },
        )
        .await
    };
    let shard = ShardId::from(open_shards(&fake).remove(0));
    fake.slow_shard(TABLE, shard.as_str(), 4 * SECOND);
    tokio::time::sleep(15 * SECOND).await;
    let lag = worker.control.stats().lag[&shard];
    assert!((3590..=3640).contains(&lag.as_secs()), "{lag:?}");
    gate.add_permits(1000);
    log.until(40).await;
    let caught_up = || {
        worker
            .control
            .stats()
            .lag
            .values()
            .all(std::time::Duration::is_zero)
    };
    eventually("there is no lag left", 60 * SECOND, caught_up).await;
    worker.stop().await;
}
