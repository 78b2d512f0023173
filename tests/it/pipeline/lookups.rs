//! Lookups: cached within bounds, one at a time for a key, with an end to waiting and a policy for what is not there.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dynamodb_connector::pipeline::{
    Enrichment, LookupError, OnFailure, Pipeline, PipelineError, ReasonKind,
};
use dynamodb_connector::retry::RetryPolicy;
use dynamodb_connector::test_util::{CollectSink, IterSource};
use dynamodb_connector::{ErrorKind, Health};
use tokio::time::{Instant, sleep};

use super::parts::{Holding, Log, Script};

/// Answers even keys after 10 ms and counts how often it was asked.
fn lookup(asked: &Arc<Mutex<Vec<u32>>>) -> Enrichment<u32, String> {
    let asked = asked.clone();
    Enrichment::new(move |key: u32| {
        asked.lock().push(key);
        async move {
            sleep(Duration::from_millis(10)).await;
            Ok::<_, String>(key.is_multiple_of(2).then(|| format!("v{key}")))
        }
    })
}

async fn run(
    keys: Vec<u32>,
    enrichment: Enrichment<u32, String>,
) -> (Result<Vec<(u32, String)>, PipelineError>, Vec<String>) {
    let (sink, dead) = (CollectSink::new(), CollectSink::new());
    let ended = Pipeline::from(IterSource::new(keys))
        .enrich(|key| *key, enrichment, |key, found| (key, found))
        .dead_letter(dead.clone())
        .to(sink.clone())
        .run()
        .await;
    let letters = dead.take();
    for letter in &letters {
        assert!(matches!(
            letter.reason.kind(),
            ReasonKind::Absent | ReasonKind::Invalid | ReasonKind::Panicked
        ));
    }
    let letters = letters.iter().map(ToString::to_string).collect();
    (ended.map(|_| sink.take()), letters)
}

