//! Progress past what is not handed out, and idle shards.

use dynamodb_connector::streams::StreamsSourceBuilder;
use dynamodb_connector::test_util::FaultyDynamoDb;

use super::*;

/// A source of the changes that make an item.
fn of_new_items(fake: &FaultyDynamoDb) -> StreamsSourceBuilder {
    builder(fake)
        .settings(settings(SECOND))
        .filter(|record| record.old_image_json().is_none())
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_idle_once_its_changes_were_handed_out_and_again_after_others() {
    let fake = table(3);
    put_each(&fake, 30, 0).await;
    let source = nth(&fake, 1).settings(settings(SECOND)).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.idle.len() == 3).await;
    assert_eq!(seen.records, 30, "each before its shard was idle");
    assert!(
        seen.advanced.is_empty(),
        "records show it: {:?}",
        seen.advanced
    );
    let idle: BTreeSet<_> = seen.idle.iter().map(|(shard, _)| shard.clone()).collect();
    assert_eq!(idle.len(), 3);
    // No event is given for each read that finds nothing.
    let more = seen.until(&mut stream, |seen| seen.idle.len() > 3);
    assert!(tokio::time::timeout(60 * SECOND, more).await.is_err());
    put_each(&fake, 30, 1).await;
    seen.until(&mut stream, |seen| seen.idle.len() == 6).await;
    assert_eq!(seen.records, 60);
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_idle_although_its_caller_asks_for_events_late() {
    let fake = table(1);
    put_each(&fake, 5, 0).await;
    let source = nth(&fake, 1).settings(settings(SECOND)).open().await;
    let mut stream = source.expect("it opens").into_stream();
    tokio::time::sleep(60 * SECOND).await;
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.idle.len() == 1).await;
    assert_eq!(seen.records, 5);
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn a_shard_advances_past_changes_that_the_filter_leaves_out() {
    let fake = table(1);
    put_each(&fake, 5, 0).await;
    let source = of_new_items(&fake).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.idle.len() == 1).await;
    assert_eq!((seen.records, seen.advanced.len()), (5, 0));
    // Of five changes the filter leaves four out, the last among them.
    delete(&fake, "k0").await;
    put_each(&fake, 5, 1).await;
    seen.until(&mut stream, |seen| !seen.advanced.is_empty())
        .await;
    let (shard, newest, after) = seen.advanced.remove(0);
    assert_eq!(after, 6, "after the record before it");
    seen.until(&mut stream, |seen| seen.idle.len() == 2).await;
    // Left out as a whole: progress alone.
    put_each(&fake, 5, 2).await;
    seen.until(&mut stream, |seen| !seen.advanced.is_empty())
        .await;
    let (again, later, _) = seen.advanced.remove(0);
    assert_eq!((seen.records, &again), (6, &shard));
    assert!(later > newest);
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn progress_holds_no_caller_up_who_takes_records_alone() {
    let fake = table(4);
    put_each(&fake, 40, 0).await;
    let source = of_new_items(&fake).open().await;
    let mut stream = source.expect("it opens").into_stream();
    for version in 0..5 {
        let mut records = 0;
        while records < 40 {
            let next = tokio::time::timeout(60 * SECOND, stream.next_batch()).await;
            let batch = next.expect("in time").expect("more").expect("no error");
            assert!(!batch.is_empty());
            records += batch.len();
            batch.into_iter().for_each(|record| record.ack.done());
        }
        put_each(&fake, 40, version + 1).await;
        for id in 0..40 {
            delete(&fake, &format!("k{id}")).await;
        }
        put_each(&fake, 40, version + 1).await;
    }
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_is_given_the_progress_of_shards_as_of_partitions() {
    let fake = table(1);
    put_each(&fake, 3, 0).await;
    put_each(&fake, 1, 1).await;
    let source = of_new_items(&fake).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let (mut last, mut advanced) = (None, None);
    loop {
        match Source::next_event(&mut stream)
            .await
            .expect("more")
            .expect("no error")
        {
            SourceEvent::Records(records) => {
                last = records.last().map(|record| record.position.clone());
                records.into_iter().for_each(|record| record.ack.done());
            }
            SourceEvent::Advanced(position) => advanced = Some(position),
            SourceEvent::Idle(shard) => {
                assert_eq!(*shard, *open_shards(&fake)[0]);
                break;
            }
            SourceEvent::Opened(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(advanced > last && last.is_some(), "{advanced:?}, {last:?}");
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn no_progress_passes_a_record_that_was_dropped() {
    let fake = table(1);
    put_each(&fake, 3, 0).await;
    let source = of_new_items(&fake).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let mut out = Vec::new();
    while out.len() < 3 {
        match stream.next_event().await.expect("more").expect("no error") {
            StreamsEvent::Records(records) => out.extend(records),
            StreamsEvent::Opened(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // Read behind them, and not taken yet: one that is wanted and one that is not.
    delete(&fake, "k0").await;
    put_each(&fake, 1, 1).await;
    put_each(&fake, 1, 2).await;
    tokio::time::sleep(30 * SECOND).await;
    out.remove(0).ack.done();
    drop(out);
    let mut given = 0;
    while given < 3 {
        match stream.next_event().await.expect("more").expect("no error") {
            StreamsEvent::Records(records) => {
                given += records.len();
                records.into_iter().for_each(|record| record.ack.done());
            }
            StreamsEvent::Advanced(..) | StreamsEvent::Idle(_) => {
                assert_eq!(given, 3, "progress before the records that are given again");
            }
            StreamsEvent::Opened(_) | StreamsEvent::Lost(_) => {}
            other => panic!("{other:?}"),
        }
    }
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn progress_behind_a_letter_alone_comes_once_it_is_accepted() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    put_each(&fake, 1, 0).await;
    let source = of_new_items(&fake)
        .dead_letters(|_: FailedChange| async {
            tokio::time::sleep(5 * SECOND).await;
            Ok::<_, std::io::Error>(())
        })
        .open()
        .await;
    let mut stream = source.expect("it opens").into_stream();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.idle.len() == 1).await;
    fake.inject_stream_record(TABLE, &shard, r#"{"eventName": "TRUNCATE"}"#);
    put_each(&fake, 1, 1).await;
    let advanced = seen.until(&mut stream, |seen| seen.advanced.len() == 1);
    tokio::time::timeout(20 * SECOND, advanced)
        .await
        .expect("the letter's end wakes the caller");
    stream.close().await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn progress_waits_until_the_letters_before_it_are_accepted() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    fake.inject_stream_record(TABLE, &shard, r#"{"eventName": "TRUNCATE"}"#);
    put_each(&fake, 1, 0).await;
    put_each(&fake, 1, 1).await;
    let gate = Arc::new(Semaphore::new(0));
    let accepting = Arc::clone(&gate);
    let source = of_new_items(&fake)
        .dead_letters(move |_: FailedChange| {
            let gate = Arc::clone(&accepting);
            async move { gate.acquire().await.map(SemaphorePermit::forget) }
        })
        .open()
        .await;
    let mut stream = source.expect("it opens").into_stream();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.records == 1).await;
    let early = seen.until(&mut stream, |seen| !seen.advanced.is_empty());
    let early = tokio::time::timeout(60 * SECOND, early).await;
    assert!(early.is_err(), "the letter is not accepted");
    gate.add_permits(1);
    seen.until(&mut stream, |seen| !seen.idle.is_empty()).await;
    assert_eq!((seen.records, seen.advanced.len()), (1, 1));
    stream.close().await.expect("closed");
}
