//! Tests of refusals and their evidence alone.

use super::*;
use crate::sink::core::access::{ActionStatus, Attribution, RecordEvidence, RefusalKind, Tally};

const PUTS: Operation = Operation::BatchWriteItem;
const UPDATES: Operation = Operation::UpdateItem;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn unrecognized() -> ServiceError {
    Failure::new(ErrorClass::Fatal, "UnrecognizedClientException").into()
}

fn denied() -> ServiceError {
    Failure::new(ErrorClass::Fatal, "AccessDeniedException").into()
}

#[test]
fn what_is_refused_has_thirty_seconds_unless_something_is_let_in() {
    let mut access = Access::new(s(10));
    assert!(!access.refused(s(5), &unrecognized()));
    assert!(!access.refused(s(34), &unrecognized()));
    assert!(access.refused(s(35), &unrecognized()));
    access.let_in();
    assert!(!access.is_refused());
    assert!(!access.refused(s(36), &unrecognized()));
}

#[test]
fn only_time_in_which_nothing_else_is_heard_counts() {
    // Down for 36 s, with two moments in which another answers.
    let mut access = Access::new(s(10));
    for moment in [0, 36] {
        for tenth in 0..5 {
            let now = s(moment) + Duration::from_millis(100 * tenth);
            assert!(!access.refused(now, &unrecognized()));
            for kind in [RefusalKind::Denied, RefusalKind::Unclear] {
                let standing = access.action_refused(now, PUTS, kind);
                assert_eq!(standing, ActionStatus::Passing);
            }
        }
        access.failed(PUTS);
    }
    // Failures in between do not delay a decision for ever.
    let mut access = Access::new(s(10));
    let mut refused = 0;
    while !access.refused(s(refused), &unrecognized()) {
        refused += 1;
        if refused % 5 == 0 {
            access.failed(PUTS);
        }
    }
    assert!((36..40).contains(&refused), "{refused}");
    // Refusals of another action are no evidence about this one.
    let mut access = Access::new(s(10));
    for now in 0..30 {
        access.action_refused(s(now), UPDATES, RefusalKind::Denied);
        access.failed(PUTS);
    }
    let standing = access.action_refused(s(30), UPDATES, RefusalKind::Denied);
    assert_eq!(standing, ActionStatus::Refused);
}

#[test]
fn each_reason_has_its_own_thirty_seconds() {
    let missing: ServiceError = Failure::new(ErrorClass::Fatal, "ResourceNotFoundException").into();
    let mut access = Access::new(s(10));
    for now in 0..=16 {
        assert!(!access.refused(s(now), &unrecognized()));
    }
    for now in 17..47 {
        assert!(!access.refused(s(now), &missing), "{now}");
    }
    assert!(access.refused(s(47), &missing));
}

#[test]
fn a_missing_table_is_gone_once_its_writes_and_its_descriptions_say_so_for_thirty_seconds() {
    let missing: ServiceError = Failure::new(ErrorClass::Fatal, "ResourceNotFoundException").into();
    let mut access = Access::new(s(10));
    for now in 0..60 {
        assert!(!access.described_missing(s(now)), "no write says so");
    }
    access.refused(s(60), &missing);
    assert!(access.described_missing(s(60)));
    access.let_in();
    for now in 60..90 {
        access.refused(s(now), &missing);
        assert!(!access.described_missing(s(now)), "{now}");
        if now == 75 {
            access.description_failed();
        }
    }
    assert!(
        !access.described_missing(s(90)),
        "a second of it is not known"
    );
    assert!(access.described_missing(s(91)));
    access.described();
    assert!(!access.described_missing(s(92)));
}

#[test]
fn an_action_that_never_works_is_closed_and_tried_again_later() {
    let mut access = Access::new(s(10));
    assert_eq!(
        access.action_refused(s(0), UPDATES, RefusalKind::Denied),
        ActionStatus::Passing
    );
    assert_eq!(
        access.action_refused(s(29), UPDATES, RefusalKind::Denied),
        ActionStatus::Passing
    );
    assert_eq!(
        access.action_refused(s(30), UPDATES, RefusalKind::Denied),
        ActionStatus::Refused
    );
    assert!(access.close(s(30), UPDATES, denied()));
    assert!(access.closed(s(59), UPDATES).is_some());
    assert!(access.closed(s(59), PUTS).is_none());
    assert!(access.closed(s(60), UPDATES).is_none());
    assert_eq!(
        access.action_refused(s(61), UPDATES, RefusalKind::Denied),
        ActionStatus::Closed
    );
    assert!(!access.close(s(61), UPDATES, denied()), "no news");
    access.succeeded(s(95), UPDATES);
    assert!(access.closed(s(95), UPDATES).is_none());
    assert_eq!(
        access.action_refused(s(96), UPDATES, RefusalKind::Denied),
        ActionStatus::Passing
    );
}

