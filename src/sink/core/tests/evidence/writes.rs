//! Evidence against a write.

use super::*;

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
