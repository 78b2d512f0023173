//! Refusals that end, and come again at a far lower rate.

use super::super::background::Background;
use super::super::recurrence::{Finding, Recurrence};
use super::*;

/// Answers 25 writes each 25 ms for a quarter of a second, with so many of each refused. Returns
/// the finding, and when it was.
fn slot(recurrence: &mut Recurrence, from: f64, refused: u32) -> Option<(f64, Finding)> {
    (0..=10).find_map(|request| {
        let now = from + f64::from(request) * 0.025;
        let finding = recurrence.answered(now, of(25, refused), Background::new());
        finding.map(|finding| (now, finding))
    })
}

/// Returns the rate that is tried after refusals that began at these times and rates, each of which
/// ended within a slot. None is tried before the last.
fn tried(recurrence: &mut Recurrence, cuts: &[(f64, f64)]) -> Option<f64> {
    let mut last = None;
    for &(now, rate) in cuts {
        assert!(last.is_none(), "{last:?}");
        recurrence.cut(now, rate);
        last = match slot(recurrence, now, 0) {
            Some((_, Finding::Try(rate))) => Some(rate),
            Some((_, Finding::Failed(_))) => panic!("none is tried"),
            None => None,
        };
    }
    assert_eq!(recurrence.tries(), last.is_some());
    last
}

#[test]
fn a_rate_of_before_is_tried_where_refusals_begin_below_55_percent_of_it() {
    for (again, rate, expected) in [
        (20.0, 540.0, Some(1_000.0)),
        (20.0, 560.0, None),
        (39.9, 540.0, Some(1_000.0)),
        (40.0, 540.0, None),
    ] {
        let mut recurrence = Recurrence::new(0.0);
        let found = tried(&mut recurrence, &[(10.0, 1_000.0), (again, rate)]);
        assert_eq!(found, expected, "{rate} at {again}");
    }
    // The highest of late counts, until a higher one comes.
    let mut recurrence = Recurrence::new(0.0);
    let cuts = [(10.0, 1_000.0), (20.0, 600.0), (30.0, 540.0)];
    assert_eq!(tried(&mut recurrence, &cuts), Some(1_000.0));
    let mut recurrence = Recurrence::new(0.0);
    let cuts = [(10.0, 1_000.0), (20.0, 1_500.0), (45.0, 800.0)];
    assert_eq!(tried(&mut recurrence, &cuts), Some(1_500.0));
    let mut recurrence = Recurrence::new(0.0);
    let cuts = [(5.0, f64::INFINITY), (10.0, 1_000.0), (20.0, 800.0)];
    assert_eq!(tried(&mut recurrence, &cuts), None);
}

#[test]
fn a_rate_is_tried_once_the_refusals_have_ended_for_a_slot() {
    let mut recurrence = Recurrence::new(0.0);
    tried(&mut recurrence, &[(10.0, 1_000.0)]);
    recurrence.cut(20.0, 500.0);
    assert!(slot(&mut recurrence, 20.0, 5).is_none(), "they go on");
    recurrence.cut(20.2, 400.0);
    let (at, _) = slot(&mut recurrence, 20.26, 0).expect("tried");
    assert!(at > 20.49, "{at}");
    // Of few writes it takes longer.
    let mut recurrence = Recurrence::new(0.0);
    tried(&mut recurrence, &[(10.0, 1_000.0)]);
    recurrence.cut(20.0, 500.0);
    let answer = |recurrence: &mut Recurrence, now| {
        let finding = recurrence.answered(now, of(10, 0), Background::new());
        finding.is_some()
    };
    assert!(!answer(&mut recurrence, 21.0));
    assert!(answer(&mut recurrence, 22.0));
}

#[test]
fn a_trial_fails_by_what_is_refused_in_excess() {
    // Of a lower rate by half, by two fifths of that half; else by 15 %.
    for (lower, refused, fails) in [(500.0, 21, true), (500.0, 19, false), (540.0, 19, true)] {
        let mut recurrence = Recurrence::new(0.0);
        tried(&mut recurrence, &[(10.0, 1_000.0), (20.0, lower)]).expect("tried");
        let answer =
            |recurrence: &mut Recurrence, now, of| recurrence.answered(now, of, Background::new());
        assert!(
            answer(&mut recurrence, 20.29, of(100, 50)).is_none(),
            "too early"
        );
        let after = answer(&mut recurrence, 20.4, of(900, refused * 10 - 50));
        assert_eq!(after.is_some(), fails, "{refused} % of {lower}");
        assert_eq!(recurrence.tries(), !fails);
        if let Some(after) = after {
            assert!(matches!(after, Finding::Failed(rate) if rate == lower));
            let next = [(22.0, lower * 0.6), (23.0, lower * 0.5)];
            let next = tried(&mut recurrence, &next);
            assert_eq!(next, Some(lower), "the lower rate is the highest now");
        }
    }
    let mut recurrence = Recurrence::new(0.0);
    tried(&mut recurrence, &[(10.0, 1_000.0), (20.0, 500.0)]).expect("tried");
    let few = recurrence.answered(20.4, of(49, 40), Background::new());
    assert!(few.is_none());
    let enough = recurrence.answered(20.4, of(1, 0), Background::new());
    assert!(enough.is_some());
}

