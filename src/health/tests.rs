//! Failures that are worth a line of the log.

use super::failures::{Failure, Failures, Report, Urgency};
use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn failure(code: &str, urgency: Urgency) -> Failure {
    Failure {
        operation: "BatchWriteItem",
        code: code.to_owned(),
        cause: format!("{code} (http 500)"),
        urgency,
    }
}

/// Fails each so many milliseconds, and returns the times of the reports.
fn reported(
    failures: &mut Failures,
    from: u64,
    to: u64,
    each: usize,
    urgency: Urgency,
) -> Vec<u64> {
    let lasts = |now: &u64| failures.failed(ms(*now), failure("A", urgency)).is_some();
    (from..to).step_by(each).filter(lasts).collect()
}

#[test]
fn what_passes_within_a_second_is_never_reported() {
    let mut failures = Failures::new(ms(0));
    for round in 0..100 {
        let from = round * 1_000;
        assert!(reported(&mut failures, from, from + 999, 100, Urgency::Lasting).is_empty());
        failures.succeeded("BatchWriteItem");
        assert_eq!(failures.health(ms(from + 999)), Health::Healthy);
    }
    assert_eq!(failures.due_at(), None);
    assert!(failures.take_due(ms(1_000_000)).is_empty());
}

#[test]
fn what_lasts_is_reported_after_a_second_then_at_each_doubling_and_no_more_than_once_a_minute() {
    let mut failures = Failures::new(ms(0));
    let hour = 3_600_000;
    let times = reported(&mut failures, 500, hour, 100, Urgency::Lasting);
    let seconds: Vec<u64> = times.iter().map(|time| time / 1_000).collect();
    assert_eq!(seconds, [1, 61, 122, 244, 488, 976, 1952]);
    let Health::Failing {
        lasting, failures, ..
    } = failures.health(ms(hour))
    else {
        panic!("it fails");
    };
    assert_eq!(lasting, ms(hour - 500));
    assert_eq!(failures, 35_995);
}

#[test]
fn what_cannot_pass_is_reported_at_once_and_a_lack_of_capacity_after_ten_seconds() {
    let mut failures = Failures::new(ms(0));
    assert_eq!(reported(&mut failures, 0, 1_000, 100, Urgency::Now), [0]);
    let mut failures = Failures::new(ms(0));
    assert_eq!(
        reported(&mut failures, 0, 20_000, 100, Urgency::Starving),
        [10_000]
    );
}

#[test]
fn what_was_reported_is_said_to_be_over_once_and_ten_seconds_after_the_last() {
    let mut failures = Failures::new(ms(0));
    reported(&mut failures, 0, 2_001, 100, Urgency::Lasting);
    failures.succeeded("PutItem");
    assert!(
        !failures.health(ms(2_050)).is_healthy(),
        "another operation says nothing"
    );
    failures.succeeded("BatchWriteItem");
    assert_eq!(failures.health(ms(2_100)), Health::Healthy);
    // It flickers: no second line, and not over.
    assert!(
        failures
            .failed(ms(8_000), failure("A", Urgency::Lasting))
            .is_none()
    );
    failures.succeeded("BatchWriteItem");
    assert_eq!(failures.due_at(), Some(ms(18_000)));
    assert!(failures.take_due(ms(17_999)).is_empty());
    let over = Report::Over {
        operation: "BatchWriteItem",
        lasted: ms(8_000),
        failures: 22,
    };
    assert_eq!(failures.take_due(ms(18_000)), [over]);
    assert!(failures.take_due(ms(60_000)).is_empty());
}

#[test]
fn kinds_are_bounded_and_the_health_is_that_of_the_oldest() {
    let mut failures = Failures::new(ms(0));
    for n in 0..1_000 {
        for _ in 0..2 {
            failures.failed(ms(n), failure(&format!("code-{n}"), Urgency::Lasting));
        }
    }
    let Health::Failing { cause, .. } = failures.health(ms(5_000)) else {
        panic!("it fails");
    };
    assert_eq!(cause, "code-984 (http 500)");
}

