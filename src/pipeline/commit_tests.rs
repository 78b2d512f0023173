//! The machine of transactions: what follows what.

use proptest::prelude::*;

use super::*;

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Again),
        Just(Verdict::Abort),
        Just(Verdict::Renew),
        Just(Verdict::Fenced),
    ]
}

/// The outcomes of steps, by the number that is drawn for each.
fn outcome(step: Step, draw: (u8, Verdict)) -> Outcome {
    match (step, draw) {
        (Step::Pass { .. }, (0..=20, _)) => Outcome::Empty,
        (Step::Wait | Step::Pass { .. }, _) => Outcome::Done,
        (Step::Settle, (number, _)) => Outcome::Settled {
            is_past: number % 3 == 0,
        },
        (Step::Deliver, (0..=20, _)) => Outcome::Undelivered,
        (Step::Deliver, (21..=40, _)) => Outcome::Refused {
            records: 10,
            is_known: false,
        },
        (_, (0..=60, verdict)) => Outcome::Failed(verdict),
        _ => Outcome::Done,
    }
}

proptest! {
    #[test]
    fn whatever_fails_nothing_is_settled_that_was_not_committed_and_no_producer_is_used_for_good(
        draws in proptest::collection::vec((0_u8..=255, verdicts()), 1..200),
    ) {
        let mut commits = Commits::new(Duration::from_secs(1), Duration::from_secs(10));
        let (mut now, mut is_committed, mut is_open) = (Duration::ZERO, false, false);
        // The steps with this producer since something succeeded.
        let mut in_vain = 0;
        for draw in draws {
            // Fences far apart, so that they are no other producer's.
            now += Duration::from_secs(61);
            let step = commits.step();
            match step {
                Step::Begin => prop_assert!(!is_open && !is_committed),
                Step::Pass { .. } | Step::Deliver | Step::SendOffsets | Step::Commit => {
                    prop_assert!(is_open);
                }
                Step::Settle => prop_assert!(is_committed),
                _ => {}
            }
            let outcome = outcome(step, draw);
            match (step, !outcome.is_failure()) {
                (Step::Begin, true) => is_open = true,
                (Step::Commit, true) => (is_open, is_committed) = (false, true),
                (Step::Settle, _) => is_committed = false,
                (Step::Abort | Step::Renew, true) => is_open = false,
                _ => {}
            }
            in_vain = if outcome.is_failure() { in_vain + 1 } else { 0 };
            // The one makes another producer, the other needs none.
            if matches!(step, Step::Renew | Step::Rewind) {
                in_vain = 0;
            }
            prop_assert!(in_vain < 5, "{step:?} again and again");
            prop_assert_eq!(commits.done(now, outcome, draw.0 % 7 == 0), Ok(()));
        }
    }
}

#[test]
fn a_transaction_that_took_too_long_is_no_other_producers() {
    let seconds = Duration::from_secs;
    let mut commits = Commits::new(seconds(1), seconds(10));
    let fence = |commits: &mut Commits, now: u64, took: u64| {
        commits.state = State::Committing;
        commits.began = seconds(now - took);
        commits.done(seconds(now), Outcome::Failed(Verdict::Fenced), false)
    };
    assert_eq!(fence(&mut commits, 100, 10), Ok(()));
    assert_eq!(fence(&mut commits, 120, 11), Ok(()));
    assert_eq!(fence(&mut commits, 130, 1), Ok(()));
    assert_eq!(commits.step(), Step::Renew);
    assert_eq!(fence(&mut commits, 140, 1), Err(End::FencedAgain));
}

#[test]
fn a_transaction_without_records_is_aborted_and_no_failure() {
    let mut commits = Commits::new(Duration::from_secs(1), Duration::from_secs(10));
    commits.state = State::Passing;
    let done = commits.done(Duration::ZERO, Outcome::Empty, false);
    assert_eq!((done, commits.failures()), (Ok(()), 0));
    assert_eq!(commits.step(), Step::Abort);
}

#[test]
fn the_record_at_fault_is_found_by_halves() {
    let mut commits = Commits::new(Duration::from_secs(1), Duration::from_secs(10));
    let mut refuse = |records| {
        commits.state = State::Delivering;
        let outcome = Outcome::Refused {
            records,
            is_known: false,
        };
        commits
            .done(Duration::ZERO, outcome, false)
            .expect("it goes on");
        (commits.most, commits.is_sure())
    };
    assert_eq!(
        refuse(1_000),
        (usize::MAX, false),
        "once may be for a neighbor"
    );
    assert_eq!(refuse(1_000), (500, true));
    assert_eq!(refuse(500), (250, true));
    assert_eq!(refuse(1), (1, true));
}
