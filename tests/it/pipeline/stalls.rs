//! A sink that never answers ends the pipeline, which gives its partitions up; whatever else takes its time does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dynamodb_connector::pipeline::{
    Enrichment, FnSink, Pipeline, PipelineError, PipelinePart, PipelineSettings,
};
use dynamodb_connector::test_util::CollectSink;
use tokio::time::{Instant, sleep, timeout};

use super::parts::{Holding, Log, Script};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_sink_that_never_answers_ends_the_pipeline_and_names_what_it_waits_for() {
    let log = Log::default();
    let mut sink = Holding::new(&log);
    sink.flush_hangs = true;
    let held = sink.held.clone();
    let started = Instant::now();
    let job = Pipeline::from(Script::new([vec![1, 2, 3]], &log).endless()).to_named("topic", sink);
    let stats = job.stats();
    let running = tokio::spawn(job.run());
    sleep(MINUTE / 2).await;
    held.lock().pop_front().unwrap().1.done();
    sleep(MINUTE).await;
    assert!(stats.health().is_healthy());
    sleep(MINUTE).await;
    let health = stats.health().to_string();
    assert!(
        health.contains("write has failed") && health.contains("the oldest record is lane@1"),
        "{health}"
    );
    let report = stats.report();
    assert_eq!((report.in_flight, report.in_flight_bytes), (2, 200));
    assert_eq!(report.oldest.map(|age| age.as_secs()), Some(150));
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic: nothing was written for 10m, with 2 records in flight; the oldest, read 630 s ago, is lane@1"
    );
    assert_eq!(
        (error.part(), error.is_retryable(), error.operator()),
        (PipelinePart::Sink, true, Some("topic"))
    );
    let took = started.elapsed();
    assert!(took < 11 * MINUTE, "the stop is within its bound: {took:?}");
    assert_eq!(log.of("source closed").len(), 1);
    assert_eq!(log.of("done"), ["done 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_returns_is_a_stall_as_well() {
    let log = Log::default();
    let mut sink = Holding::new(&log);
    sink.permits = Some(Arc::new(tokio::sync::Semaphore::new(0)));
    let settings = PipelineSettings::default().stall_timeout(Duration::from_secs(90));
    let job = Pipeline::from(Script::new([vec![1]], &log)).settings(settings);
    let error = job.to(sink).run().await.unwrap_err();
    assert!(
        matches!(&error, PipelineError::Stalled { in_flight: 1, age, .. } if age.as_secs() == 90),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_output_that_never_answers_ends_the_pipeline() {
    let log = Log::default();
    let never = FnSink::new(|_| std::future::pending());
    let error = Pipeline::from(Script::new([vec![1, 2]], &log).endless())
        .validate(|n| if *n == 2 { Err("two") } else { Ok(()) })
        .dead_letter(never)
        .to(CollectSink::new())
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.operator(), Some("dead-letter"));
    assert!(
        matches!(&error, PipelineError::Stalled { position, .. } if position.as_number() == Some(1)),
        "{error}"
    );
}

/// The first record is held for long; but the sink goes on.
#[tokio::test(start_paused = true)]
async fn a_sink_that_settles_something_now_and_then_does_not_stall_and_an_idle_one_neither() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let batches: Vec<Vec<u32>> = vec![(0..20).collect()];
    let job = Pipeline::from(Script::new(batches, &log).endless()).to(sink);
    let stats = job.stats();
    let running = tokio::spawn(job.run());
    for _ in 0..19 {
        sleep(9 * MINUTE).await;
        held.lock().pop_back().unwrap().1.done();
    }
    assert!(!running.is_finished());
    held.lock().pop_back().unwrap().1.done();
    sleep(60 * MINUTE).await;
    assert!(!running.is_finished(), "nothing is in flight");
    assert_eq!(stats.report().oldest, None);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_what_is_looked_up_is_no_stall_of_the_sink() {
    let log = Log::default();
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let names = Enrichment::new(move |n: u32| {
        let down = down.load(Ordering::SeqCst);
        async move { if down { Err("down") } else { Ok(Some(n)) } }
    });
    let sink = CollectSink::new();
    let job = Pipeline::from(Script::new([vec![1, 2]], &log))
        .enrich(|n| *n, names, |n, _| n)
        .to(sink.clone());
    let mut running = tokio::spawn(job.run());
    assert!(timeout(120 * MINUTE, &mut running).await.is_err());
    is_down.store(false, Ordering::SeqCst);
    assert_eq!(running.await.unwrap().unwrap().acknowledged, 2);
    assert_eq!(sink.take(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_stall_time_out_can_be_switched_off() {
    let log = Log::default();
    let job = Pipeline::from(Script::new([vec![1]], &log).endless())
        .settings(PipelineSettings::default().stall_timeout(None))
        .to(Holding::new(&log));
    assert!(timeout(600 * MINUTE, job.run()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_record_that_a_sink_keeps_while_it_settles_others_is_reported() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let batches: Vec<Vec<u32>> = vec![(0..90).collect()];
    let job = Pipeline::from(Script::new(batches, &log).endless()).to_named("topic", sink);
    let stats = job.stats();
    let running = tokio::spawn(job.run());
    for seconds in (0..9 * 60).step_by(10) {
        sleep(Duration::from_secs(10)).await;
        held.lock().pop_back().unwrap().1.done();
        assert!(stats.health().is_healthy(), "after {seconds} s");
    }
    for _ in 0..15 {
        sleep(Duration::from_secs(10)).await;
        held.lock().pop_back().unwrap().1.done();
    }
    let health = stats.health().to_string();
    assert!(
        health.contains("others are written, but the record lane@0, read"),
        "{health}"
    );
    assert!(!running.is_finished(), "it ends nothing");
    held.lock().pop_front().unwrap().1.done();
    sleep(MINUTE / 2).await;
    assert!(stats.health().is_healthy(), "{}", stats.health());
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_for_long_has_not_stalled() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let job = Pipeline::from(Script::new([vec![1, 2]], &log).endless()).to(sink);
    let mut running = tokio::spawn(job.run());
    sleep(MINUTE).await;
    tokio::time::advance(60 * MINUTE).await;
    sleep(MINUTE).await;
    assert!(!running.is_finished(), "it had two minutes");
    held.lock().pop_front().unwrap().1.done();
    sleep(9 * MINUTE).await;
    assert!(!running.is_finished(), "it had nine minutes");
    let ended = timeout(2 * MINUTE, &mut running).await.unwrap();
    let error = ended.unwrap().unwrap_err();
    assert!(matches!(error, PipelineError::Stalled { .. }), "{error}");
}

/// A sink that writes in batches waits for values that the outage holds back.
#[tokio::test(start_paused = true)]
async fn what_a_sink_holds_during_an_outage_of_what_is_looked_up_is_no_stall() {
    let log = Log::default();
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let names = Enrichment::new(move |n: u32| {
        let down = n > 1 && down.load(Ordering::SeqCst);
        async move { if down { Err("down") } else { Ok(Some(n)) } }
    });
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let job = Pipeline::from(Script::new([vec![1, 2]], &log).endless())
        .enrich(|n| *n, names, |n, _| n)
        .to_named("topic", sink);
    let mut running = tokio::spawn(job.run());
    assert!(timeout(120 * MINUTE, &mut running).await.is_err());
    assert_eq!(held.lock().len(), 1, "the sink has the first");
    is_down.store(false, Ordering::SeqCst);
    let ended = timeout(12 * MINUTE, running).await.unwrap();
    let error = ended.unwrap().unwrap_err();
    assert_eq!(error.operator(), Some("topic"), "{error}");
    assert!(matches!(error, PipelineError::Stalled { .. }), "{error}");
}