#[tokio::test(start_paused = true)]
async fn a_key_is_looked_up_once_however_many_ask_at_once_and_later() {
    let asked = Arc::default();
    let keys: Vec<u32> = (0..300).map(|n| n % 3 * 2).collect();
    let (out, _) = run(keys.clone(), lookup(&asked)).await;
    let wanted: Vec<_> = keys.iter().map(|key| (*key, format!("v{key}"))).collect();
    assert_eq!(out.unwrap(), wanted);
    assert_eq!(*asked.lock(), [0, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_is_absent_follows_the_policy_and_is_remembered_too() {
    let asked = Arc::default();
    let keys = vec![0, 1, 1, 2];
    let (out, letters) = run(keys.clone(), lookup(&asked)).await;
    assert_eq!(out.unwrap().len(), 2);
    assert_eq!(
        letters,
        [
            "enrich-1: records@1: there is nothing of this key",
            "enrich-1: records@2: there is nothing of this key"
        ]
    );
    assert_eq!(*asked.lock(), [0, 1, 2]);

    let (out, letters) = run(keys.clone(), lookup(&asked).absent(OnFailure::Skip)).await;
    assert_eq!((out.unwrap().len(), letters.len()), (2, 0));

    let (out, _) = run(keys.clone(), lookup(&asked).absent(OnFailure::Stop)).await;
    assert_eq!(
        out.unwrap_err().to_string(),
        "enrich-1: record records@1: there is nothing of this key"
    );

    let sink = CollectSink::new();
    Pipeline::from(IterSource::new(keys))
        .enrich_optional(|key| *key, lookup(&asked), |key, found| (key, found))
        .to(sink.clone())
        .run()
        .await
        .unwrap();
    let out = sink.take();
    assert_eq!(out[1], (1, None));
    assert_eq!(out[3], (2, Some("v2".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_looked_up_again() {
    for (key, lives) in [(2_u32, 100_u64), (3, 20)] {
        let asked = Arc::default();
        let enrichment = lookup(&asked)
            .time_to_live(Duration::from_millis(100))
            .negative_time_to_live(Duration::from_millis(20));
        let sink = CollectSink::new();
        // Each record waits for a while before it asks: 0, 10, 20, … ms after the one before.
        let job = Pipeline::from(IterSource::new(0..20_u64))
            .map_async(|n| async move {
                sleep(Duration::from_millis(n * 10)).await;
                Ok::<_, &'static str>(n)
            })
            .enrich_optional(move |_| key, enrichment, |n, found| (n, found))
            .to(sink.clone());
        job.run().await.unwrap();
        assert_eq!(sink.len(), 20);
        // Asked at 0; known from 10 ms on, for so long; asked again by the next record after that.
        let round = lives + 10;
        let rounds = 190 / round + 1;
        assert_eq!(asked.lock().len() as u64, rounds, "key {key}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_no_capacity_each_wave_is_looked_up_anew() {
    let asked = Arc::default();
    let keys: Vec<u32> = vec![2; 5];
    let job = Pipeline::from(IterSource::new(keys))
        .map_async({
            let nth = AtomicUsize::new(0);
            move |key| {
                let nth = nth.fetch_add(1, Ordering::SeqCst) as u64;
                async move {
                    sleep(Duration::from_secs(nth)).await;
                    Ok::<_, &'static str>(key)
                }
            }
        })
        .enrich(|key| *key, lookup(&asked).capacity(0), |key, _| key)
        .to(CollectSink::new());
    job.run().await.unwrap();
    assert_eq!(asked.lock().len(), 5);
}

/// A lookup that fails so often before it succeeds, with the count of its calls.
fn failing(fails: usize, calls: &Arc<AtomicUsize>) -> Enrichment<u32, String> {
    let calls = calls.clone();
    Enrichment::new(move |_: u32| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            if call < fails {
                Err("connection refused")
            } else {
                Ok(Some("found".to_owned()))
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_service_that_is_asked_holds_the_pipeline_back_and_dead_letters_nothing() {
    let started = Instant::now();
    let enrichment = Enrichment::new(move |key: u32| async move {
        // It is down from 1 s to 61 s: some calls are refused, and some hang.
        sleep(Duration::from_millis(10)).await;
        if (1..61).contains(&started.elapsed().as_secs()) {
            if key.is_multiple_of(3) {
                std::future::pending::<()>().await;
            }
            return Err("connection refused");
        }
        Ok(Some(format!("v{key}")))
    });
    let given = Arc::new(AtomicUsize::new(0));
    let counted = given.clone();
    let source = IterSource::new((0..50_000).inspect(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    }));
    let (sink, dead) = (CollectSink::new(), CollectSink::new());
    let job = Pipeline::from(source)
        .enrich(|key| *key, enrichment, |key, _| key)
        .named("names")
        .dead_letter(dead.clone())
        .to(sink.clone());
    let stats = job.stats();
    let running = tokio::spawn(job.run());
    sleep(Duration::from_secs(30)).await;
    let Health::Failing {
        operation, cause, ..
    } = stats.health()
    else {
        panic!("{:?}", stats.health());
    };
    assert_eq!(operation, "lookup");
    assert!(
        cause.contains("connection refused") || cause.contains("not done within"),
        "{cause}"
    );
    // What passed before the outage, what may be in flight, and a batch.
    let given = given.load(Ordering::SeqCst);
    assert!(given <= 18_000, "{given} are read");
    running.await.unwrap().unwrap();
    assert_eq!(sink.take(), (0..50_000).collect::<Vec<_>>());
    assert!(dead.is_empty());
    assert!(stats.health().is_healthy(), "{:?}", stats.health());
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_is_tried_again_ever_more_slowly() {
    let calls = Arc::new(AtomicUsize::new(0));
    let retry = RetryPolicy::default().initial_backoff(Duration::from_millis(100));
    let started = Instant::now();
    let (out, letters) = run(vec![1, 1], failing(2, &calls).retry(retry)).await;
    assert_eq!((out.unwrap().len(), letters.len()), (2, 0));
    // Each delay is between half of it and all: 100 ms, then 200 ms.
    assert!((150..=300).contains(&started.elapsed().as_millis()));
    assert_eq!(
        calls.load(Ordering::SeqCst),
        3,
        "both asked at once, and shared it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_with_an_end_ends_the_pipeline_and_dead_letters_nothing() {
    let calls = Arc::new(AtomicUsize::new(0));
    let retry = RetryPolicy::default().max_attempts(3);
    let (out, letters) = run(vec![1, 1], failing(usize::MAX, &calls).retry(retry)).await;
    let error = out.expect_err("it ends");
    let PipelineError::Record {
        operator, reason, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (&**operator, reason.kind()),
        ("enrich-1", ReasonKind::Lookup)
    );
    assert!(error.to_string().contains("connection refused"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    assert_eq!((letters.len(), calls.load(Ordering::SeqCst)), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_blames_the_record_or_panics_is_a_dead_letter_at_once() {
    let blames = Enrichment::new(|key: u32| async move {
        assert!(key != 2, "told to");
        match key {
            1 => Err(LookupError::record("no customer has this number")),
            _ => Ok(Some(String::new())),
        }
    });
    let started = Instant::now();
    let (out, letters) = run(vec![0, 1, 2, 3], blames).await;
    assert_eq!(out.unwrap().len(), 2);
    assert_eq!(
        letters,
        [
            "enrich-1: records@1: no customer has this number",
            "enrich-1: records@2: the operator's closure panicked",
        ]
    );
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_blames_the_record_is_no_outage_where_it_ends_the_pipeline() {
    let blames = Enrichment::new(|_: u32| async {
        Err::<Option<String>, _>(LookupError::record("no customer has this number"))
    });
    let ended = Pipeline::from(IterSource::new([1]))
        .enrich(|key| *key, blames, |key, found| (key, found))
        .to(CollectSink::new())
        .run()
        .await;
    let error = ended.expect_err("there is no output for dead letters");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(!error.is_retryable(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_another_reader_has_by_now_is_not_written_after_a_lookup() {
    let log = Log::default();
    let slow = Enrichment::new(|key: u32| async move {
        sleep(Duration::from_secs(8)).await;
        Ok::<_, String>(Some(key))
    })
    .timeout(Duration::from_secs(10));
    let dead = CollectSink::new();
    let job = Pipeline::from(Script::new([vec![1, 2, 3]], &log))
        .enrich(|key| *key, slow, |key, _| key)
        .dead_letter(dead.clone())
        .to(Holding::new(&log));
    let stats = job.stats();
    let running = tokio::spawn(job.run());
    sleep(Duration::from_secs(2)).await;
    log.revoke();
    running.await.unwrap().expect("the pipeline goes on");
    assert_eq!(log.of("wrote"), [""; 0]);
    assert_eq!(log.of("done"), [""; 0]);
    assert!(dead.is_empty());
    assert_eq!(
        stats.report().operator("enrich-1").expect("it").withdrawn,
        3
    );
}

#[tokio::test(start_paused = true)]
async fn lookups_of_records_that_another_reader_has_are_given_up() {
    let (log, calls) = (Log::default(), Arc::new(AtomicUsize::new(0)));
    let failing = failing(usize::MAX, &calls);
    let job = Pipeline::from(Script::new([vec![1, 2, 3]], &log))
        .enrich(|key| *key, failing, |key, _| key)
        .to(Holding::new(&log));
    let running = tokio::spawn(job.run());
    sleep(Duration::from_secs(60)).await;
    log.revoke();
    let ended = tokio::time::timeout(Duration::from_secs(30), running).await;
    ended
        .expect("in time")
        .unwrap()
        .expect("the pipeline goes on");
    assert_eq!(log.of("wrote"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_waits_in_one_lanes_queue_is_looked_up_in_anothers_turn() {
    let sink = CollectSink::new();
    // Lane "a" asks for 400 keys that take a second each; lane "b" for the last of them.
    let records = (0..400_u32).map(|key| ("a", key)).chain([("b", 399)]);
    let slow = Enrichment::new(|key: u32| async move {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, String>(Some(key))
    })
    .timeout(Duration::from_secs(2))
    .concurrency(4);
    let job = Pipeline::from(IterSource::new(records).partitions(|(lane, _)| *lane))
        .enrich(|(_, key)| *key, slow, |record, _| record)
        .to(sink.clone());
    let running = tokio::spawn(job.run());
    sleep(Duration::from_millis(2_500)).await;
    let early = sink.take();
    assert!(early.contains(&("b", 399)), "{early:?}");
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_lookups_run_at_once_than_allowed() {
    let level = Arc::new(Mutex::new((0_usize, 0_usize)));
    let count = level.clone();
    let enrichment = Enrichment::new(move |_: u32| {
        let count = count.clone();
        async move {
            {
                let mut count = count.lock();
                count.0 += 1;
                count.1 = count.1.max(count.0);
            }
            sleep(Duration::from_millis(10)).await;
            count.lock().0 -= 1;
            Ok::<_, String>(Some(String::new()))
        }
    })
    .concurrency(8);
    let (out, _) = run((0..100).collect(), enrichment).await;
    assert_eq!(out.unwrap().len(), 100);
    assert_eq!(level.lock().1, 6, "one lane has three quarters of 8");
}
