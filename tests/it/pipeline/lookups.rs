//! Lookups: cached within bounds, one at a time for a key, with an end to waiting and a policy for what is not there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynamodb_connector::pipeline::{
    CollectSink, Enrichment, IterSource, OnFailure, Pipeline, PipelineError, ReasonKind,
};
use tokio::time::{Instant, sleep};

/// Answers even keys after 10 ms and counts how often it was asked.
fn lookup(asked: &Arc<Mutex<Vec<u32>>>) -> Enrichment<u32, String> {
    let asked = asked.clone();
    Enrichment::new(move |key: u32| {
        asked.lock().unwrap().push(key);
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
            ReasonKind::Absent | ReasonKind::Lookup | ReasonKind::TimedOut | ReasonKind::Panicked
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
    assert_eq!(*asked.lock().unwrap(), [0, 2, 4]);
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
    assert_eq!(*asked.lock().unwrap(), [0, 1, 2]);

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
        assert_eq!(asked.lock().unwrap().len() as u64, rounds, "key {key}");
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
    assert_eq!(asked.lock().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_is_tried_again_and_then_follows_the_policy() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let failing = move |fails: usize| {
        let calls = counted.clone();
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
        .retries(2)
        .retry_delay(Duration::from_millis(100))
    };
    let started = Instant::now();
    let (out, letters) = run(vec![1], failing(2)).await;
    assert_eq!((out.unwrap().len(), letters.len()), (1, 0));
    assert_eq!(
        started.elapsed(),
        Duration::from_millis(300),
        "100 ms, then 200 ms"
    );
    assert_eq!(calls.swap(0, Ordering::SeqCst), 3);

    let (out, letters) = run(vec![1, 1], failing(3)).await;
    // Both asked at once, and so share the failure.
    assert_eq!(out.unwrap().len(), 0);
    assert_eq!(letters.len(), 2);
    assert_eq!(
        letters[0],
        "enrich-1: records@0: lookup failed: connection refused"
    );
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_hangs_or_panics_ends() {
    let hangs = Enrichment::new(|key: u32| async move {
        if key == 1 {
            std::future::pending::<()>().await;
        }
        assert!(key != 2, "told to");
        Ok::<_, String>(Some(String::new()))
    })
    .timeout(Duration::from_secs(3))
    .retries(1)
    .retry_delay(Duration::ZERO);
    let started = Instant::now();
    let (out, letters) = run(vec![0, 1, 2, 3], hangs).await;
    assert_eq!(out.unwrap().len(), 2);
    assert_eq!(
        letters,
        [
            "enrich-1: records@2: the operator's closure panicked",
            "enrich-1: records@1: not done within 3s"
        ]
    );
    assert_eq!(started.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn no_more_lookups_run_at_once_than_allowed() {
    let level = Arc::new(Mutex::new((0_usize, 0_usize)));
    let count = level.clone();
    let enrichment = Enrichment::new(move |_: u32| {
        let count = count.clone();
        async move {
            {
                let mut count = count.lock().unwrap();
                count.0 += 1;
                count.1 = count.1.max(count.0);
            }
            sleep(Duration::from_millis(10)).await;
            count.lock().unwrap().0 -= 1;
            Ok::<_, String>(Some(String::new()))
        }
    })
    .concurrency(8);
    let (out, _) = run((0..100).collect(), enrichment).await;
    assert_eq!(out.unwrap().len(), 100);
    assert_eq!(
        level.lock().unwrap().1,
        6,
        "one lane has three quarters of 8"
    );
}
