//! Order within a lane, whatever finishes first; lanes do not wait for each other.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::pipeline::{Enrichment, OnFailure, Pipeline};
use dynamodb_connector::test_util::{CollectSink, IterSource};
use proptest::prelude::*;
use tokio::time::sleep;

fn paused() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap()
}

#[derive(Clone, Debug)]
struct Event {
    lane: u8,
    n: usize,
    key: u8,
    first: u64,
    second: u64,
    fails: bool,
}

fn event() -> impl Strategy<Value = Event> {
    (
        0_u8..4,
        0_u8..6,
        0_u64..30,
        0_u64..30,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(lane, key, first, second, fails)| Event {
            lane,
            n: 0,
            key,
            first,
            second,
            fails,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_lane_comes_out_in_its_order_and_whole_whatever_takes_how_long(
        events in prop::collection::vec(event(), 1..120),
        batch in 1_usize..20,
        concurrency in 1_usize..9,
        cached in prop::sample::select(vec![0_usize, 3, 100]),
    ) {
        let mut events = events;
        for (n, event) in events.iter_mut().enumerate() {
            event.n = n;
        }
        let source = IterSource::new(events.clone())
            .partitions(|event| format!("lane-{}", event.lane))
            .batch(batch);
        let acks = source.acks();
        let (sink, seen) = (CollectSink::new(), Arc::new(Mutex::new(Vec::new())));
        let between = seen.clone();
        let delays: HashMap<u8, u64> = events.iter().map(|event| (event.key, event.first)).collect();
        let enrichment = Enrichment::new(move |key: u8| {
            let delay = Duration::from_millis(delays[&key]);
            async move {
                sleep(delay).await;
                Ok::<_, String>((key != 5).then_some(key))
            }
        })
        .capacity(cached)
        .concurrency(concurrency)
        .absent(OnFailure::Skip);
        paused().block_on(async {
            let job = Pipeline::from(source)
                .enrich(|event: &Event| event.key, enrichment, |event, key| (event, key))
                .inspect(move |(event, _)| between.lock().push((event.lane, event.n)))
                .map_async(|(event, _): (Event, u8)| async move {
                    sleep(Duration::from_millis(event.second)).await;
                    if event.fails { Err("told to") } else { Ok(event) }
                })
                .concurrency(concurrency)
                .on_failure(OnFailure::Skip)
                .flat_map(|event: Event| [(event.lane, event.n, 0), (event.lane, event.n, 1)])
                .to(sink.clone());
            job.run().await.unwrap();
        });
        let out = sink.take();
        let seen = seen.lock();
        for lane in 0..4 {
            let mine = || events.iter().filter(move |event| event.lane == lane && event.key != 5);
            let passed: Vec<_> = seen.iter().filter(|(l, _)| *l == lane).map(|(_, n)| *n).collect();
            prop_assert_eq!(passed, mine().map(|event| event.n).collect::<Vec<_>>());
            let got: Vec<_> = out.iter().filter(|(l, ..)| *l == lane).map(|(_, n, i)| (*n, *i)).collect();
            let wanted: Vec<_> = mine()
                .filter(|event| !event.fails)
                .flat_map(|event| [(event.n, 0), (event.n, 1)])
                .collect();
            prop_assert_eq!(got, wanted);
        }
        let mut done = acks.done();
        done.sort();
        done.dedup();
        prop_assert_eq!(done.len(), events.len());
        prop_assert!(acks.dropped().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_key_holds_up_its_lane_and_no_other() {
    let sink = CollectSink::new();
    // 200 records of lane "a", all of one key that is not answered, before lane "b" begins.
    let records = (0..200_u32)
        .map(|n| ("a", n))
        .chain((0..200).map(|n| ("b", n)));
    let job = Pipeline::from(IterSource::new(records).partitions(|(lane, _)| *lane))
        .enrich(
            |(lane, n)| if *lane == "a" { u32::MAX } else { *n },
            Enrichment::new(|key: u32| async move {
                if key == u32::MAX {
                    sleep(Duration::from_secs(100)).await;
                }
                Ok::<_, String>(Some(key))
            })
            .timeout(Duration::from_secs(200))
            .concurrency(4),
            |record, _| record,
        )
        .to(sink.clone());
    let running = tokio::spawn(job.run());
    sleep(Duration::from_secs(1)).await;
    let out = sink.take();
    assert_eq!(out, (0..200).map(|n| ("b", n)).collect::<Vec<_>>());
    running.await.unwrap().unwrap();
    assert_eq!(sink.take(), (0..200).map(|n| ("a", n)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_lane_of_slow_records_leaves_room_for_others_in_map_async() {
    let sink = CollectSink::new();
    let records = (0..50_u32)
        .map(|n| ("a", n))
        .chain((0..50).map(|n| ("b", n)));
    let running = Arc::new(Mutex::new((0_usize, 0_usize)));
    let count = running.clone();
    let job = Pipeline::from(IterSource::new(records).partitions(|(lane, _)| *lane))
        .map_async(move |record: (&'static str, u32)| {
            let count = count.clone();
            async move {
                {
                    let mut count = count.lock();
                    count.0 += 1;
                    count.1 = count.1.max(count.0);
                }
                sleep(Duration::from_millis(if record.0 == "a" {
                    5_000
                } else {
                    1
                }))
                .await;
                count.lock().0 -= 1;
                Ok::<_, &'static str>(record)
            }
        })
        .concurrency(8)
        .to(sink.clone());
    let job = tokio::spawn(job.run());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(sink.take().len(), 50, "all of lane b");
    job.await.unwrap().unwrap();
    assert_eq!(sink.take().len(), 50);
    assert!(running.lock().1 <= 8);
}
