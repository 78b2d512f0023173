//! Places to begin and to go on.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_shard_goes_on_where_it_was() {
    let fake = table(5);
    let log = Log::default();
    for round in 0..6 {
        put_each(&fake, 20, round).await;
        if round == 3 {
            fake.split_all_shards(TABLE);
        }
        let worker = Worker::start(nth(&fake, round), &log).await;
        log.until(20 * (usize::try_from(round).unwrap() + 1)).await;
        worker.stop().await;
    }
    log.assert_each(20, 0..6);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_every_shard_goes_on_after_its_checkpoint() {
    let fake = table(5);
    let log = Log::default();
    put_each(&fake, 20, 0).await;
    let settings = StreamsSettings::default().checkpoint_interval(5 * SECOND);
    let worker = Worker::start(nth(&fake, 1).settings(settings.clone()), &log).await;
    log.until(20).await;
    tokio::time::sleep(6 * SECOND).await;
    // These are seen and not checkpointed.
    put_each(&fake, 20, 1).await;
    log.until(40).await;
    worker.kill().await;
    let worker = Worker::start(nth(&fake, 2).settings(settings), &log).await;
    log.until(60).await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    for id in 0..20 {
        assert_eq!(log.versions(&format!("k{id}")), [0, 1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_replaced_at_the_same_place() {
    for start in [StartPosition::TrimHorizon, StartPosition::Latest] {
        let fake = table(2);
        let log = Log::default();
        let worker = Worker::start(nth(&fake, 1).start(start), &log).await;
        // Before anything was read by them, and after.
        fake.expire_iterators();
        for version in 0..20 {
            put_each(&fake, 10, version).await;
            fake.expire_iterators();
            tokio::time::sleep(SECOND / 7).await;
        }
        fake.inject(Fault::expired_iterator().on(Operation::GetRecords).times(5));
        put_each(&fake, 10, 20).await;
        log.until(210).await;
        worker.stop().await;
        log.assert_each(10, 0..21);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_the_first_record_skips_nothing_at_latest() {
    // Opened and never run, killed while it waited, and killed before the first record was handled.
    for moment in 0..3 {
        let fake = table(2);
        // Further back than two machines' clocks may be apart.
        fake.set_clock_behind(20 * 60 * SECOND);
        put_each(&fake, 10, 0).await;
        fake.set_clock_behind(Duration::ZERO);
        let log = Log::default();
        let first = nth(&fake, 1).start(StartPosition::Latest);
        match moment {
            0 => drop(first.open().await.expect("it opens")),
            1 => {
                let worker = Worker::start(first, &log).await;
                tokio::time::sleep(30 * SECOND).await;
                worker.kill().await;
            }
            _ => {
                let worker = Worker::handle(first, |_| std::future::pending()).await;
                put(&fake, "k0", 1).await;
                tokio::time::sleep(5 * SECOND).await;
                worker.kill().await;
            }
        }
        put_each(&fake, 10, 1).await;
        put_each(&fake, 10, 2).await;
        let second = Worker::start(nth(&fake, 2).start(StartPosition::Latest), &log).await;
        log.until(20).await;
        second.stop().await;
        log.assert_each(10, 1..3);
    }
}

/// Returns the time at which, by the service, each version of `a` was made.
async fn times(fake: &FaultyDynamoDb) -> Vec<SystemTime> {
    let source = nth(fake, 99).lease_table("another-application");
    let mut stream = source.open().await.expect("it opens").into_stream();
    let mut times = Vec::new();
    while times.len() < 10 {
        let delivery = stream.next().await.expect("more").expect("a record");
        times.push(delivery.record.approximate_creation_time());
        delivery.ack.done();
    }
    stream.close().await.expect("it closes");
    times.sort();
    times
}

#[tokio::test(start_paused = true)]
async fn at_a_timestamp_gives_what_changed_from_then_on() {
    let fake = table(1);
    for version in 0..10 {
        put(&fake, "a", version).await;
        tokio::time::sleep(60 * SECOND).await;
        if version % 3 == 0 {
            fake.split_all_shards(TABLE);
        }
    }
    let times = times(&fake).await;
    let at = StartPosition::AtTimestamp(times[4]);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).start(at), &log).await;
    log.until(6).await;
    fake.split_all_shards(TABLE);
    put(&fake, "a", 10).await;
    log.until(7).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), (4..11).collect::<Vec<_>>());

    // A crash changes nothing about it, nor does a restart that names another position.
    let again = Log::default();
    let fresh = |n| nth(&fake, n).lease_table("a-third");
    let first = fresh(2).start(at).open().await.expect("it opens");
    drop(first);
    let worker = Worker::start(fresh(3), &again).await;
    again.until(7).await;
    worker.stop().await;
    assert_eq!(again.versions("a"), (4..11).collect::<Vec<_>>());

    let future = Log::default();
    let at = StartPosition::AtTimestamp(times[9] + 3600 * SECOND);
    let worker = Worker::start(nth(&fake, 4).lease_table("a-fourth").start(at), &future).await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    assert_eq!(future.len(), 0);
    let ended: BTreeSet<String> = fake
        .shards(TABLE)
        .iter()
        .filter(|shard| !shard.is_open())
        .map(|shard| shard.id().to_owned())
        .collect();
    for shard in ended {
        let stored = checkpoint(&fake, &shard);
        assert!(stored.is_none_or(|stored| stored == "SHARD_END"), "{shard}");
    }
}
