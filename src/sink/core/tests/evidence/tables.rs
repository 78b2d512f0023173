//! Evidence against a table or an action.

use super::*;

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
