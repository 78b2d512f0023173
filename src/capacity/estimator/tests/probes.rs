//! The slots in which less is sent.

use super::super::probe::{Part, Probes, slot_seconds};
use super::*;

/// A time of day, at which a slot of each length begins.
const OPENED: f64 = 1_800_000_000.0;

/// The places of the probes in the first groups of four slots from then on.
const DRAWN: [u32; 32] = [
    2, 2, 1, 2, 2, 1, 0, 3, 1, 3, 3, 1, 3, 3, 1, 1, 3, 1, 1, 1, 2, 2, 0, 3, 1, 0, 0, 3, 2, 1, 3, 2,
];

/// Returns the numbers of the slots with a probe, of so many since the sink was opened. Requests
/// are refused all the time.
fn probed(slots: u32) -> Vec<u32> {
    let mut probes = Probes::new(OPENED);
    let mut probed = Vec::new();
    for slot in 0..slots {
        let now = f64::from(slot) * 0.25;
        probes.refused(now);
        if let Some(end) = probes.due(now, 1_000.0) {
            assert_eq!(end, now + 0.25);
            probed.push(slot);
        }
        assert_eq!(probes.due(now + 0.1, 1_000.0), None, "a slot begins once");
    }
    probed
}

#[test]
fn a_slot_is_as_long_as_a_sample_takes() {
    for (rate, seconds) in [
        (1_000.0, 0.25),
        (40.0, 0.25),
        (39.0, 0.5),
        (20.0, 0.5),
        (1.0, 16.0),
    ] {
        assert_eq!(slot_seconds(rate), seconds, "{rate}");
    }
}

#[test]
fn one_of_four_slots_is_probed_drawn_by_the_time_of_day_alike_in_each_version() {
    let places: Vec<u32> = probed(4 * 32).into_iter().map(|slot| slot % 4).collect();
    assert_eq!(places, DRAWN, "sinks of several versions share tables");
    assert_eq!(probed(4_000).len(), 1_000);
}

#[test]
fn probes_are_due_for_twenty_slots_after_a_refusal() {
    let last = f64::from(probed(400).pop().expect("a probe")) * 0.25;
    for (refused_at, due) in [(None, false), (Some(5.0), false), (Some(4.99), true)] {
        let mut probes = Probes::new(OPENED);
        if let Some(before) = refused_at {
            probes.refused(last - before);
        }
        assert_eq!(probes.due(last, 1_000.0).is_some(), due, "{refused_at:?}");
    }
    let mut probes = Probes::new(OPENED);
    probes.refused(last);
    probes.begin(last - 1.0, last + 1.0, 1.0);
    assert_eq!(probes.due(last, 1_000.0), None, "one goes on");
}

#[test]
fn a_probe_sends_less_than_was_taken_and_counts_what_was_sent_in_it() {
    for (taken, factor) in [(0.5, 0.45), (1.0, 0.85), (0.01, 0.02)] {
        let mut probes = Probes::new(OPENED);
        assert_eq!(probes.factor(10.0), 1.0);
        probes.begin(10.0, 10.5, taken);
        assert!(probes.is_probing());
        assert!(near(probes.factor(10.4), factor));
        assert_eq!(probes.factor(10.5), 1.0, "it is over");
        assert!(matches!(probes.answered(9.9, of(10, 9)), Part::Outside));
        assert!(matches!(probes.answered(10.0, of(10, 1)), Part::Inside));
        assert!(matches!(probes.answered(10.4, of(10, 2)), Part::Inside));
        let Part::After(probe) = probes.answered(10.5, of(10, 8)) else {
            panic!("the answer is the first after the probe");
        };
        assert_eq!(probe.seen, of(20, 3));
        assert!(near(probe.saved(1_000.0), 500.0 * (1.0 - factor)));
        assert!(!probes.is_probing());
        assert!(matches!(probes.answered(10.6, of(10, 8)), Part::Outside));
    }
}

#[test]
fn a_probe_that_is_canceled_has_no_result() {
    let mut probes = Probes::new(OPENED);
    assert_eq!(probes.opened(), OPENED);
    assert!(!probes.cancel());
    probes.begin(10.0, 10.5, 1.0);
    assert!(probes.cancel());
    assert!(!probes.is_probing());
    assert!(matches!(probes.answered(11.0, of(10, 1)), Part::Outside));
}