#[test]
fn refusals_beside_successes_last_and_close_nothing() {
    let mut access = Access::new(s(10));
    access.succeeded(s(0), PUTS);
    for now in 1..100 {
        let lasting = now >= 31;
        let expected = if lasting {
            ActionStatus::Partial
        } else {
            ActionStatus::Passing
        };
        assert_eq!(
            access.action_refused(s(now), PUTS, RefusalKind::Denied),
            expected,
            "{now}"
        );
        access.succeeded(s(now), PUTS);
    }
    assert!(access.others_work(s(100), UPDATES));
    assert!(!access.others_work(s(100), PUTS));
    assert!(!access.others_work(s(200), UPDATES));
    // Refusals that paused are others.
    access.succeeded(s(150), PUTS);
    assert_eq!(
        access.action_refused(s(151), PUTS, RefusalKind::Denied),
        ActionStatus::Passing
    );
}

#[test]
fn what_is_let_in_beside_them_does_not_end_refusals() {
    let mut access = Access::new(s(10));
    let mut standing = ActionStatus::Passing;
    for now in 0..40 {
        access.succeeded(s(now), PUTS);
        access.allowed(PUTS);
        standing = access.action_refused(s(now), PUTS, RefusalKind::Denied);
    }
    assert_eq!(standing, ActionStatus::Partial);
}

#[test]
fn another_action_works_while_it_is_open_and_was_carried_out_since_the_first_was_denied() {
    let mut access = Access::new(s(10));
    for now in [0, 20, 40] {
        access.action_refused(s(now), PUTS, RefusalKind::Denied);
        access.succeeded(s(now), UPDATES);
    }
    access.close(s(40), PUTS, denied());
    for minute in 2..10 {
        let standing = access.action_refused(s(60 * minute), PUTS, RefusalKind::Denied);
        assert_eq!(standing, ActionStatus::Closed);
        assert!(access.others_work(s(60 * minute), PUTS));
        access.close(s(60 * minute), PUTS, denied());
    }
    for now in [600, 620, 640] {
        access.action_refused(s(now), UPDATES, RefusalKind::Denied);
    }
    access.close(s(640), UPDATES, denied());
    assert!(!access.others_work(s(640), PUTS), "it is closed as well");
}

fn tally(successes: u64, refusals: u64) -> Tally {
    Tally {
        successes,
        refusals,
    }
}

fn evidence(tally: Tally) -> RecordEvidence {
    RecordEvidence::new(s(0), 0, PUTS, RefusalKind::Denied, tally)
}

#[test]
fn only_refusals_between_successes_make_a_write_the_cause_and_not_before_the_grace_is_over() {
    let mut evidence = evidence(tally(7, 1));
    for n in 1..=100 {
        assert_eq!(
            evidence.refused(s(n), tally(7, n)),
            Attribution::OneOfAll,
            "nothing passes"
        );
    }
    for n in 1..8 {
        assert_eq!(
            evidence.refused(s(100), tally(7 + n, 100 + n)),
            Attribution::Alone,
            "a few others prove little"
        );
    }
    assert_eq!(
        evidence.refused(s(100), tally(15, 108)),
        Attribution::Record
    );
    let mut evidence = self::evidence(tally(0, 1));
    for n in 1..100 {
        assert_eq!(evidence.refused(s(29), tally(n, n)), Attribution::Alone);
    }
    assert_eq!(
        evidence.refused(s(30), tally(100, 100)),
        Attribution::Record
    );
}

#[test]
fn a_write_is_not_the_cause_where_others_are_refused_as_often() {
    // A single refusal of others counts.
    let mut evidence = self::evidence(tally(0, 1));
    for n in 1..=8 {
        assert_eq!(
            evidence.refused(s(100), tally(n, n + 1)),
            Attribution::Alone
        );
    }
    // Nine requests in ten are refused, of others too.
    let mut evidence = self::evidence(tally(0, 1));
    let mut refused = 0;
    while evidence.refused(s(100), tally(refused + 1, 10 * refused + 9)) != Attribution::Record {
        refused += 1;
    }
    assert!((150..200).contains(&refused), "{refused}");
}

#[test]
fn denials_are_evidence_against_a_key_and_other_refusals_against_a_write() {
    for (operation, kind, expected) in [
        (PUTS, RefusalKind::Denied, true),
        (PUTS, RefusalKind::Unclear, false),
        (UPDATES, RefusalKind::Denied, false),
    ] {
        let first = evidence(tally(0, 1));
        assert!(first.concerns(0, operation, kind), "the same write");
        assert_eq!(first.concerns(1, operation, kind), expected);
    }
    let transaction = Operation::TransactWriteItems;
    let first = RecordEvidence::new(s(0), 0, transaction, RefusalKind::Denied, tally(0, 1));
    assert!(
        !first.concerns(1, transaction, RefusalKind::Denied),
        "it has other keys"
    );
}

