//! Shards: discovery, parents and children, listings.

use super::*;

#[tokio::test(start_paused = true)]
async fn shards_are_discovered_at_the_start_and_while_it_runs() {
    let fake = table(3);
    fake.split_all_shards(TABLE);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    assert_eq!(
        leases(&fake).len(),
        9,
        "every shard has its row when it is open"
    );
    put_each(&fake, 30, 0).await;
    log.until(30).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 30, 1).await;
    // A closed shard is a reason to look for its children at once.
    let took = eventually("the children are read", 10 * SECOND, || log.len() == 60).await;
    assert!(took < 3 * SECOND, "{took:?}");
    assert_eq!(worker.shards(), open_shards(&fake).into_iter().collect());
    worker.stop().await;
    log.assert_each(30, 0..2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_parent_is_read_to_its_end_before_its_children() {
    let fake = table(2);
    for shard in open_shards(&fake) {
        fake.slow_shard(TABLE, &shard, 2 * SECOND);
    }
    for round in 0..4 {
        for version in 0..5 {
            put_each(&fake, 12, 5 * round + version).await;
        }
        fake.split_all_shards(TABLE);
    }
    let log = Log::default();
    let settings = StreamsSettings::default().page_records(7);
    let one = Worker::start(nth(&fake, 1).settings(settings.clone()), &log).await;
    let two = Worker::start(nth(&fake, 2).settings(settings), &log).await;
    log.until(240).await;
    one.stop().await;
    two.stop().await;
    log.assert_each(12, 0..20);
    let parents: Vec<(String, String)> = fake
        .shards(TABLE)
        .iter()
        .filter_map(|shard| Some((shard.parent()?.to_owned(), shard.id().to_owned())))
        .collect();
    let seen = log.seen();
    for (parent, child) in parents {
        let last = seen.iter().rposition(|seen| seen.shard == parent);
        let first = seen.iter().position(|seen| seen.shard == child);
        if let (Some(last), Some(first)) = (last, first) {
            assert!(last < first, "{child} was begun before {parent} was over");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn latest_takes_only_open_leaves() {
    let fake = table(2);
    put_each(&fake, 10, 0).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 10, 1).await;
    fake.split_all_shards(TABLE);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).start(StartPosition::Latest), &log).await;
    put_each(&fake, 10, 2).await;
    log.until(10).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(worker.shards(), open_shards(&fake).into_iter().collect());
    for shard in fake.shards(TABLE).iter().filter(|shard| !shard.is_open()) {
        assert_eq!(fake.get_records_calls(shard.id()), 0, "of a closed shard");
    }
    worker.stop().await;
    log.assert_each(10, 2..3);
}

#[tokio::test(start_paused = true)]
async fn children_of_later_splits_are_read_from_their_first_record() {
    let fake = table(2);
    fake.list_children_late(TABLE, 20 * SECOND);
    put_each(&fake, 10, 0).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).start(StartPosition::Latest), &log).await;
    put_each(&fake, 10, 1).await;
    log.until(10).await;
    fake.split_all_shards(TABLE);
    // Written before any listing shows the shards that they are in.
    put_each(&fake, 10, 2).await;
    log.until(20).await;
    worker.stop().await;
    log.assert_each(10, 1..3);
}

#[tokio::test(start_paused = true)]
async fn finished_shards_are_not_read_again() {
    let fake = table(3);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put_each(&fake, 20, 0).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 20, 1).await;
    log.until(40).await;
    worker.stop().await;
    let finished: Vec<String> = fake
        .shards(TABLE)
        .iter()
        .filter(|shard| !shard.is_open())
        .map(|shard| shard.id().to_owned())
        .collect();
    let calls = |fake: &FaultyDynamoDb| -> Vec<u64> {
        finished
            .iter()
            .map(|id| fake.get_records_calls(id))
            .collect()
    };
    let before = calls(&fake);
    for n in 2..5 {
        let worker = Worker::start(nth(&fake, n), &log).await;
        put_each(&fake, 20, n).await;
        log.until(20 * (usize::try_from(n).unwrap() + 1)).await;
        tokio::time::sleep(120 * SECOND).await;
        worker.stop().await;
    }
    assert_eq!(calls(&fake), before);
    log.assert_each(20, 0..5);
}

#[tokio::test(start_paused = true)]
async fn inconsistent_listings_lose_and_reorder_nothing() {
    for seed in 0..10 {
        let fake = table(2);
        fake.inconsistent_pages(TABLE, seed);
        for round in 0..2 {
            put_each(&fake, 16, round).await;
            fake.split_all_shards(TABLE);
        }
        let log = Log::default();
        let settings = StreamsSettings::default().discovery_interval(2 * SECOND);
        let one = Worker::start(nth(&fake, 1).settings(settings.clone()), &log).await;
        let two = Worker::start(nth(&fake, 2).settings(settings), &log).await;
        for round in 2..5 {
            put_each(&fake, 16, round).await;
            if round < 4 {
                fake.split_all_shards(TABLE);
            }
            tokio::time::sleep(3 * SECOND).await;
        }
        let all = || (0..16).all(|id| log.versions(&format!("k{id}")).contains(&4));
        eventually("all is read", 120 * SECOND, all).await;
        one.stop().await;
        two.stop().await;
        for id in 0..16 {
            let seen = log.versions(&format!("k{id}"));
            assert_eq!(seen, (0..5).collect::<Vec<_>>(), "seed {seed}, item k{id}");
        }
    }
}
