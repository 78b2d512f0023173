//! Guards of shards that are to go.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_guard_keeps_a_shard_from_its_next_worker_until_it_is_dropped() {
    let fake = table(2);
    put_each(&fake, 20, 0).await;
    let source = nth(&fake, 1).settings(settings(40 * SECOND)).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.records == 20).await;
    let mut opened = seen.opened.clone();
    opened.sort_by(|one, two| one.as_str().cmp(two.as_str()));
    let mut shards = open_shards(&fake);
    shards.sort_unstable();
    assert_eq!(
        opened.iter().map(ShardId::as_str).collect::<Vec<_>>(),
        shards
    );

    let log = Log::default();
    let newcomer = nth(&fake, 2).settings(settings(SECOND));
    let other = Worker::start(newcomer, &log).await;
    seen.until(&mut stream, |seen| seen.guards.len() == 1).await;
    let (shard, guard) = seen.guards.remove(0);
    put_each(&fake, 20, 1).await;
    // The other shard is read on; of this one nothing goes anywhere.
    let before = seen.records;
    seen.until(&mut stream, |seen| seen.records > before).await;
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(log.len(), 0, "the guard is held");
    drop(guard);
    let given = log.until(1);
    tokio::time::timeout(60 * SECOND, given)
        .await
        .expect("it is handed over");
    assert_eq!(log.seen()[0].shard, shard.as_str());
    assert!(seen.lost.is_empty());
    other.stop().await;
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_held_for_too_long_keeps_nothing() {
    let fake = table(2);
    put_each(&fake, 20, 0).await;
    let source = nth(&fake, 1).settings(settings(SECOND)).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.records == 20).await;
    let log = Log::default();
    let newcomer = nth(&fake, 2).settings(settings(SECOND));
    let other = Worker::start(newcomer, &log).await;
    seen.until(&mut stream, |seen| !seen.lost.is_empty()).await;
    assert_eq!(seen.guards.len(), 1);
    assert_eq!(seen.lost, [seen.guards[0].0.clone()]);
    put_each(&fake, 20, 1).await;
    tokio::time::timeout(60 * SECOND, log.until(1))
        .await
        .expect("the other worker has it");
    other.stop().await;
    drop(seen);
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn the_children_of_a_shard_wait_for_the_guard_of_its_end() {
    let fake = table(1);
    put_each(&fake, 5, 0).await;
    let source = nth(&fake, 1).settings(settings(40 * SECOND)).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.records == 5).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 5, 1).await;
    seen.until(&mut stream, |seen| seen.guards.len() == 1).await;
    let more = seen.until(&mut stream, |seen| seen.opened.len() > 1);
    assert!(
        tokio::time::timeout(20 * SECOND, more).await.is_err(),
        "the guard is held"
    );
    assert_eq!(seen.records, 5);
    seen.guards.clear();
    seen.until(&mut stream, |seen| seen.records == 10).await;
    assert_eq!(seen.opened.len(), 3);
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_no_guard_that_nothing_can_take_any_more() {
    let fake = table(2);
    put_each(&fake, 10, 0).await;
    let source = nth(&fake, 1).settings(settings(40 * SECOND)).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.records == 10).await;
    let began = tokio::time::Instant::now();
    stream.close().await.expect("closed");
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
}