#[test]
fn the_health_is_that_of_what_still_fails() {
    let mut failures = Failures::new(ms(0));
    for n in 0..20 {
        failures.failed(ms(100 * n), failure("first", Urgency::Lasting));
    }
    for n in 20..80 {
        failures.failed(ms(1_000 * n), failure("then", Urgency::Lasting));
    }
    let Health::Failing { cause, .. } = failures.health(ms(80_000)) else {
        panic!("it fails");
    };
    assert_eq!(cause, "then (http 500)");
}

#[test]
fn an_operation_is_over_once_whatever_it_failed_with() {
    let mut failures = Failures::new(ms(0));
    for n in 0..60 {
        let code = ["A", "B", "C"][n % 3];
        let now = 100 * u64::try_from(n).expect("small");
        failures.failed(ms(now), failure(code, Urgency::Lasting));
    }
    failures.succeeded("BatchWriteItem");
    assert_eq!(failures.due_at(), Some(ms(15_900)));
    let over = Report::Over {
        operation: "BatchWriteItem",
        lasted: ms(5_900),
        failures: 60,
    };
    assert_eq!(failures.take_due(ms(15_900)), [over]);
    assert_eq!(failures.due_at(), None);
}

#[test]
fn a_kind_that_closed_its_operation_makes_no_room_for_others() {
    let mut failures = Failures::new(ms(0));
    failures.failed(ms(0), failure("denied", Urgency::Now));
    failures.closed("BatchWriteItem", "denied");
    for n in 1..1_000 {
        failures.failed(ms(n), failure(&format!("code-{n}"), Urgency::Lasting));
    }
    let Health::Failing { cause, .. } = failures.health(ms(5_000)) else {
        panic!("it fails");
    };
    assert_eq!(cause, "denied (http 500)");
}

#[test]
fn a_single_failure_is_neither_reported_nor_does_it_last() {
    let mut failures = Failures::new(ms(0));
    failures.failed(ms(0), failure("A", Urgency::Lasting));
    assert!(failures.health(ms(60_000)).is_healthy());
    assert!(failures.take_due(ms(60_000)).is_empty());
    failures.failed(ms(60_000), failure("A", Urgency::Lasting));
    assert!(!failures.health(ms(60_000)).is_healthy());
}

#[test]
fn what_is_not_needed_any_more_is_no_failure() {
    let mut failures = Failures::new(ms(0));
    failures.failed(ms(0), failure("A", Urgency::Now));
    failures.dismissed("DescribeTable");
    assert!(!failures.health(ms(1_000)).is_healthy());
    failures.dismissed("BatchWriteItem");
    assert!(failures.health(ms(1_000)).is_healthy());
    assert!(failures.take_due(ms(60_000)).is_empty(), "it is not over");
}

#[test]
fn health_is_shown_in_one_line() {
    let failing = Health::Failing {
        operation: "BatchWriteItem",
        cause: "AccessDeniedException (http 400)".to_owned(),
        lasting: ms(40_400),
        failures: 17,
    };
    assert_eq!(
        failing.to_string(),
        "BatchWriteItem has failed for 40 s, 17 times: AccessDeniedException (http 400)"
    );
    let ended = Health::Ended {
        cause: "gone".to_owned(),
    };
    assert_eq!(ended.to_string(), "ended: gone");
    assert!(Health::Healthy.is_healthy() && !ended.is_healthy());
}

#[test]
fn what_fails_again_within_the_second_is_reported_when_it_is_over() {
    let mut failures = Failures::new(ms(0));
    failures.failed(ms(0), failure("A", Urgency::Lasting));
    assert!(
        failures.take_due(ms(5_000)).is_empty(),
        "one may be the last"
    );
    failures.failed(ms(5_100), failure("B", Urgency::Lasting));
    failures.failed(ms(5_200), failure("B", Urgency::Lasting));
    assert_eq!(failures.due_at(), Some(ms(6_100)));
    assert_eq!(failures.take_due(ms(6_100)).len(), 1);
    assert!(failures.take_due(ms(6_100)).is_empty());
}

#[test]
fn what_is_not_tried_any_more_is_no_failure() {
    let mut failures = Failures::new(ms(0));
    failures.failed(ms(0), failure("A", Urgency::Now));
    assert!(!failures.health(ms(60_000)).is_healthy());
    assert_eq!(failures.due_at(), Some(ms(120_000)));
    assert!(failures.health(ms(120_000)).is_healthy());
    assert!(
        failures.take_due(ms(120_000)).is_empty(),
        "it did not succeed"
    );
    assert_eq!(failures.due_at(), None);
}