#[test]
fn where_a_trial_passes_refusals_are_unrelated_for_half_a_minute() {
    let mut recurrence = Recurrence::new(0.0);
    tried(&mut recurrence, &[(10.0, 1_000.0), (20.0, 500.0)]).expect("tried");
    let mut answer = |now| {
        let finding = recurrence.answered(now, of(100, 5), Background::new());
        assert!(finding.is_none());
        recurrence.tries()
    };
    assert!(answer(21.2), "for a second");
    assert!(!answer(21.3));
    // Each cut ends with its refusals, whatever the rate.
    assert_eq!(tried(&mut recurrence, &[(30.0, 900.0)]), Some(900.0));
    // It fails at 15 % at least.
    let failing = |refused| {
        let mut recurrence = recurrence.clone();
        let finding = recurrence.answered(30.5, of(1_000, refused), Background::new());
        finding.is_some()
    };
    assert!(failing(151) && !failing(149));
    recurrence.answered(30.5, of(1_000, 300), Background::new());
    assert_eq!(tried(&mut recurrence, &[(31.0, 900.0)]), None, "no more");
}

#[test]
fn a_rate_that_passed_is_the_highest_of_late() {
    let mut recurrence = Recurrence::new(0.0);
    tried(&mut recurrence, &[(10.0, 1_000.0), (30.0, 500.0)]).expect("tried");
    recurrence.answered(31.3, of(100, 0), Background::new());
    assert_eq!(tried(&mut recurrence, &[(61.2, 500.0)]), Some(1_000.0));
    let mut recurrence = Recurrence::new(0.0);
    tried(&mut recurrence, &[(10.0, 1_000.0), (30.0, 500.0)]).expect("tried");
    recurrence.answered(31.3, of(100, 0), Background::new());
    assert_eq!(tried(&mut recurrence, &[(61.4, 500.0)]), None);
}

/// A rate that is tried, since refusals ended that had begun at half of the rate before.
struct Tried {
    estimator: Estimator,
    now: u64,
    /// The rates at which refusals began, first and then.
    before: f64,
    begun: f64,
}

fn limit(estimator: &Estimator) -> f64 {
    estimator.rate().expect("limited")
}

impl Tried {
    fn new() -> Self {
        let mut estimator = estimator(None);
        drive(&mut estimator, 25..6_000, |_| 0);
        // The first refusals make a rate of what was delivered, and no cut yet.
        drive(&mut estimator, 6_000..6_100, |_| 20);
        let before = limit(&estimator);
        drive(&mut estimator, 6_100..6_600, |_| 20);
        drive(&mut estimator, 6_600..9_000, |_| 0);
        let begun = limit(&estimator);
        assert!(begun < 0.6 * before, "{begun}");
        drive(&mut estimator, 9_000..9_100, |_| 20);
        let lower = limit(&estimator);
        let mut now = 9_100;
        while limit(&estimator) <= 1.2 * lower {
            drive(&mut estimator, now..now + 25, |_| 0);
            now += 25;
            assert!(now < 10_000, "it is tried: {lower} of {before}");
        }
        Self {
            estimator,
            now,
            before,
            begun,
        }
    }
}

#[test]
fn where_refusals_end_and_begin_again_far_lower_the_rate_of_before_is_tried() {
    for refused in [0, 2] {
        let mut tried = Tried::new();
        let rate = limit(&tried.estimator);
        assert!(rate > 0.6 * tried.before, "{rate}");
        let now = tried.now;
        drive(&mut tried.estimator, now..now + 900, |_| refused);
        let after = limit(&tried.estimator);
        assert!(after >= rate, "meanwhile it is not cut: {after}");
    }
}

#[test]
fn a_rate_that_is_refused_when_tried_is_cut_from_the_lower_one() {
    let mut tried = Tried::new();
    let rate = limit(&tried.estimator);
    let mut reaction = Reaction::default();
    while limit(&tried.estimator) >= rate {
        reaction = drive(&mut tried.estimator, tried.now..tried.now + 25, |_| 20);
        tried.now += 25;
        assert!(tried.now < 11_000, "refused at once, it is given up");
    }
    let after = limit(&tried.estimator);
    let expected = 0.7 * tried.begun;
    assert!((after / expected - 1.0).abs() < 0.05, "{after}, {expected}");
    assert!(near(reaction.hold_back, 0.1 * after), "{reaction:?}");
}
