//! Every way to end: what is durable is stored, what is not is given again.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::pipeline::{Pipeline, PipelineError, PipelinePart, PipelineSettings};
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
            "source closed",
            "sink closed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_takes_too_long_gives_up_what_is_in_flight() {
    let log = Log::default();
    let mut sink = Holding::new(&log);
    sink.flush_hangs = true;
    let job = Pipeline::from(Script::new([vec![1, 2]], &log).endless())
        .settings(PipelineSettings::default().stop_timeout(Duration::from_secs(10)))
        .to(sink);
    let started = Instant::now();
    let error = job
        .run_until(sleep(Duration::from_secs(1)))
        .await
        .unwrap_err();
    assert_eq!(
        started.elapsed(),
        Duration::from_secs(9),
        "four fifths of 10 s"
    );
    assert!(
        matches!(error, PipelineError::DrainTimeout { in_flight: 2, .. }),
        "{error}"
    );
    assert_eq!(error.part(), PipelinePart::Stopped);
    assert!(error.is_retryable());
    assert_eq!(log.of("done"), Vec::<String>::new());
    assert_eq!(log.of("source closed").len(), 1);
}

/// The parts of an end that a source or a sink may never finish.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hangs {
    Flush,
    SinkClose,
    SourceClose,
    All,
}

/// Runs a pipeline whose end hangs, and returns its error, how long the end took, and what happened.
async fn end_of(
    hangs: Hangs,
    fails: bool,
    abort_after: Option<Duration>,
) -> (PipelineError, Duration, Log) {
    let log = Log::default();
    let mut source = Script::new([vec![1, 2]], &log).endless();
    let mut sink = Holding::new(&log);
    source.close_hangs = matches!(hangs, Hangs::SourceClose | Hangs::All);
    sink.flush_hangs = matches!(hangs, Hangs::Flush | Hangs::All);
    sink.close_hangs = matches!(hangs, Hangs::SinkClose | Hangs::All);
    if fails {
        sink.fails_at = Some(2);
    }
    let begun = Duration::from_secs(1);
    if fails {
        // The failure begins the end.
        sink.permits = Some(Arc::new(Semaphore::new(1)));
        let permits = sink.permits.clone().unwrap();
        tokio::spawn(async move {
            sleep(begun).await;
            permits.add_permits(1);
        });
    }
    let started = Instant::now();
    let job = Pipeline::from(source).to(sink);
    let abort = async {
        match abort_after {
            Some(after) => sleep(begun + after).await,
            None => std::future::pending().await,
        }
    };
    let error = job.run_until_or_abort(sleep(begun), abort).await;
    let took = started.elapsed().checked_sub(begun).unwrap();
    (error.expect_err("it ends with an error"), took, log)
}

/// Whatever hangs, all of an end takes no longer than `stop_timeout`, and the source is closed before the sinks.
#[tokio::test(start_paused = true)]
async fn every_end_is_within_its_bound_and_is_cut_by_an_abort() {
    for hangs in [
        Hangs::Flush,
        Hangs::SinkClose,
        Hangs::SourceClose,
        Hangs::All,
    ] {
        for fails in [false, true] {
            let (error, took, log) = end_of(hangs, fails, None).await;
            assert!(
                took <= Duration::from_secs(25),
                "{hangs:?} {fails}: {took:?}"
            );
            assert_eq!(log.of("source clos").len(), 1, "{hangs:?} {fails}");
            if fails {
                assert_eq!(error.to_string(), "sink: the sink is broken");
            }
            let (_, took, log) = end_of(hangs, fails, Some(Duration::from_millis(500))).await;
            // What was acknowledged is stored after an abort too, within the rest.
            assert!(
                took <= Duration::from_secs(5),
                "{hangs:?} {fails}: {took:?}"
            );
            assert_eq!(log.of("source clos").len(), 1, "{hangs:?} {fails}");
        }
    }
    let (error, took, _) = end_of(Hangs::SinkClose, false, None).await;
    assert!(
        matches!(error, PipelineError::CloseTimeout { .. }),
        "{error}"
    );
    assert_eq!(took, Duration::from_secs(25));
    let abort = Duration::from_millis(500);
    let (error, took, log) = end_of(Hangs::SinkClose, false, Some(abort)).await;
    assert!(
        matches!(error, PipelineError::Aborted { in_flight: 0, .. }),
        "{error}"
    );
    assert_eq!((took, log.of("source closed").len()), (abort, 1));
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
        let (_, delivery) = held.lock().pop_front().unwrap();
        delivery.done();
    };
    let stop = sleep(Duration::from_millis(100));
    let error = job.run_until_or_abort(stop, abort).await.unwrap_err();
    assert_eq!(error.to_string(), "aborted with 2 records in flight");
    assert_eq!(log.of("done"), ["done 0"]);
    assert_eq!(log.of("dropped").len(), 2);
    assert_eq!(log.of("flush"), Vec::<String>::new());
    assert_eq!(log.of("source closed").len(), 1);
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
        (error.part(), error.is_retryable()),
        (PipelinePart::Sink, false)
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
            "source closed",
            "sink closed"
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
        (error.part(), error.is_retryable()),
        (PipelinePart::Source, true)
    );
    assert_eq!(log.of("done"), ["done 0"]);
    assert_eq!(log.of("source closed").len(), 1);
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
            "source closed",
            "sink closed"
        ]
    );
}

/// What a sink drops because another reader has it is not lost.
#[tokio::test(start_paused = true)]
async fn a_sink_may_drop_what_is_not_current_any_more() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let (held, wrote) = (sink.held.clone(), sink.wrote.clone());
    let job = Pipeline::from(Script::new([vec![1, 2]], &log).endless()).to(sink);
    let stop = Arc::new(Notify::new());
    let told = stop.clone();
    let running = tokio::spawn(job.run_until(async move { told.notified().await }));
    wrote.notified().await;
    settle().await;
    log.revoke();
    held.lock().clear();
    sleep(Duration::from_secs(1)).await;
    stop.notify_one();
    let report = running.await.unwrap().expect("it goes on, and ends well");
    assert_eq!(report.acknowledged, 0);
}