#[test]
fn what_is_not_sent_because_it_failed_is_a_failure_until_it_succeeds() {
    let mut failures = Failures::new(ms(0));
    failures.failed(ms(0), failure("A", Urgency::Now));
    failures.closed("BatchWriteItem", "B");
    assert!(failures.due_at().is_some(), "another failure");
    failures.closed("BatchWriteItem", "A");
    assert_eq!(failures.due_at(), None);
    assert!(failures.take_due(ms(3_600_000)).is_empty());
    assert!(!failures.health(ms(3_600_000)).is_healthy());
    failures.succeeded("BatchWriteItem");
    assert!(failures.health(ms(3_600_000)).is_healthy());
    assert_eq!(failures.take_due(ms(3_600_000)).len(), 1);
}

#[test]
fn what_is_tried_again_after_long_delays_fails_all_the_while() {
    let mut failures = Failures::new(ms(310_000));
    let mut reports = 0;
    for n in 0..12 {
        let now = ms(300_000 * n);
        reports += usize::from(
            failures
                .failed(now, failure("A", Urgency::Lasting))
                .is_some(),
        );
        reports += failures.take_due(now + ms(1_000)).len();
        let healthy = failures.health(now + ms(299_000)).is_healthy();
        assert_eq!(healthy, n == 0, "{n}");
    }
    assert!((3..=6).contains(&reports), "{reports}");
}

#[test]
fn what_is_dismissed_and_fails_again_is_not_reported_each_time() {
    let mut failures = Failures::new(ms(0));
    let mut reports = 0;
    for n in 0..600 {
        let failed = failures.failed(ms(1_000 * n), failure("A", Urgency::Now));
        reports += usize::from(failed.is_some());
        failures.dismissed("BatchWriteItem");
        assert!(failures.health(ms(1_000 * n)).is_healthy());
    }
    assert!((4..=6).contains(&reports), "{reports}");
    assert!(
        failures.take_due(ms(3_600_000)).is_empty(),
        "it is not over"
    );
    assert_eq!(failures.due_at(), None);
}

#[test]
fn what_fails_again_before_it_is_over_fails_at_once_and_with_its_newest_cause() {
    let mut failures = Failures::new(ms(0));
    reported(&mut failures, 0, 2_001, 100, Urgency::Lasting);
    failures.succeeded("BatchWriteItem");
    let newer = Failure {
        cause: "newer".to_owned(),
        ..failure("A", Urgency::Lasting)
    };
    failures.failed(ms(8_000), newer);
    let Health::Failing { cause, .. } = failures.health(ms(8_000)) else {
        panic!("it fails");
    };
    assert_eq!(cause, "newer");
}

#[test]
fn a_success_opens_an_operation_and_another_operations_closing_does_not_close_it() {
    let mut failures = Failures::new(ms(0));
    failures.failed(ms(0), failure("A", Urgency::Now));
    failures.closed("PutItem", "A");
    assert!(failures.health(ms(120_000)).is_healthy());
    failures.closed("BatchWriteItem", "A");
    assert!(!failures.health(ms(120_000)).is_healthy());
    failures.succeeded("BatchWriteItem");
    failures.failed(ms(1_000), failure("A", Urgency::Now));
    assert!(!failures.health(ms(2_000)).is_healthy());
    assert!(failures.health(ms(121_000)).is_healthy());
}

#[test]
fn what_succeeded_again_is_said_to_be_over_though_it_is_not_needed_any_more() {
    let mut failures = Failures::new(ms(0));
    failures.failed(ms(0), failure("A", Urgency::Now));
    failures.succeeded("BatchWriteItem");
    failures.dismissed("BatchWriteItem");
    assert_eq!(failures.take_due(ms(10_000)).len(), 1);
}

#[test]
fn a_closed_operation_is_shown_though_others_have_failed_since() {
    let mut failures = Failures::new(ms(0));
    failures.failed(ms(0), failure("denied", Urgency::Now));
    failures.closed("BatchWriteItem", "denied");
    failures.failed(ms(60_000), failure("then", Urgency::Now));
    let Health::Failing { cause, .. } = failures.health(ms(60_000)) else {
        panic!("it fails");
    };
    assert_eq!(cause, "denied (http 500)");
}