#[test]
fn blips_that_a_success_parts_never_add_up() {
    let mut access = Access::new(s(10));
    // Refused for a moment each 25 s, and carried out after it.
    for blip in 0..40 {
        for kind in [RefusalKind::Denied, RefusalKind::Unclear] {
            let standing = access.action_refused(s(25 * blip), UPDATES, kind);
            assert_ne!(standing, ActionStatus::Refused, "{blip}");
        }
        access.succeeded(s(25 * blip + 1), UPDATES);
    }
    for second in 1_000..1_010 {
        let standing = access.action_refused(s(second), UPDATES, RefusalKind::Denied);
        assert_ne!(
            standing,
            ActionStatus::Refused,
            "ten seconds are no verdict"
        );
    }
    // Nor do those that are far apart.
    let mut access = Access::new(s(10));
    for blip in 0..10 {
        assert!(!access.refused(s(1_200 * blip), &unrecognized()));
        let standing = access.action_refused(s(1_200 * blip), PUTS, RefusalKind::Denied);
        assert_eq!(standing, ActionStatus::Passing);
    }
}

#[test]
fn attempts_that_are_far_apart_come_to_a_verdict_too() {
    let mut access = Access::new(s(300));
    let standings = [0, 290, 580].map(|second| {
        assert_eq!(access.refused(s(second), &unrecognized()), second == 580);
        access.action_refused(s(second), UPDATES, RefusalKind::Denied)
    });
    assert_eq!(standings[2], ActionStatus::Refused);
    access.close(s(580), UPDATES, denied());
    access.allowed(UPDATES);
    assert!(access.closed(s(581), UPDATES).is_none(), "it was let in");
    let standing = access.action_refused(s(582), UPDATES, RefusalKind::Denied);
    assert_eq!(standing, ActionStatus::Passing);
}

#[test]
fn two_blips_with_nothing_sent_between_are_not_an_outage() {
    let mut access = Access::new(s(10));
    assert!(!access.refused(s(0), &unrecognized()));
    assert!(!access.refused(s(40), &unrecognized()));
    let mut access = Access::new(s(10));
    assert_eq!(
        access.action_refused(s(0), PUTS, RefusalKind::Unclear),
        ActionStatus::Passing
    );
    assert_eq!(
        access.action_refused(s(20), PUTS, RefusalKind::Unclear),
        ActionStatus::Passing
    );
    assert_eq!(
        access.action_refused(s(40), PUTS, RefusalKind::Unclear),
        ActionStatus::Refused
    );
    assert_eq!(
        access.action_refused(s(40), PUTS, RefusalKind::Denied),
        ActionStatus::Passing
    );
}

#[test]
fn what_is_carried_out_ends_the_refusals_of_all() {
    let mut access = Access::new(s(10));
    access.refused(s(0), &unrecognized());
    access.succeeded(s(1), UPDATES);
    assert!(!access.is_refused());
}

#[test]
fn an_action_is_not_refused_while_it_is_down() {
    for kind in [RefusalKind::Denied, RefusalKind::Unclear] {
        let mut access = Access::new(s(20));
        for moment in [0, 36] {
            for tenth in 0..3 {
                let now = s(moment) + Duration::from_millis(100 * tenth);
                let standing = access.action_refused(now, PUTS, kind);
                assert_eq!(standing, ActionStatus::Passing);
            }
            access.failed(PUTS);
        }
    }
}

#[test]
fn only_successes_since_the_first_refusal_are_beside_it() {
    let mut access = Access::new(s(10));
    access.succeeded(s(0), PUTS);
    let refused =
        |access: &mut Access, now| access.action_refused(s(now), PUTS, RefusalKind::Unclear);
    assert_eq!(refused(&mut access, 1), ActionStatus::Passing);
    access.succeeded(s(2), PUTS);
    assert_eq!(refused(&mut access, 3), ActionStatus::Partial);
}

#[test]
fn what_closed_an_action_says_nothing_of_refusals_with_an_unknown_code() {
    let mut access = Access::new(s(10));
    access.close(s(0), UPDATES, denied());
    let standing = access.action_refused(s(31), UPDATES, RefusalKind::Unclear);
    assert_eq!(standing, ActionStatus::Passing);
}

#[test]
fn a_few_refusals_condemn_no_write_however_many_others_pass() {
    let mut evidence = evidence(tally(0, 1));
    for n in 1..=5 {
        let expected = if n < 5 {
            Attribution::Alone
        } else {
            Attribution::Record
        };
        assert_eq!(evidence.refused(s(30), tally(10_000 * n, n)), expected);
    }
}

#[test]
fn a_pause_is_longer_than_the_longest_delay_and_an_answer() {
    let mut access = Access::new(s(300));
    let over = [0, 310, 620].map(|second| access.refused(s(second), &unrecognized()));
    assert_eq!(over, [false, false, true]);
}

#[test]
fn as_many_codes_as_are_told_apart_each_keep_their_refusals() {
    let refusal = |n: u64| -> ServiceError {
        Failure::new(ErrorClass::Fatal, format!("Code{n}Exception")).into()
    };
    let ended = |codes: u64| {
        let mut access = Access::new(s(10));
        let mut ended = false;
        for n in 0..100 * codes {
            ended |= access.refused(Duration::from_millis(500 * n / codes), &refusal(n % codes));
        }
        ended
    };
    assert!(ended(16));
    assert!(!ended(17), "the oldest makes room");
}
