//! The rate, cut at once and judged later.

use super::super::control::Control;
use super::super::probe::{Part, Probe, Probes};
use super::*;

/// Returns known units of 1,000 of which a sink has so many, after a cut at second 1 for which so
/// many of 100 were refused.
fn cut(rate: f64, refused: u32) -> Control {
    let mut control = Control::new(0.0, Some(1_000.0), false);
    control.level.set(rate);
    control.cuts.add(0.5, of(100, refused));
    assert!(control.react(1.0, 0.0));
    assert!(control.cuts.is_pending());
    control
}

#[test]
fn a_restored_rate_is_none_lower_and_the_answers_before_say_nothing_of_it() {
    let mut control = cut(900.0, 50);
    control.cuts.add(1.1, of(100, 10));
    control.restore(1.2, 900.0);
    assert_eq!(control.level.rate(), 900.0);
    assert!(!control.cuts.is_pending());
    assert_eq!(control.cuts.seen(), Tally::default());
    control.restore(1.3, 100.0);
    assert_eq!(control.level.rate(), 900.0);
}

#[test]
fn a_cut_of_an_even_share_is_upheld_once_it_has_helped() {
    let mut control = cut(400.0, 20);
    control.cuts.add(1.1, of(100, 0));
    assert!(!control.react(1.2, 0.0));
    assert!(control.cuts.is_pending(), "too early");
    assert!(!control.react(1.3, 0.0));
    assert!(!control.cuts.is_pending());
    assert_eq!(control.cuts.upheld_for(1.3), Some(0.0));
    assert!(near(control.level.rate(), 220.0));
    let mut larger = cut(600.0, 20);
    larger.cuts.add(1.1, of(100, 0));
    assert!(!larger.react(1.3, 0.0));
    assert!(larger.cuts.is_pending(), "a probe judges it");
}

#[test]
fn far_too_fast_a_rate_falls_below_what_is_taken() {
    for (refused, delivered, expected) in [
        (40, 100.0, 0.9 * 0.6 * 765.0),
        (40, 600.0, 0.9 * 600.0),
        (40, 2_000.0, 765.0),
        (70, 100.0, 0.9 * 0.3 * 765.0),
    ] {
        let mut control = cut(900.0, 50);
        control.cuts.add(1.1, of(100, refused));
        assert!(!control.react(1.2, delivered), "too early");
        assert!(control.react(1.3, delivered));
        let rate = control.level.rate();
        assert!(near(rate, expected), "{refused}, {delivered}: {rate}");
        let is_background = refused < 60;
        assert_eq!(control.cuts.is_pending(), is_background);
    }
}

#[test]
fn a_cut_is_deepened_by_the_excess_that_is_certain() {
    for (after, expected) in [
        // 500 refused, less 14.8 within the margin, less the threshold of 5.3.
        (of(1_000, 500), 765.0 * (1.0 - 0.479_937) * 0.9),
        (of(1_000, 280), 765.0 * (1.0 - 0.259_937) * 0.9),
        (of(1_000, 260), 765.0),
    ] {
        let mut control = cut(900.0, 50);
        control.cuts.add(1.1, after);
        control.deepen();
        let rate = control.level.rate();
        assert!((rate - expected).abs() < 0.1, "{after:?}: {rate}");
    }
    let mut none_pending = Control::new(0.0, Some(1_000.0), false);
    none_pending.cuts.add(1.1, of(1_000, 500));
    none_pending.deepen();
    assert_eq!(none_pending.level.rate(), 1_000.0);
}

/// Returns a probe that is over, in which so many were refused.
fn probe(seen: Tally) -> Probe {
    let mut probes = Probes::new(0.0);
    probes.begin(1.0, 2.0, 1.0);
    probes.answered(1.5, seen);
    match probes.answered(2.0, of(1, 0)) {
        Part::After(probe) => probe,
        Part::Inside | Part::Outside => panic!("it is over"),
    }
}

#[test]
fn a_few_refusals_cut_an_even_share_and_those_of_an_index() {
    for (rate, is_certain, cuts) in [
        (400.0, false, true),
        (600.0, false, false),
        (600.0, true, true),
    ] {
        let mut control = Control::new(0.0, Some(1_000.0), is_certain);
        control.level.set(rate);
        control.cuts.add(0.5, of(100, 2));
        assert_eq!(control.react(1.0, 0.0), cuts, "{rate}, {is_certain}");
    }
}

#[test]
fn the_first_refusals_make_a_rate_of_what_was_taken_after_a_second() {
    for (now, rate) in [(3.9, 1_000.0), (4.0, 800.0), (9.0, 800.0)] {
        let mut control = Control::new(3.0, None, false);
        control.cuts.add(3.5, of(100, 50));
        assert!(control.react(now, 800.0));
        assert_eq!(control.level.rate(), rate, "{now}");
        assert!(!control.cuts.is_pending());
        assert_eq!(control.cuts.seen(), Tally::default());
    }
}

#[test]
fn answers_after_a_cut_that_agree_with_a_large_probe_make_it_larger() {
    // The score of 600 of 1,000 shows by its margin how many writes were measured.
    for (seen, after, score) in [
        (of(200, 100), of(400, 200), 69.38),
        (of(100, 50), of(400, 200), 66.46),
        (of(200, 100), of(400, 40), 46.97),
        (of(50, 25), of(400, 200), -6.07),
    ] {
        let mut control = cut(900.0, 50);
        control.cuts.add(1.1, after);
        control.judge(2.0, probe(seen));
        let found = control.background.score(of(1_000, 600));
        let share = control.background.share();
        assert!(
            share < 0.5 || (found - score).abs() < 1.0,
            "{seen:?}: {found}"
        );
    }
    let mut control = cut(900.0, 50);
    control.judge(2.0, probe(of(200, 200)));
    assert!(control.background.is_none() && control.cuts.is_pending());
}

#[test]
fn a_cut_that_the_background_explains_is_undone_unless_the_share_is_even() {
    let mut control = cut(900.0, 50);
    control.cuts.add(1.1, of(400, 200));
    control.judge(2.0, probe(of(200, 100)));
    assert_eq!(control.level.rate(), 900.0);
    assert!(!control.cuts.is_pending());
    let mut even = cut(400.0, 4);
    even.judge(2.0, probe(of(200, 0)));
    assert!(near(even.level.rate(), 220.0));
    assert_eq!(even.cuts.upheld_for(2.0), Some(0.0));
}
