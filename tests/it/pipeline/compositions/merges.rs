//! Two sources as one: all of both, each in its order, neither before its turn, until both have ended.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::pipeline::{Pipeline, PipelinePart, Source, SourceLag};
use dynamodb_connector::test_util::{CollectSink, IterSource};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::parts::{Log, Scripted, Step};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn all_of_both_arrive_in_the_order_of_each_and_are_acknowledged() {
    let few = IterSource::new(0..5_u32).partitions(|_| "few").batch(2);
    let many = IterSource::new(100..400_u32)
        .partitions(|_| "many")
        .batch(3);
    let (few_acks, many_acks) = (few.acks(), many.acks());
    let sink = CollectSink::new();
    let report = Pipeline::from(few.merge(many))
        .to(sink.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(report.acknowledged, 305);
    let (low, high): (Vec<u32>, Vec<u32>) = sink.take().into_iter().partition(|n| *n < 100);
    assert_eq!((low, high), ((0..5).collect(), (100..400).collect()));
    assert_eq!((few_acks.done().len(), many_acks.done().len()), (5, 300));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_ended_is_not_asked_again() {
    let (short, long) = (Log::default(), Log::default());
    let ended = Scripted::new([Step::Records("a", &[1])], &short);
    let goes_on = [
        Step::Waits(SECOND),
        Step::Records("b", &[2, 3]),
        Step::Waits(SECOND),
        Step::Records("b", &[4]),
    ];
    let goes_on = Scripted::new(goes_on, &long).endless();
    let sink = CollectSink::new();
    let (stop, stopped) = oneshot::channel::<()>();
    let job = Pipeline::from(ended.merge(goes_on))
        .map_async(|n: u32| async move {
            sleep(10 * SECOND).await;
            Ok::<_, String>(n)
        })
        .timeout(60 * SECOND)
        .to(sink.clone());
    let running = tokio::spawn(job.run_until(async move {
        let _ = stopped.await;
    }));
    sleep(5 * SECOND).await;
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap().acknowledged, 4);
    assert_eq!(sink.take(), [1, 2, 3, 4]);
    assert_eq!(short.of("asked"), Vec::<String>::new());
    for log in [&short, &long] {
        assert_eq!(
            (
                log.of("source stopped").len(),
                log.of("source closed").len()
            ),
            (1, 1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_error_of_either_ends_the_run_and_both_are_closed() {
    for first_fails in [true, false] {
        let (bad, good) = (Log::default(), Log::default());
        let steps = [
            Step::Records("a", &[1, 2]),
            Step::Waits(SECOND),
            Step::Fails("shard lost"),
        ];
        let fails = Scripted::new(steps, &bad);
        let works = Scripted::new([Step::Records("b", &[10])], &good).endless();
        let sink = CollectSink::new();
        let merged = match first_fails {
            true => fails.merge(works).boxed(),
            false => works.merge(fails).boxed(),
        };
        let error = Pipeline::from(merged)
            .to(sink.clone())
            .run()
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "source: shard lost");
        assert_eq!(error.part(), PipelinePart::Source);
        assert_eq!((bad.of("done").len(), good.of("done").len()), (2, 1));
        for log in [&bad, &good] {
            assert_eq!(log.of("source closed").len(), 1);
        }
    }
}

/// Both always have something: after `n` records of all, neither has less than a fifth of them.
#[tokio::test(start_paused = true)]
async fn a_source_that_always_has_something_does_not_keep_the_other_from_its_turn() {
    let side = |name: &'static str| {
        let records = std::iter::repeat(name);
        IterSource::new(records).partitions(|name| *name).batch(1)
    };
    let (sink, seen) = (CollectSink::new(), Arc::new(Mutex::new([0_u32; 2])));
    let counts = seen.clone();
    let (enough, reached) = oneshot::channel::<()>();
    let mut enough = Some(enough);
    let job = Pipeline::from(side("a").merge(side("b")))
        .inspect(move |name| {
            let mut counts = counts.lock();
            counts[usize::from(*name == "b")] += 1;
            if counts[0] + counts[1] == 1_000
                && let Some(enough) = enough.take()
            {
                enough.send(()).unwrap();
            }
        })
        .to(sink);
    job.run_until(async move {
        let _ = reached.await;
    })
    .await
    .unwrap();
    let [a, b] = *seen.lock();
    assert!(a.min(b) >= 200, "{a} and {b}");
}

fn measured(lag: Option<SourceLag>) -> Arc<Mutex<Option<SourceLag>>> {
    Arc::new(Mutex::new(lag))
}

fn behind(lag: &Arc<Mutex<Option<SourceLag>>>) -> Scripted {
    Scripted::new([], &Log::default()).endless().lag(lag)
}

#[tokio::test]
async fn the_lag_is_the_sum_of_the_records_and_the_larger_age() {
    let (topic, table) = (SourceLag::of_records(40), SourceLag::of_age(7 * SECOND));
    let both = |records, age| {
        let mut lag = SourceLag::default();
        (lag.records, lag.age) = (records, age);
        Some(lag)
    };
    for (one, other, expected) in [
        (topic, topic, both(Some(80), None)),
        (topic, table, both(Some(40), Some(7 * SECOND))),
        (
            table,
            SourceLag::of_age(SECOND),
            both(None, Some(7 * SECOND)),
        ),
        (
            SourceLag::of_records(u64::MAX),
            topic,
            both(Some(u64::MAX), None),
        ),
    ] {
        let merged = behind(&measured(Some(one))).merge(behind(&measured(Some(other))));
        assert_eq!(merged.lag().unwrap().measure().await, expected);
    }
    let none = Scripted::new([], &Log::default()).merge(Scripted::new([], &Log::default()));
    assert!(none.lag().is_none());
    let one = Scripted::new([], &Log::default()).merge(behind(&measured(Some(topic))));
    assert_eq!(one.lag().unwrap().measure().await, Some(topic));
}

/// Else the lag of a topic would stand still for ever once a table's source has ended.
#[tokio::test]
async fn while_one_lag_is_not_known_the_other_is_measured_with_the_last_one() {
    let (one, other) = (measured(None), measured(None));
    let merged = behind(&one).merge(behind(&other));
    let mut probe = merged.lag().unwrap();
    assert_eq!(probe.measure().await, None);
    *one.lock() = Some(SourceLag::of_records(5));
    assert_eq!(
        probe.measure().await,
        Some(SourceLag::of_records(5)),
        "of those that know"
    );
    *other.lock() = Some(SourceLag::of_records(30));
    assert_eq!(probe.measure().await, Some(SourceLag::of_records(35)));
    *one.lock() = None;
    *other.lock() = Some(SourceLag::of_records(70));
    assert_eq!(
        probe.measure().await,
        Some(SourceLag::of_records(75)),
        "as it was last"
    );
    *other.lock() = None;
    assert_eq!(probe.measure().await, None);
}
