//! The background share, by its numbers.

use super::super::background::{Background, Refunds};
use super::*;

/// Returns a background of this share, measured by so many writes.
fn measured(share: f64, writes: f64) -> Background {
    let mut background = Background::new();
    let probe = tally(writes, share * writes);
    background.learn(probe, writes, Some(tally(1.0, 1.0)));
    assert!(near(background.share(), share));
    background
}

/// Returns the margin above the share, as the score shows it.
fn margin(background: Background) -> f64 {
    -background.score(tally(1.0, 0.0)) - background.share()
}

#[test]
fn the_share_of_no_writes_is_zero() {
    assert_eq!(Tally::default().share(), 0.0);
    assert_eq!(of(4, 1).share(), 0.25);
}

#[test]
fn the_margin_is_one_and_a_half_standard_errors_and_at_least_half_a_point() {
    for (background, expected) in [
        (Background::new(), 0.014_779),
        (measured(0.2, 1_000.0), 0.018_995),
        (measured(0.2, 20_000.0), 0.005),
    ] {
        assert!(near(margin(background), expected), "{background:?}");
        let score = background.score(of(1_000, 300));
        let explained = 1_000.0 * (background.share() + expected);
        assert!((score - (300.0 - explained)).abs() < 1e-2, "{score}");
    }
}

#[test]
fn the_rate_is_too_high_beyond_a_threshold_that_grows_with_the_background() {
    for (background, expected) in [
        (Background::new(), 5.284),
        (measured(0.2, 1_000.0), 44.21),
        (measured(0.2, 100_000.0), 162.0),
    ] {
        let threshold = background.threshold();
        assert!((threshold - expected).abs() < 0.01, "{threshold}");
    }
}

#[test]
fn the_excess_is_a_share_of_what_the_background_leaves() {
    let background = measured(0.2, 100_000.0);
    assert!(near(background.excess(of(100, 60)), 0.5));
    assert!(near(background.excess(of(100, 20)), 0.0));
    // 600 refused, less 205 of the background and its margin, less the threshold of 162.
    let certain = background.certain_excess(of(1_000, 600));
    assert!((certain - 233.0 / 800.0).abs() < 1e-4, "{certain}");
    assert_eq!(background.certain_excess(of(1_000, 200)), 0.0);
    assert_eq!(background.certain_excess(Tally::default()), 0.0);
    let none = measured(0.0, 100_000.0);
    assert_eq!(none.certain_excess(of(1_000_000, 1_000_000)), 0.95);
}

#[test]
fn two_shares_agree_within_two_standard_errors_of_their_difference() {
    let background = Background::new();
    let agree = |one, other| background.agree(one, other);
    assert!(agree(of(100, 20), of(100, 20)));
    assert!(agree(of(100, 20), of(100, 31)) && agree(of(100, 20), of(100, 9)));
    assert!(!agree(of(100, 20), of(100, 32)) && !agree(of(100, 20), of(100, 8)));
    assert!(agree(of(100, 20), of(400, 115)));
    assert!(!agree(of(100, 20), of(400, 116)));
    // Where none of the first are refused, by the variance of the background.
    assert!(agree(of(100, 0), of(100, 2)));
    assert!(!agree(of(100, 0), of(100, 3)));
    assert!(agree(of(100, 4), Tally::default()));
    assert!(!agree(of(100, 90), Tally::default()));
}

#[test]
fn usual_probes_are_averaged_ten_at_a_time() {
    let mut background = Background::new();
    background.learn(of(100, 2), 100.0, None);
    assert!(near(background.share(), 0.01), "half of the weight");
    for _ in 0..30 {
        background.learn(of(100, 2), 100.0, None);
    }
    for (refused, moved) in [(5, 0.003), (0, -0.002)] {
        let mut background = background;
        let before = background.share();
        background.learn(of(100, refused), 100.0, None);
        let by = background.share() - before;
        assert!((by - moved).abs() < 1e-4, "a tenth of the weight: {by}");
    }
    // Answers after a cut that say the same make a probe larger, which then decides alone.
    background.learn(of(5_000, 150), 100.0, None);
    assert!(near(background.share(), 0.03), "{background:?}");
}

#[test]
fn a_single_refusal_of_a_small_probe_is_averaged() {
    let mut background = measured(0.0, 100_000.0);
    background.learn(of(10, 1), 10_000.0, None);
    assert!(background.share() > 0.0);
    assert!(background.share() < 0.001);
}

#[test]
fn a_probe_is_usual_within_three_standard_errors() {
    let background = measured(0.2, 100_000.0);
    for (refused, believed) in [(8, false), (7, true)] {
        let mut background = background;
        background.learn(of(100, refused), 100.0, None);
        let share = background.share();
        assert_eq!(near(share, f64::from(refused) / 100.0), believed, "{share}");
    }
    // Of few writes measured, the error of what is measured counts too.
    let mut background = measured(0.2, 100.0);
    background.learn(of(100, 4), 100.0, None);
    assert!(near(background.share(), 0.12), "averaged: {background:?}");
}

#[test]
fn a_far_lower_share_is_believed_at_once_and_a_far_higher_one_up_to_that_around_a_cut() {
    let mut lower = measured(0.3, 1_000.0);
    lower.learn(of(200, 10), 200.0, None);
    assert!(near(lower.share(), 0.05));
    assert!(near(margin(lower), margin(measured(0.05, 200.0))));
    let mut alone = measured(0.05, 1_000.0);
    alone.learn(of(200, 80), 200.0, None);
    assert!(
        near(alone.share(), 0.05),
        "an overload, for all that is known"
    );
    let mut higher = measured(0.05, 1_000.0);
    higher.learn(of(200, 80), 200.0, Some(of(100, 30)));
    assert!(near(higher.share(), 0.3));
    assert!(near(margin(higher), margin(measured(0.3, 200.0))));
    higher.learn(of(400, 380), 400.0, Some(of(100, 90)));
    assert_eq!(higher.share(), 0.6, "the most that is measured");
}

#[test]
fn as_many_refused_writes_are_given_back_as_the_background_explains() {
    let mut refunds = Refunds::default();
    assert!(near(refunds.take(of(100, 20), 0.1, 0.0), 0.5));
    assert_eq!(refunds.take(of(100, 0), 0.1, 0.0), 0.0);
    // Ten were left, and one comes of these ten.
    assert!(near(refunds.take(of(10, 10), 0.1, 0.0), 1.0));
    assert!(
        near(refunds.take(of(10, 10), 0.1, 0.0), 0.2),
        "two are left"
    );
    // One in ten singly, and one in five of the others alone.
    let mut refunds = Refunds::default();
    assert!(near(refunds.take(of(100, 50), 0.1, 0.2), 0.56));
    let mut refunds = Refunds::default();
    refunds.take(of(10_000, 0), 0.5, 0.0);
    let refund = refunds.take(of(200, 200), 0.0, 0.0);
    assert!(
        near(refund, 0.5),
        "no more than a hundred are remembered: {refund}"
    );
}
