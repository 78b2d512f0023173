//! A record that can't be carried on with reaches the dead-letter output with the reason, and holds up nobody.

use std::time::Duration;

use dynamodb_connector::pipeline::{
    EndpointError, FnSink, OnFailure, Pipeline, PipelinePart, ReasonKind,
};
use dynamodb_connector::test_util::{CollectSink, IterSource};

use super::parts::{Holding, Log, Script};
use crate::setup::settle;

fn odd_is_wrong(n: &u32) -> Result<(), String> {
    if n.is_multiple_of(2) {
        Ok(())
    } else {
        Err("odd".into())
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_record_goes_to_the_dead_letters_and_the_rest_go_on() {
    let source = IterSource::new(0..6_u32);
    let acks = source.acks();
    let (sink, dead) = (CollectSink::new(), CollectSink::new());
    let report = Pipeline::from(source)
        .map(|n| n + 100)
        .validate(odd_is_wrong)
        .named("even")
        .dead_letter(dead.clone())
        .to(sink.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(sink.take(), [100, 102, 104]);
    let letters = dead.take();
    let records: Vec<u32> = letters.iter().map(|letter| letter.record).collect();
    assert_eq!(records, [1, 3, 5], "as the source gave them");
    assert_eq!(letters[1].to_string(), "even: records@3: odd");
    assert_eq!(letters[1].reason.kind(), ReasonKind::Invalid);
    assert_eq!(acks.done().len(), 6);
    assert_eq!(report.dead_lettered(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_a_dead_letter_output_the_first_bad_record_stops_the_pipeline() {
    let log = Log::default();
    let job = Pipeline::from(Script::new([vec![0, 2], vec![4, 5, 6]], &log))
        .validate(odd_is_wrong)
        .to(Holding::new(&log));
    let stats = job.stats();
    let error = job.run().await.unwrap_err();
    assert_eq!(error.to_string(), "validate-1: record lane@3: odd");
    assert_eq!(error.part(), PipelinePart::Record);
    assert_eq!(error.operator(), Some("validate-1"));
    assert!(!error.is_retryable());
    assert_eq!(log.of("wrote"), ["wrote 0", "wrote 2"]);
    assert_eq!(log.of("done"), ["done 0", "done 1"], "flushed at the end");
    let mut dropped = log.of("dropped");
    dropped.sort();
    assert_eq!(dropped, ["dropped 2", "dropped 3", "dropped 4"]);
    assert_eq!(stats.report().operator("validate-1").unwrap().errors, 1);
    assert_eq!(log.of("source closed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_may_skip_or_stop_instead() {
    let sink = CollectSink::new();
    let report = Pipeline::from(IterSource::new(0..5_u32))
        .validate(odd_is_wrong)
        .on_failure(OnFailure::Skip)
        .to(sink.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(sink.take(), [0, 2, 4]);
    assert_eq!(report.operator("validate-1").unwrap().skipped, 2);
    let dead = CollectSink::new();
    let stopped = Pipeline::from(IterSource::new(0..5_u32))
        .validate(odd_is_wrong)
        .on_failure(OnFailure::Stop)
        .dead_letter(dead.clone())
        .to(sink)
        .run()
        .await;
    assert_eq!(
        stopped.unwrap_err().to_string(),
        "validate-1: record records@1: odd"
    );
    assert!(dead.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_operator_is_that_records_alone() {
    let (sink, dead) = (CollectSink::new(), CollectSink::new());
    Pipeline::from(IterSource::new(0..4_u32))
        .map(|n| if n == 1 { panic!("secret {n}") } else { n })
        .flat_map(|n| {
            (0..n).map(move |i| {
                if n == 3 && i == 2 {
                    panic!("late")
                } else {
                    n * 10 + i
                }
            })
        })
        .dead_letter_with(|n| format!("#{n}"), dead.clone())
        .to(sink.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(sink.take(), [20, 21, 30, 31]);
    let letters = dead.take();
    let told: Vec<String> = letters.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "map-1: records@1: the operator's closure panicked",
            "flat_map-2: records@3: the operator's closure panicked"
        ]
    );
    assert_eq!(letters[0].record, "#1");
    assert_eq!(letters[0].reason.kind(), ReasonKind::Panicked);
    let shown = format!("{:?}", letters[0]);
    assert!(
        !shown.contains("#1") && !shown.contains("secret"),
        "{shown}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_sink_rejects_goes_to_the_dead_letters() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let dead = CollectSink::new();
    let job = Pipeline::from(Script::new([vec![7, 8]], &log).endless())
        .map(|n| n * 10)
        .dead_letter(dead.clone())
        .to_named("outlet", sink);
    let stats = job.stats();
    let running = tokio::spawn(job.run());
    settle().await;
    let (value, delivery) = held.lock().pop_front().unwrap();
    assert_eq!(value, 70);
    delivery.reject("too large");
    settle().await;
    let letters = dead.take();
    assert_eq!(letters[0].record, 7);
    assert_eq!(letters[0].to_string(), "outlet: lane@0: too large");
    assert_eq!(letters[0].reason.kind(), ReasonKind::Rejected);
    assert_eq!(log.of("done"), ["done 0"]);
    assert_eq!(stats.report().operator("outlet").unwrap().dead_lettered, 1);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_the_sink_rejects_stops_the_pipeline_where_there_is_no_dead_letter_output() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let running = tokio::spawn(
        Pipeline::from(Script::new([vec![7]], &log).endless())
            .to(sink)
            .run(),
    );
    settle().await;
    let (_, delivery) = held.lock().pop_front().unwrap();
    delivery.reject("too large");
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "sink: record lane@0: too large");
    assert_eq!(log.of("dropped"), ["dropped 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_dead_letter_output_holds_up_nobody() {
    let sink = CollectSink::new();
    let slow = FnSink::new(|_| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(())
    });
    let job = Pipeline::from(IterSource::new(0..1_000_u32))
        .validate(|n| if *n == 0 { Err("zero") } else { Ok(()) })
        .dead_letter(slow)
        .to(sink.clone());
    let running = tokio::spawn(job.run());
    settle().await;
    assert_eq!(sink.len(), 999);
    assert!(!running.is_finished());
    assert_eq!(running.await.unwrap().unwrap().acknowledged, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_output_that_fails_stops_the_pipeline_and_the_record_is_not_done() {
    let source = IterSource::new(0..3_u32);
    let acks = source.acks();
    let error = Pipeline::from(source)
        .validate(odd_is_wrong)
        .dead_letter(FnSink::new(|_| async {
            Err(EndpointError::new("disk full"))
        }))
        .to(CollectSink::new())
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "dead letters: disk full");
    assert_eq!(error.part(), PipelinePart::Sink);
    let dropped = acks.dropped();
    assert!(
        dropped.iter().any(|(_, number)| *number == 1),
        "{dropped:?}"
    );
}
