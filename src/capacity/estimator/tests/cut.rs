//! The last cut, and the answers since then.

use super::super::background::Background;
use super::super::cut::Cuts;
use super::*;

/// Returns a pending cut at second 10 of a rate of 1,000, after so many of 100 were refused.
fn pending(refused: u32) -> Cuts {
    let mut cuts = Cuts::new(0.0, true);
    cuts.add(5.0, of(100, refused));
    cuts.begin(10.0, 1_000.0);
    cuts
}

#[test]
fn answers_count_by_the_time_at_which_their_request_was_sent() {
    let mut cuts = Cuts::new(2.0, false);
    assert!(!cuts.add(1.9, of(10, 1)));
    assert_eq!(cuts.seen(), Tally::default());
    assert!(cuts.add(2.0, of(10, 2)) && cuts.add(3.0, of(10, 3)));
    assert_eq!(cuts.seen(), of(20, 5));
    assert_eq!(cuts.around(), of(20, 5), "no cut is pending");
    cuts.forget_seen();
    assert!(cuts.add(2.0, of(10, 2)), "those in flight still count");
    cuts.forget_sent(4.0);
    assert_eq!(cuts.seen(), Tally::default());
    assert!(!cuts.add(3.9, of(10, 2)) && cuts.add(4.0, of(10, 2)));
    assert_eq!(cuts.since(6.5), 2.5);
}

#[test]
fn a_cut_is_pending_until_it_is_upheld_or_undone() {
    let mut cuts = pending(20);
    assert!(cuts.is_pending());
    assert_eq!(cuts.rate_before(), Some(1_000.0));
    assert_eq!(cuts.seen(), Tally::default(), "none since the cut");
    assert_eq!(cuts.upheld_for(11.0), Some(11.0), "since the beginning");
    cuts.add(10.0, of(50, 5));
    assert_eq!(cuts.around(), of(150, 25));
    cuts.scale(Some(2.0));
    assert_eq!(cuts.rate_before(), Some(2_000.0));
    assert_eq!(cuts.around(), of(150, 25));
    let mut undone = pending(20);
    assert_eq!(undone.undo(12.0), Some(1_000.0));
    assert!(!undone.is_pending());
    assert_eq!(undone.since(13.0), 1.0);
    assert_eq!(undone.upheld_for(13.0), Some(13.0));
    undone.uphold(13.0);
    assert_eq!(undone.upheld_for(13.0), Some(13.0), "there is none");
    cuts.uphold(12.0);
    assert!(!cuts.is_pending());
    assert_eq!(cuts.upheld_for(13.0), Some(1.0));
    assert_eq!(cuts.since(13.0), 1.0);
    let mut forgotten = pending(20);
    forgotten.scale(None);
    assert!(!forgotten.is_pending());
    assert_eq!(Cuts::new(0.0, false).upheld_for(1.0), None);
}

#[test]
fn the_background_explains_a_cut_below_half_of_the_threshold() {
    let background = Background::new();
    // The threshold is 5.28, and 1.48 of 100 are within the margin.
    assert!(pending(4).is_explained_by(background));
    assert!(!pending(5).is_explained_by(background));
    assert!(!Cuts::new(0.0, true).is_explained_by(background));
}

#[test]
fn a_cut_has_helped_if_a_quarter_is_left_after_a_slot() {
    let none = Background::new();
    let helped = |refused, at, background| {
        let mut cuts = pending(20);
        cuts.add(10.0, of(100, refused));
        cuts.has_helped(at, background)
    };
    assert!(helped(5, 10.3, none));
    assert!(!helped(6, 10.3, none));
    assert!(!helped(5, 10.25, none), "too early");
    let mut background = none;
    background.learn(of(200, 100), 200.0, Some(of(100, 1)));
    assert!(helped(5, 10.3, background), "hardly any background");
    background.learn(of(1_000, 500), 1_000.0, Some(of(100, 5)));
    assert!(!helped(5, 10.3, background), "a probe has to tell");
    assert!(!Cuts::new(0.0, true).has_helped(1.0, none));
}

#[test]
fn far_too_fast_is_more_than_the_largest_background_once_for_each_cut() {
    let none = Background::new();
    let far = |after, at, is_known| {
        let mut cuts = pending(20);
        cuts.add(10.0, after);
        let far = cuts.take_far_too_fast(at, none, is_known);
        assert!(!cuts.take_far_too_fast(at, none, is_known), "once");
        far
    };
    assert!(far(of(100, 61), 10.25, false));
    assert!(!far(of(100, 60), 10.25, false));
    assert!(!far(of(100, 61), 10.24, false), "too early");
    assert!(!far(of(99, 70), 10.25, false), "too few");
    assert!(!far(of(100, 100), 10.25, false), "an outage, it may be");
    // Of known units without a background, half of that.
    assert!(far(of(100, 31), 10.25, true));
    assert!(!far(of(100, 30), 10.25, true));
    let mut background = none;
    background.learn(of(1_000, 500), 1_000.0, Some(of(100, 5)));
    let mut cuts = pending(20);
    cuts.add(10.0, of(100, 60));
    assert!(!cuts.take_far_too_fast(10.5, background, true));
    let mut none_pending = Cuts::new(0.0, true);
    none_pending.add(1.0, of(100, 90));
    assert!(!none_pending.take_far_too_fast(10.5, none, true));
}
