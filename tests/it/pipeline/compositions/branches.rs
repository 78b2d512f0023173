//! Two branches see every value that is theirs, in order, with operators and names of their own.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::pipeline::{Enrichment, FnSink, Pipeline, PipelineSettings};
use dynamodb_connector::test_util::{CollectSink, IterSource};
use tokio::time::sleep;

use super::parts::names;

#[tokio::test(start_paused = true)]
async fn a_slow_branch_loses_nothing_and_bounds_the_other() {
    const IN_FLIGHT: usize = 20;
    let (fast, slow) = (CollectSink::new(), Arc::new(Mutex::new(Vec::new())));
    let (ahead, written) = (Arc::new(Mutex::new(0)), slow.clone());
    let (seen, most) = (fast.clone(), ahead.clone());
    let late = FnSink::new(move |n: u32| {
        let (seen, written, most) = (seen.clone(), written.clone(), most.clone());
        async move {
            sleep(Duration::from_millis(10)).await;
            written.lock().push(n);
            let distance = seen.len() - written.lock().len();
            let mut most = most.lock();
            *most = distance.max(*most);
            Ok(())
        }
    });
    let source = IterSource::new(0..500_u32)
        .partitions(|n| format!("p{}", n % 3))
        .batch(7);
    let acks = source.acks();
    let report = Pipeline::from(source)
        .settings(PipelineSettings::default().max_in_flight(IN_FLIGHT))
        .tee(
            |every| every.to_named("fast", fast.clone()),
            |every| every.to_named("slow", late),
        )
        .run()
        .await
        .unwrap();
    assert_eq!(report.acknowledged, 500);
    let expected: Vec<u32> = (0..500).collect();
    assert_eq!(
        (fast.take(), slow.lock().clone()),
        (expected.clone(), expected)
    );
    assert!(*ahead.lock() <= IN_FLIGHT, "{}", ahead.lock());
    assert_eq!((acks.done().len(), acks.dropped().len()), (500, 0));
}

#[tokio::test(start_paused = true)]
async fn operators_that_wait_keep_the_order_of_their_branch_and_hold_up_no_other() {
    let (plain, late) = (CollectSink::new(), CollectSink::new());
    let names = Enrichment::new(|n: u32| async move {
        sleep(Duration::from_millis(u64::from(n * 31 % 17))).await;
        Ok::<_, String>(Some(n + 1_000))
    })
    .concurrency(4);
    let source =
        IterSource::new(0..200_u32).partitions(|n| if *n % 2 == 0 { "even" } else { "odd" });
    let job = Pipeline::from(source).tee(
        |every| every.to(plain.clone()),
        |every| {
            every
                .map_async(|n| async move {
                    sleep(Duration::from_millis(u64::from(n * 7 % 13))).await;
                    Ok::<_, String>(n)
                })
                .concurrency(8)
                .enrich(|n| *n, names, |n, found| (n, found))
                .to(late.clone())
        },
    );
    let running = tokio::spawn(job.run());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        plain.take(),
        (0..200).collect::<Vec<_>>(),
        "before the other branch"
    );
    assert!(late.len() < 200);
    assert_eq!(running.await.unwrap().unwrap().acknowledged, 200);
    let late = late.take();
    for remainder in 0..2 {
        let of_partition = |n: &u32| n % 2 == remainder;
        let got: Vec<_> = late
            .iter()
            .copied()
            .filter(|(n, _)| of_partition(n))
            .collect();
        let expected: Vec<_> = (0..200)
            .filter(of_partition)
            .map(|n| (n, n + 1_000))
            .collect();
        assert_eq!(got, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn names_are_unique_and_counts_are_of_each_branch() {
    let (low, mid, high) = (CollectSink::new(), CollectSink::new(), CollectSink::new());
    let job = Pipeline::from(IterSource::new(0..10_u32))
        .map(|n| n)
        .split_by(
            |n| *n < 3,
            |yes| {
                yes.named("low")
                    .map(|n| n * 10)
                    .named("tenfold")
                    .to(low.clone())
            },
            |no| {
                no.filter(|n| *n != 9).split_by(
                    |n| *n < 6,
                    |yes| yes.to(mid.clone()),
                    |no| no.map(|n| n.to_string()).to(high.clone()),
                )
            },
        );
    let stats = job.stats();
    let report = job.run().await.unwrap();
    assert_eq!((low.take(), mid.take()), (vec![0, 10, 20], vec![3, 4, 5]));
    assert_eq!(high.take(), ["6", "7", "8"]);
    assert_eq!(report, stats.report());
    let names = names(&report);
    assert_eq!(
        names,
        [
            "source",
            "map-1",
            "split_by-2",
            "low",
            "tenfold",
            "sink-5",
            "branch-6",
            "filter-7",
            "split_by-8",
            "branch-9",
            "sink-10",
            "branch-11",
            "map-12",
            "sink-13",
            "sinks-14",
            "sinks-15"
        ]
    );
    let counts = |name: &str| {
        let operator = report.operator(name).unwrap();
        (operator.taken, operator.passed, operator.skipped)
    };
    assert_eq!(counts("split_by-2"), (10, 10, 0));
    assert_eq!(counts("low"), (3, 3, 0));
    assert_eq!(counts("sink-5"), (3, 3, 0));
    assert_eq!(counts("filter-7"), (7, 6, 1));
    assert_eq!(counts("branch-11"), (3, 3, 0));
    assert_eq!(
        (counts("sink-10"), counts("sink-13")),
        ((3, 3, 0), (3, 3, 0))
    );
    assert_eq!(counts("sinks-15"), (9, 9, 0));
    assert_eq!(report.acknowledged, 10);
}

#[tokio::test(start_paused = true)]
async fn a_tee_after_a_flat_map_shares_every_value_of_a_record() {
    let (all, odd) = (CollectSink::new(), CollectSink::new());
    let source = IterSource::new(0..4_u32);
    let acks = source.acks();
    let report = Pipeline::from(source)
        .flat_map(|n| (0..n).map(move |i| n * 10 + i))
        .tee(
            |every| every.to_named("all", all.clone()),
            |every| {
                every
                    .filter(|n| n % 2 == 1)
                    .flat_map(|n| [n, n])
                    .to_named("odd", odd.clone())
            },
        )
        .run()
        .await
        .unwrap();
    assert_eq!(all.take(), [10, 20, 21, 30, 31, 32]);
    assert_eq!(odd.take(), [21, 21, 31, 31]);
    assert_eq!(
        (report.acknowledged, acks.done().len()),
        (4, 4),
        "each once"
    );
}
