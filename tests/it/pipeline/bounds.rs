//! What is in flight is bounded, from the source to durability, and a slow sink holds back the source.

use std::sync::Arc;

use dynamodb_connector::pipeline::{Pipeline, PipelinePart, PipelineSettings};
use tokio::sync::Semaphore;

use super::parts::{Holding, Log, Script};
use crate::setup::settle;

#[tokio::test(start_paused = true)]
async fn a_slow_sink_holds_back_the_source() {
    let log = Log::default();
    let mut sink = Holding::new(&log);
    let permits = Arc::new(Semaphore::new(0));
    sink.permits = Some(permits.clone());
    let job = Pipeline::from(Script::new((0..100).map(|n| vec![n]), &log).endless())
        .settings(PipelineSettings::default().max_in_flight(8))
        .to(sink);
    let running = tokio::spawn(job.run());
    settle().await;
    assert_eq!(log.of("given").len(), 8);
    permits.add_permits(5);
    settle().await;
    // Written is not durable: the places are taken still.
    assert_eq!((log.of("wrote").len(), log.of("given").len()), (5, 8));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn the_source_is_asked_again_when_a_quarter_is_free() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let job = Pipeline::from(Script::new((0..100).map(|n| vec![n]), &log).endless())
        .settings(PipelineSettings::default().max_in_flight(8))
        .to(sink);
    let running = tokio::spawn(job.run());
    let finish = |records: usize| {
        for _ in 0..records {
            let (_, delivery) = held.lock().pop_front().unwrap();
            delivery.done();
        }
    };
    settle().await;
    finish(1);
    settle().await;
    assert_eq!(log.of("given").len(), 8);
    finish(1);
    settle().await;
    assert_eq!(log.of("given").len(), 10);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_bound_goes_in_by_and_by() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let job = Pipeline::from(Script::new([(0..50).collect()], &log))
        .settings(PipelineSettings::default().max_in_flight(4))
        .to(sink);
    let running = tokio::spawn(job.run());
    let mut most = 0;
    while !running.is_finished() {
        settle().await;
        most = most.max(held.lock().len());
        if let Some((_, delivery)) = { held.lock().pop_front() } {
            delivery.done();
        }
    }
    assert_eq!(most, 4);
    assert_eq!(running.await.unwrap().unwrap().acknowledged, 50);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_where_the_source_tells_them() {
    let log = Log::default();
    let job = Pipeline::from(Script::new((0..2_000).map(|n| vec![n]), &log).endless())
        // Records of 100 bytes.
        .settings(PipelineSettings::default().max_in_flight_bytes(64 << 10))
        .to(Holding::new(&log));
    let running = tokio::spawn(job.run());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(log.of("given").len(), (64 << 10) / 100 + 1);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn settings_out_of_range_start_nothing() {
    let log = Log::default();
    let job = Pipeline::from(Script::new([vec![1]], &log))
        .settings(PipelineSettings::default().max_in_flight(0))
        .to(Holding::new(&log));
    let error = job.run().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "pipeline: max_in_flight is 0, allowed 1 to 1000000"
    );
    assert_eq!(error.part(), PipelinePart::Setup);
    let job = Pipeline::from(Script::new([vec![1]], &log))
        .map_async(|n| async move { Ok::<_, &'static str>(n) })
        .concurrency(0)
        .named("score")
        .to(Holding::new(&log));
    let error = job.run().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "score: concurrency is 0, allowed 1 to 10000"
    );
    assert_eq!(log.of("given"), Vec::<String>::new());
}
