//! Every way to end: what is durable is stored, what is not is given again.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::pipeline::{Pipeline, PipelineError, PipelineErrorKind, PipelineSettings};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};

use super::parts::{Holding, Log, Script};
use crate::setup::settle;

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_finishes_what_is_in_flight_and_then_closes_in_order() {
    let log = Log::default();
    let stop = Arc::new(Notify::new());
    let told = stop.clone();
    let job = Pipeline::from(Script::new([vec![1, 2, 3]], &log).endless())
        .map_async(|n| async move {
            sleep(Duration::from_secs(5)).await;
            Ok::<_, &'static str>(n)
        })
        .to(Holding::new(&log));
    let running = tokio::spawn(job.run_until(async move { told.notified().await }));
    settle().await;
    stop.notify_one();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.acknowledged, 3);
    assert_eq!(
        log.all(),
        [
            "given 3",
            "source stopped",
            "wrote 1",
            "wrote 2",
            "wrote 3",
            "flush",
            "done 0",
            "done 1",
            "done 2",
            "sink closed",
            "source closed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_takes_too_long_gives_up_what_is_in_flight() {
    let log = Log::default();
    let mut sink = Holding::new(&log);
    sink.flush_hangs = true;
    let job = Pipeline::from(Script::new([vec![1, 2]], &log).endless())
        .settings(PipelineSettings::default().drain_timeout(Duration::from_secs(7)))
        .to(sink);
    let started = Instant::now();
    let error = job
        .run_until(sleep(Duration::from_secs(1)))
        .await
        .unwrap_err();
    assert_eq!(started.elapsed(), Duration::from_secs(8));
    assert!(
        matches!(error, PipelineError::DrainTimeout { in_flight: 2, .. }),
        "{error}"
    );
    assert_eq!(error.kind(), PipelineErrorKind::Stopped);
    assert!(error.is_retryable());
    assert_eq!(log.of("done"), Vec::<String>::new());
    assert_eq!(log.all().last().unwrap(), "source closed");
}

#[tokio::test(start_paused = true)]
async fn an_abort_gives_up_at_once_and_stores_what_was_acknowledged() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let job = Pipeline::from(Script::new([vec![1, 2, 3]], &log).endless())
        .map_async(|n| async move {
            sleep(Duration::from_secs(u64::from(n))).await;
            Ok::<_, &'static str>(n)
        })
        .to(sink);
    let abort = async {
        sleep(Duration::from_millis(1_500)).await;
        let (_, delivery) = held.lock().unwrap().pop_front().unwrap();
        delivery.done();
    };
    let stop = sleep(Duration::from_millis(100));
    let error = job.run_until_or_abort(stop, abort).await.unwrap_err();
    assert_eq!(error.to_string(), "aborted with 2 records in flight");
    assert_eq!(log.of("done"), ["done 0"]);
    assert_eq!(log.of("dropped").len(), 2);
    assert_eq!(log.of("flush"), Vec::<String>::new());
    assert_eq!(log.all().last().unwrap(), "source closed");
}

#[tokio::test(start_paused = true)]
async fn when_the_sink_fails_what_it_has_is_flushed_and_the_rest_given_again() {
    let log = Log::default();
    let mut sink = Holding::new(&log);
    sink.fails_at = Some(3);
    let error = Pipeline::from(Script::new([vec![1, 2, 3, 4]], &log).endless())
        .to_named("topic", sink)
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "topic: the sink is broken");
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (PipelineErrorKind::Sink, false)
    );
    assert_eq!(
        log.all(),
        [
            "given 4",
            "wrote 1",
            "wrote 2",
            "dropped 2",
            "dropped 3",
            "source stopped",
            "flush",
            "done 0",
            "done 1",
            "sink closed",
            "source closed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_source_fails_what_was_written_counts() {
    let log = Log::default();
    let error = Pipeline::from(Script::new([vec![1]], &log).then_fails("shard lost"))
        .named("changes")
        .to(Holding::new(&log))
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "changes: shard lost");
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (PipelineErrorKind::Source, true)
    );
    assert_eq!(log.of("done"), ["done 0"]);
    assert_eq!(log.all().last().unwrap(), "source closed");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_acknowledges_nothing() {
    let log = Log::default();
    let mut sink = Holding::new(&log);
    sink.permits = Some(Arc::new(Semaphore::new(1)));
    let mut job = Box::pin(
        Pipeline::from(Script::new([vec![1, 2, 3]], &log).endless())
            .to(sink)
            .run(),
    );
    assert!(
        tokio::time::timeout(Duration::from_secs(1), &mut job)
            .await
            .is_err()
    );
    drop(job);
    let mut dropped = log.of("dropped");
    dropped.sort();
    assert_eq!(dropped, ["dropped 0", "dropped 1", "dropped 2"]);
    assert_eq!(log.of("done"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_empty_source_ends_at_once() {
    let log = Log::default();
    let report = Pipeline::from(Script::new([vec![], vec![]], &log))
        .to(Holding::new(&log))
        .run()
        .await
        .unwrap();
    assert_eq!(report.acknowledged, 0);
    assert_eq!(
        log.all(),
        [
            "given 0",
            "given 0",
            "flush",
            "sink closed",
            "source closed"
        ]
    );
}
