//! The news of shards that a stream gives beside records: what opens, what is to go, what is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::PartitionGuard;
use dynamodb_connector::pipeline::{Source, SourceEvent};
use dynamodb_connector::streams::{
    FailedChange, RecordStream, SequenceNumber, ShardId, StreamsEvent, StreamsSettings,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::rig::{Log, TABLE, Worker, builder, delete, nth, open_shards, put_each, table};

const SECOND: Duration = Duration::from_secs(1);

fn settings(drain: Duration) -> StreamsSettings {
    StreamsSettings::default()
        .batch_records(1)
        .drain_timeout(drain)
}

/// What a caller of `next_event` has seen, with all records done.
#[derive(Default)]
struct Seen {
    opened: Vec<ShardId>,
    records: usize,
    guards: Vec<(ShardId, PartitionGuard)>,
    lost: Vec<ShardId>,
    /// The progress of shards, with the number of records seen by then.
    advanced: Vec<(ShardId, SequenceNumber, usize)>,
    idle: Vec<(ShardId, usize)>,
    /// The shards that are closed or lost at present.
    gone: BTreeSet<ShardId>,
}

impl Seen {
    async fn until(&mut self, stream: &mut RecordStream, is_enough: impl Fn(&Self) -> bool) {
        let seeing = async {
            while !is_enough(self) {
                match stream.next_event().await.expect("more").expect("no error") {
                    StreamsEvent::Records(records) => {
                        self.records += records.len();
                        records.into_iter().for_each(|record| record.ack.done());
                    }
                    StreamsEvent::Opened(shard) => {
                        self.gone.remove(&shard);
                        self.opened.push(shard);
                    }
                    StreamsEvent::Closing(shard, guard) => {
                        self.gone.insert(shard.clone());
                        self.guards.push((shard, guard));
                    }
                    StreamsEvent::Lost(shard) => {
                        self.gone.insert(shard.clone());
                        self.lost.push(shard);
                    }
                    StreamsEvent::Advanced(shard, sequence) => {
                        assert!(
                            !self.gone.contains(&shard),
                            "progress behind the end of {shard}"
                        );
                        self.advanced.push((shard, sequence, self.records));
                    }
                    StreamsEvent::Idle(shard) => {
                        assert!(
                            !self.gone.contains(&shard),
                            "progress behind the end of {shard}"
                        );
                        self.idle.push((shard, self.records));
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        let waited = tokio::time::timeout(120 * SECOND, seeing);
        waited.await.expect("in time");
    }
}

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
    let source = builder(&fake)
        .settings(settings(SECOND))
        .filter(|record| record.old_image_json().is_none())
        .open()
        .await;
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
    let source = builder(&fake)
        .settings(settings(SECOND))
        .filter(|record| record.old_image_json().is_none())
        .open()
        .await;
    let mut stream = source.expect("it opens").into_stream();
    for version in 0..5 {
        let mut records = 0;
        while records < 40 {
            let next = tokio::time::timeout(60 * SECOND, stream.next_batch()).await;
            let chunk = next.expect("in time").expect("more").expect("no error");
            assert!(!chunk.is_empty());
            records += chunk.len();
            chunk.into_iter().for_each(|record| record.ack.done());
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
    let source = builder(&fake)
        .settings(settings(SECOND))
        .filter(|record| record.old_image_json().is_none())
        .open()
        .await;
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
async fn progress_waits_until_the_letters_before_it_are_accepted() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    fake.inject_stream_record(TABLE, &shard, r#"{"eventName": "TRUNCATE"}"#);
    put_each(&fake, 1, 0).await;
    put_each(&fake, 1, 1).await;
    let gate = Arc::new(Semaphore::new(0));
    let accepting = Arc::clone(&gate);
    let source = builder(&fake)
        .settings(settings(SECOND))
        .filter(|record| record.old_image_json().is_none())
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
