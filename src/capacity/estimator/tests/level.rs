//! The rate itself: growth, cuts, and the known units.

use super::super::level::Level;
use super::*;

/// Returns a level of this rate, of known units.
fn level(known: Option<f64>, rate: f64) -> Level {
    let mut level = Level::new(known);
    level.set(rate);
    level
}

#[test]
fn a_rate_grows_by_its_kind_and_faster_long_after_a_cut() {
    for (known, rate, since_cut, expected) in [
        // By 2 % of the known units, and from 8 s on twice as fast each second.
        (Some(1_000.0), 500.0, 0.0, 520.0),
        (Some(1_000.0), 500.0, 8.0, 520.0),
        (Some(1_000.0), 500.0, 9.0, 540.0),
        (Some(1_000.0), 700.0, 0.0, 720.0),
        // By 10 % of the rate at most, unless that is less than the usual.
        (Some(1_000.0), 500.0, 12.0, 550.0),
        (Some(1_000.0), 100.0, 12.0, 120.0),
        // By 10 % of the known units where the sink is nearly alone.
        (Some(1_000.0), 701.0, 0.0, 801.0),
        (Some(1_000.0), 990.0, 0.0, 1_000.0),
        // By three times the root of an unknown rate, or less where a second is a small sample.
        (None, 400.0, 0.0, 460.0),
        (None, 400.0, 9.0, 480.0),
        (None, 10_000.0, 9.0, 10_600.0),
        (None, 25.0, 0.0, 28.75),
    ] {
        let mut level = level(known, rate);
        level.grow(1.0, Some(since_cut));
        let grown = level.rate();
        assert!(near(grown, expected), "{rate} after {since_cut}: {grown}");
        // In half the time by half.
        let mut level = self::level(known, rate);
        level.grow(0.25, Some(since_cut));
        let most = known.unwrap_or(f64::INFINITY);
        let part = (rate + (expected - rate) / 4.0).min(most);
        assert!(expected == 1_000.0 || near(level.rate(), part));
    }
}

#[test]
fn before_the_first_cut_an_unknown_rate_grows_by_two_thirds_in_a_slot() {
    let mut level = level(None, 100.0);
    level.grow(0.25, None);
    assert!(near(level.rate(), 169.315), "{}", level.rate());
    let mut unlimited = Level::new(None);
    unlimited.grow(1.0, None);
    unlimited.grow(1.0, Some(1.0));
    assert!(unlimited.rate().is_infinite());
}

#[test]
fn a_cut_leaves_a_share_by_what_the_sink_has_or_by_what_is_refused() {
    for (known, rate, excess, expected) in [
        (Some(1_000.0), 1_000.0, 0.0, 850.0),
        (Some(1_000.0), 701.0, 1.0, 595.85),
        (Some(1_000.0), 700.0, 0.0, 385.0),
        (Some(1_000.0), 250.0, 1.0, 162.5),
        (None, 1_000.0, 0.05, 900.0),
        (None, 1_000.0, 0.5, 700.0),
    ] {
        let mut level = level(known, rate);
        level.cut(excess);
        assert!(near(level.rate(), expected), "{rate}: {}", level.rate());
    }
}

#[test]
fn a_rate_stays_within_its_bounds() {
    for (known, set, expected) in [
        (Some(1_000.0), 2_000.0, 1_000.0),
        (Some(1_000.0), 0.5, 1.0),
        (Some(0.25), 0.1, 0.25),
        (None, 0.0, 1.0),
        (None, 1e12, 1e9),
    ] {
        assert_eq!(level(known, set).rate(), expected);
    }
    let mut known = level(Some(1_000.0), 500.0);
    known.restore(800.0);
    assert_eq!(known.rate(), 800.0);
    known.restore(2_000.0);
    assert_eq!(known.rate(), 1_000.0);
    let mut unknown = level(None, 500.0);
    unknown.restore(2_000.0);
    assert_eq!(unknown.rate(), 2_000.0);
}

#[test]
fn shares_are_of_the_known_units() {
    let known = level(Some(1_000.0), 500.0);
    assert!(known.is_known() && known.has_share(0.5) && !known.has_share(0.51));
    assert!(known.may_be_even(500.0) && !known.may_be_even(501.0));
    let unknown = level(None, 500.0);
    assert!(!unknown.is_known() && unknown.has_share(0.9) && !unknown.may_be_even(1.0));
}

#[test]
fn a_rate_follows_the_known_units() {
    let unlimited = f64::INFINITY;
    for (old, rate, new, factor, expected) in [
        (Some(1_000.0), 600.0, Some(2_000.0), Some(2.0), 1_200.0),
        (Some(1_000.0), 600.0, Some(1_000.0), Some(1.0), 600.0),
        // Fewer: all of them where it has half, else it stays.
        (Some(2_000.0), 499.0, Some(1_000.0), Some(1.0), 499.0),
        (Some(2_000.0), 500.0, Some(1_000.0), None, 1_000.0),
        (None, 600.0, None, Some(1.0), 600.0),
        (None, 600.0, Some(1_000.0), None, 1_000.0),
        // No longer known: nothing limits it, unless less was found.
        (Some(1_000.0), 1_000.0, None, None, unlimited),
        (Some(1_000.0), 999.0, None, None, 999.0),
    ] {
        let mut level = level(old, rate);
        assert_eq!(level.set_known(new), factor, "{old:?} to {new:?}");
        assert_eq!(level.rate(), expected, "{old:?} to {new:?}");
        assert_eq!(level.is_known(), new.is_some());
    }
}
