use std::task::Poll;

use futures::{FutureExt as _, poll};

use super::*;
use crate::kafka::test_log::Log;

fn lost() -> KafkaError {
    KafkaError::Unreachable {
        waited: std::time::Duration::ZERO,
        reason: "x".into(),
    }
}

#[tokio::test]
async fn a_flush_waits_for_what_was_before_it_and_nothing_else() {
    let scope = CallerScope::new();
    scope.settled().now_or_never().expect("nothing under way");
    let before = scope.enter().expect("open");
    let mut flush = std::pin::pin!(scope.settled());
    assert!(poll!(&mut flush).is_pending());
    let after = scope.enter().expect("open");
    let mut later = std::pin::pin!(scope.settled());
    assert!(poll!(&mut later).is_pending());
    scope.leave(before);
    assert_eq!(poll!(&mut flush), Poll::Ready(()));
    assert!(poll!(&mut later).is_pending());
    scope.leave(after);
    assert_eq!(poll!(&mut later), Poll::Ready(()));
}

#[test]
fn flushes_that_were_given_up_take_no_memory_while_a_record_is_stuck() {
    let scope = CallerScope::new();
    let _stuck = scope.enter().expect("open");
    for _ in 0..10_000 {
        let passed = scope.enter().expect("open");
        assert!(scope.settled().now_or_never().is_none(), "one is stuck");
        scope.leave(passed);
    }
    assert!(scope.state.lock().epochs.kept() < 1_000);
}

/// Returns the failures that a flush reports: the error of each, and the number of its records.
fn reported(scope: &CallerScope) -> Vec<(String, usize)> {
    match scope.report(None) {
        Ok(()) => Vec::new(),
        Err(KafkaError::Unobserved { failures }) => failures
            .into_iter()
            .map(|failed| (failed.error.to_string(), failed.records))
            .collect(),
        Err(other) => panic!("{other}"),
    }
}

fn too_large(size: usize) -> KafkaError {
    KafkaError::TooLarge {
        topic: "events".into(),
        size,
        limit: None,
    }
}

#[test]
fn all_failures_are_reported_once_and_stand_for_the_outage() {
    let scope = CallerScope::new();
    let outage = scope.halt(&lost());
    scope.keep_unobserved(too_large(1), None);
    scope.keep_unobserved(lost(), Some(outage));
    scope.keep_unobserved(too_large(2), None);
    scope.keep_unobserved(lost(), Some(outage));
    let of = |error: KafkaError, records| (error.to_string(), records);
    let expected = [of(too_large(1), 1), of(lost(), 2), of(too_large(2), 1)];
    assert_eq!(reported(&scope), expected);
    assert!(reported(&scope).is_empty() && scope.outage().is_none());
}

#[test]
fn an_outage_counts_once_however_many_records_it_fails() {
    let scope = CallerScope::new();
    let outage = scope.halt(&lost());
    for _ in 0..2 * MAX_UNOBSERVED {
        scope.keep_unobserved(lost(), Some(outage));
    }
    scope.check().expect("it goes on");
    assert_eq!(reported(&scope), [(lost().to_string(), 2 * MAX_UNOBSERVED)]);
    scope.keep_unobserved(lost(), Some(outage));
    assert_eq!(reported(&scope).len(), 1, "a receipt dropped late");
}

#[test]
fn too_many_failures_stop_the_scope_and_all_are_reported() {
    let (log, _collecting) = Log::collect();
    let scope = CallerScope::new();
    for size in 1..MAX_UNOBSERVED {
        scope.keep_unobserved(too_large(size), None);
    }
    let accepted = scope.enter().expect("there is room for one more");
    scope.keep_unobserved(too_large(0), None);
    let stopped = scope.enter().expect_err("it has stopped");
    assert!(
        matches!(stopped, KafkaError::Stopped { failures } if failures == MAX_UNOBSERVED),
        "{stopped}"
    );
    assert_eq!(log.lines("has stopped").len(), 1);
    // What was accepted before is carried out, and reported too.
    scope.keep_unobserved(too_large(0), None);
    scope.leave(accepted);
    assert_eq!(reported(&scope).len(), MAX_UNOBSERVED + 1);
    let stopped = scope.report(None).expect_err("for good");
    assert!(matches!(stopped, KafkaError::Stopped { .. }), "{stopped}");
    CallerScope::new().enter().expect("another goes on");
}

#[test]
fn a_fatal_error_counts_once_and_comes_after_the_failures_before_it() {
    let scope = CallerScope::new();
    let fatal = || KafkaError::Fatal {
        kind: crate::ErrorKind::Fenced,
        reason: "x".into(),
    };
    for _ in 0..2 * MAX_UNOBSERVED {
        scope.keep_unobserved(fatal(), None);
    }
    scope.check().expect("it goes on");
    let error = scope.report(Some(fatal())).expect_err("fatal");
    assert!(matches!(error, KafkaError::Fatal { .. }), "{error}");
    scope.keep_unobserved(too_large(1), None);
    let error = scope.report(Some(fatal())).expect_err("one before it");
    assert!(matches!(error, KafkaError::Unobserved { .. }), "{error}");
    assert!(
        scope
            .report(Some(fatal()))
            .is_err_and(|error| error.is_fatal())
    );
}

#[test]
fn failures_that_no_flush_can_report_are_logged() {
    let (log, _collecting) = Log::collect();
    let scope = CallerScope::new();
    let outage = scope.halt(&lost());
    scope.keep_unobserved(too_large(1), None);
    scope.keep_unobserved(lost(), Some(outage));
    scope.keep_unobserved(lost(), Some(outage));
    drop(scope);
    let lines = log.lines("no flush or close is left");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("records=3") && lines[0].contains("is over"),
        "{lines:?}"
    );
    let scope = CallerScope::new();
    scope.keep_unobserved(too_large(1), None);
    assert_eq!(reported(&scope).len(), 1);
    drop(scope);
    assert_eq!(log.lines("ERROR").len(), 1, "reported");
}

#[test]
fn a_failed_look_up_is_for_its_topics_caller_alone_and_few_are_kept() {
    let scope = CallerScope::new();
    let topic = |n: usize| -> Arc<str> { format!("t{n}").into() };
    scope.look_up_failed(topic(1), lost());
    assert!(reported(&scope).is_empty(), "it is of no record");
    scope.take_failed_look_up("t2").expect("another topic");
    scope.take_failed_look_up("t1").expect_err("its own");
    scope.take_failed_look_up("t1").expect("once");
    for n in 0..10 * MAX_FAILED_LOOK_UPS {
        scope.look_up_failed(topic(n), lost());
    }
    assert!(scope.state.lock().failed_look_ups.len() <= MAX_FAILED_LOOK_UPS);
}

#[test]
fn an_outage_lasts_until_its_error_is_given_out() {
    let scope = CallerScope::new();
    let outage = scope.halt(&lost());
    assert_eq!(scope.halt(&lost()), outage, "the same one");
    scope.observed(None);
    scope.keep_unobserved(lost(), None);
    assert_eq!(reported(&scope).len(), 1);
    assert!(scope.outage().is_some(), "an error of no outage");
    scope.observed(Some(outage));
    assert!(scope.outage().is_none());
}

#[test]
fn an_old_receipts_error_does_not_lift_a_new_outage() {
    let scope = CallerScope::new();
    let old = scope.halt(&lost());
    scope.observed(Some(old));
    let new = scope.halt(&lost());
    scope.observed(Some(old));
    assert_eq!(scope.outage().map(|(_, number)| number), Some(new));
}
