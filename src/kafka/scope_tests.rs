use std::task::Poll;

use futures::{FutureExt as _, poll};

use super::*;
use crate::kafka::test_log::Log;
use crate::kafka::topic_partition::TopicPartition;
use crate::progress::MAX_UNOBSERVED;

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
fn a_topic_that_is_gone_counts_once_however_many_of_its_records_fail() {
    let gone = |topic: &str| KafkaError::UnknownTopic {
        topic: topic.into(),
        waited: None,
    };
    let denied = |topic: &str| KafkaError::TopicRefused {
        topic: topic.into(),
        reason: "x".into(),
    };
    let shrunk = |partition| KafkaError::UnknownPartition {
        topic: "a".into(),
        partition,
    };
    let causes = [gone("a"), denied("a"), gone("b"), shrunk(1), shrunk(2)];
    let scope = CallerScope::new();
    for _ in 0..2 * MAX_UNOBSERVED {
        for cause in &causes {
            scope.keep_unobserved(cause.clone(), None);
        }
    }
    scope.check().expect("it goes on for other topics");
    let expected = causes.map(|cause| (cause.to_string(), 2 * MAX_UNOBSERVED));
    assert_eq!(reported(&scope), expected);
    scope.keep_unobserved(gone("a"), None);
    assert_eq!(reported(&scope), [(gone("a").to_string(), 1)], "anew");
}

#[test]
fn an_outage_counts_once_and_names_each_topic_whose_records_it_failed() {
    let late = |topic: usize| KafkaError::NotDelivered {
        topic_partition: TopicPartition::new(format!("t{topic}").into(), Some(0)),
        reason: "x".into(),
    };
    let scope = CallerScope::new();
    let outage = scope.halt(&late(0));
    for topic in (0..MAX_UNOBSERVED).chain(0..MAX_UNOBSERVED) {
        scope.keep_unobserved(late(topic), Some(outage));
    }
    scope.check().expect("it goes on");
    let expected = (0..MAX_UNOBSERVED).map(|topic| (late(topic).to_string(), 2));
    assert!(reported(&scope).into_iter().eq(expected));
    assert!(scope.outage().is_none(), "it was given out");
}

#[test]
fn failures_are_retryable_only_if_each_is_in_whatever_order() {
    let together = |errors: [KafkaError; 2]| {
        let scope = CallerScope::new();
        for error in errors {
            scope.keep_unobserved(error, None);
        }
        let error = scope.report(None).expect_err("two failed");
        (error.kind(), error.is_retryable())
    };
    use crate::ErrorKind::{Invalid, Unavailable};
    assert_eq!(together([lost(), too_large(1)]), (Invalid, false));
    assert_eq!(together([too_large(1), lost()]), (Invalid, false));
    assert_eq!(together([lost(), lost()]), (Unavailable, true));
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
fn a_fatal_error_counts_once_and_comes_after_the_records_that_it_failed() {
    let scope = CallerScope::new();
    let fatal = || KafkaError::Fatal {
        kind: crate::ErrorKind::Fenced,
        reason: "x".into(),
    };
    for _ in 0..2 * MAX_UNOBSERVED {
        scope.keep_unobserved(fatal(), None);
    }
    scope.check().expect("it goes on");
    scope.keep_unobserved(too_large(1), None);
    let error = scope.report(Some(fatal())).expect_err("of records");
    let KafkaError::Unobserved { failures } = &error else {
        panic!("{error}");
    };
    let records: Vec<_> = failures.iter().map(|failed| failed.records).collect();
    assert_eq!(records, [2 * MAX_UNOBSERVED, 1]);
    assert!(error.is_fatal() && !error.is_retryable(), "{error}");
    let error = scope.report(Some(fatal())).expect_err("the sink's");
    assert!(matches!(error, KafkaError::Fatal { .. }), "{error}");
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
    for n in 0..=MAX_FAILED_LOOK_UPS {
        scope.look_up_failed(topic(n), lost());
    }
    scope.look_up_failed(topic(1), lost());
    let left = |n| scope.take_failed_look_up(&topic(n)).is_err();
    let left: Vec<usize> = (0..=MAX_FAILED_LOOK_UPS).filter(|n| left(*n)).collect();
    let all_but_the_oldest: Vec<usize> = (1..=MAX_FAILED_LOOK_UPS).collect();
    assert_eq!(left, all_but_the_oldest);
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
