//! Refusals and their evidence, by themselves.

use super::*;
use crate::sink::core::access::{Standing, Suspect, Suspicion, Tally, Why};

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
            for why in [Why::Denied, Why::Unclear] {
                let standing = access.action_refused(now, PUTS, why);
                assert_eq!(standing, Standing::Passing);
            }
        }
        access.failed(PUTS);
    }
    // Failures in between do not hold a verdict up for ever.
    let mut access = Access::new(s(10));
    let mut refused = 0;
    while !access.refused(s(refused), &unrecognized()) {
        refused += 1;
        if refused % 5 == 0 {
            access.failed(PUTS);
        }
    }
    assert!((36..40).contains(&refused), "{refused}");
    // Another action's say nothing of this one's.
    let mut access = Access::new(s(10));
    for now in 0..30 {
        access.action_refused(s(now), UPDATES, Why::Denied);
        access.failed(PUTS);
    }
    let standing = access.action_refused(s(30), UPDATES, Why::Denied);
    assert_eq!(standing, Standing::Refused);
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
        access.action_refused(s(0), UPDATES, Why::Denied),
        Standing::Passing
    );
    assert_eq!(
        access.action_refused(s(29), UPDATES, Why::Denied),
        Standing::Passing
    );
    assert_eq!(
        access.action_refused(s(30), UPDATES, Why::Denied),
        Standing::Refused
    );
    assert!(access.close(s(30), UPDATES, denied()));
    assert!(access.closed(s(59), UPDATES).is_some());
    assert!(access.closed(s(59), PUTS).is_none());
    assert!(access.closed(s(60), UPDATES).is_none());
    assert_eq!(
        access.action_refused(s(61), UPDATES, Why::Denied),
        Standing::Closed
    );
    assert!(!access.close(s(61), UPDATES, denied()), "no news");
    access.succeeded(s(95), UPDATES);
    assert!(access.closed(s(95), UPDATES).is_none());
    assert_eq!(
        access.action_refused(s(96), UPDATES, Why::Denied),
        Standing::Passing
    );
}

#[test]
fn refusals_beside_successes_last_and_close_nothing() {
    let mut access = Access::new(s(10));
    access.succeeded(s(0), PUTS);
    for now in 1..100 {
        let lasting = now >= 31;
        let expected = if lasting {
            Standing::Partial
        } else {
            Standing::Passing
        };
        assert_eq!(
            access.action_refused(s(now), PUTS, Why::Denied),
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
        access.action_refused(s(151), PUTS, Why::Denied),
        Standing::Passing
    );
}

#[test]
fn what_is_let_in_beside_them_does_not_end_refusals() {
    let mut access = Access::new(s(10));
    let mut standing = Standing::Passing;
    for now in 0..40 {
        access.succeeded(s(now), PUTS);
        access.allowed(PUTS);
        standing = access.action_refused(s(now), PUTS, Why::Denied);
    }
    assert_eq!(standing, Standing::Partial);
}

#[test]
fn another_action_works_while_it_is_open_and_was_carried_out_since_the_first_was_denied() {
    let mut access = Access::new(s(10));
    for now in [0, 20, 40] {
        access.action_refused(s(now), PUTS, Why::Denied);
        access.succeeded(s(now), UPDATES);
    }
    access.close(s(40), PUTS, denied());
    for minute in 2..10 {
        let standing = access.action_refused(s(60 * minute), PUTS, Why::Denied);
        assert_eq!(standing, Standing::Closed);
        assert!(access.others_work(s(60 * minute), PUTS));
        access.close(s(60 * minute), PUTS, denied());
    }
    for now in [600, 620, 640] {
        access.action_refused(s(now), UPDATES, Why::Denied);
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

fn suspicion(tally: Tally) -> Suspicion {
    Suspicion::new(s(0), 0, PUTS, Why::Denied, tally)
}

#[test]
fn only_refusals_between_successes_make_a_write_the_cause_and_not_before_the_grace_is_over() {
    let mut suspicion = suspicion(tally(7, 1));
    for n in 1..=100 {
        assert_eq!(
            suspicion.refused(s(n), tally(7, n)),
            Suspect::OneOfAll,
            "nothing passes"
        );
    }
    for n in 1..8 {
        assert_eq!(
            suspicion.refused(s(100), tally(7 + n, 100 + n)),
            Suspect::Alone,
            "a few others prove little"
        );
    }
    assert_eq!(suspicion.refused(s(100), tally(15, 108)), Suspect::Cause);
    let mut suspicion = self::suspicion(tally(0, 1));
    for n in 1..100 {
        assert_eq!(suspicion.refused(s(29), tally(n, n)), Suspect::Alone);
    }
    assert_eq!(suspicion.refused(s(30), tally(100, 100)), Suspect::Cause);
}

#[test]
fn a_write_is_not_the_cause_where_others_are_refused_as_often() {
    // A single refusal of others counts.
    let mut suspicion = self::suspicion(tally(0, 1));
    for n in 1..=8 {
        assert_eq!(suspicion.refused(s(100), tally(n, n + 1)), Suspect::Alone);
    }
    // Nine requests in ten are refused, of others too.
    let mut suspicion = self::suspicion(tally(0, 1));
    let mut refused = 0;
    while suspicion.refused(s(100), tally(refused + 1, 10 * refused + 9)) != Suspect::Cause {
        refused += 1;
    }
    assert!((150..200).contains(&refused), "{refused}");
}

#[test]
fn denials_are_evidence_against_a_key_and_other_refusals_against_a_write() {
    for (operation, why, expected) in [
        (PUTS, Why::Denied, true),
        (PUTS, Why::Unclear, false),
        (UPDATES, Why::Denied, false),
    ] {
        let first = suspicion(tally(0, 1));
        assert!(first.concerns(0, operation, why), "the same write");
        assert_eq!(first.concerns(1, operation, why), expected);
    }
    let transaction = Operation::TransactWriteItems;
    let first = Suspicion::new(s(0), 0, transaction, Why::Denied, tally(0, 1));
    assert!(
        !first.concerns(1, transaction, Why::Denied),
        "it has other keys"
    );
}

#[test]
fn blips_that_a_success_parts_never_add_up() {
    let mut access = Access::new(s(10));
    // Refused for a moment each 25 s, and carried out after it.
    for blip in 0..40 {
        for why in [Why::Denied, Why::Unclear] {
            let standing = access.action_refused(s(25 * blip), UPDATES, why);
            assert_ne!(standing, Standing::Refused, "{blip}");
        }
        access.succeeded(s(25 * blip + 1), UPDATES);
    }
    for second in 1_000..1_010 {
        let standing = access.action_refused(s(second), UPDATES, Why::Denied);
        assert_ne!(standing, Standing::Refused, "ten seconds are no verdict");
    }
    // Nor do those that are far apart.
    let mut access = Access::new(s(10));
    for blip in 0..10 {
        assert!(!access.refused(s(1_200 * blip), &unrecognized()));
        let standing = access.action_refused(s(1_200 * blip), PUTS, Why::Denied);
        assert_eq!(standing, Standing::Passing);
    }
}

#[test]
fn attempts_that_are_far_apart_come_to_a_verdict_too() {
    let mut access = Access::new(s(300));
    let standings = [0, 290, 580].map(|second| {
        assert_eq!(access.refused(s(second), &unrecognized()), second == 580);
        access.action_refused(s(second), UPDATES, Why::Denied)
    });
    assert_eq!(standings[2], Standing::Refused);
    access.close(s(580), UPDATES, denied());
    access.allowed(UPDATES);
    assert!(access.closed(s(581), UPDATES).is_none(), "it was let in");
    let standing = access.action_refused(s(582), UPDATES, Why::Denied);
    assert_eq!(standing, Standing::Passing);
}

#[test]
fn two_blips_with_nothing_sent_between_are_not_an_outage() {
    let mut access = Access::new(s(10));
    assert!(!access.refused(s(0), &unrecognized()));
    assert!(!access.refused(s(40), &unrecognized()));
    let mut access = Access::new(s(10));
    assert_eq!(
        access.action_refused(s(0), PUTS, Why::Unclear),
        Standing::Passing
    );
    assert_eq!(
        access.action_refused(s(20), PUTS, Why::Unclear),
        Standing::Passing
    );
    assert_eq!(
        access.action_refused(s(40), PUTS, Why::Unclear),
        Standing::Refused
    );
    assert_eq!(
        access.action_refused(s(40), PUTS, Why::Denied),
        Standing::Passing
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
    for why in [Why::Denied, Why::Unclear] {
        let mut access = Access::new(s(20));
        for moment in [0, 36] {
            for tenth in 0..3 {
                let now = s(moment) + Duration::from_millis(100 * tenth);
                let standing = access.action_refused(now, PUTS, why);
                assert_eq!(standing, Standing::Passing);
            }
            access.failed(PUTS);
        }
    }
}

#[test]
fn only_successes_since_the_first_refusal_are_beside_it() {
    let mut access = Access::new(s(10));
    access.succeeded(s(0), PUTS);
    let refused = |access: &mut Access, now| access.action_refused(s(now), PUTS, Why::Unclear);
    assert_eq!(refused(&mut access, 1), Standing::Passing);
    access.succeeded(s(2), PUTS);
    assert_eq!(refused(&mut access, 3), Standing::Partial);
}

#[test]
fn what_closed_an_action_says_nothing_of_refusals_with_an_unknown_code() {
    let mut access = Access::new(s(10));
    access.close(s(0), UPDATES, denied());
    let standing = access.action_refused(s(31), UPDATES, Why::Unclear);
    assert_eq!(standing, Standing::Passing);
}

#[test]
fn a_few_refusals_condemn_no_write_however_many_others_pass() {
    let mut suspicion = suspicion(tally(0, 1));
    for n in 1..=5 {
        let expected = if n < 5 {
            Suspect::Alone
        } else {
            Suspect::Cause
        };
        assert_eq!(suspicion.refused(s(30), tally(10_000 * n, n)), expected);
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
