//! The estimator, answer by answer.

mod background;
mod control;
mod cut;
mod gaps;
mod level;
mod probes;
mod recurrence;

use proptest::prelude::*;

use super::*;

const START: Duration = Duration::from_secs(1_000_000);

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn estimator(known: Option<f64>) -> Estimator {
    Estimator::new(at(0), START, known, true)
}

fn of(sent: u32, refused: u32) -> Tally {
    Tally {
        sent: f64::from(sent),
        refused: f64::from(refused),
    }
}

fn tally(sent: f64, refused: f64) -> Tally {
    Tally { sent, refused }
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-5 * (1.0 + other.abs())
}

/// Answers a request of 25 each 25 ms, of which so many are refused, for a while; returns the sum
/// of the reactions' parts.
fn drive(
    estimator: &mut Estimator,
    millis: std::ops::Range<u64>,
    mut refused: impl FnMut(u64) -> u32,
) -> Reaction {
    let mut sum = Reaction::default();
    for now in millis.step_by(25) {
        estimator.advance(at(now), true);
        let reaction = estimator.answered(at(now), at(now - 5), of(25, refused(now)), 1000.0);
        sum.hold_back += reaction.hold_back;
        sum.give_back += reaction.give_back;
        sum.outage |= reaction.outage;
    }
    sum
}

#[test]
fn nothing_limits_an_unknown_rate_before_the_first_refusals() {
    let mut estimator = estimator(None);
    drive(&mut estimator, 25..5_000, |_| 0);
    assert_eq!(estimator.rate(), None);
    drive(&mut estimator, 5_000..5_100, |_| 20);
    let rate = estimator.rate().expect("limited");
    assert!(
        (700.0..=1_100.0).contains(&rate),
        "what was delivered: {rate}"
    );
}

#[test]
fn within_the_first_second_an_unknown_rate_begins_at_a_partitions_limit() {
    let mut estimator = estimator(None);
    drive(&mut estimator, 25..100, |_| 20);
    let rate = estimator.rate().expect("limited");
    assert!((700.0..=1_300.0).contains(&rate), "{rate}");
}

#[test]
fn a_single_refused_write_and_a_single_refused_request_change_nothing() {
    for refused in [1, 2, 25] {
        let mut estimator = estimator(Some(1000.0));
        drive(&mut estimator, 25..5_000, |now| {
            if now == 2_025 { refused } else { 0 }
        });
        assert_eq!(estimator.rate(), Some(1000.0), "{refused}");
    }
}

#[test]
fn a_cut_takes_more_off_a_larger_share_and_little_where_the_sink_is_nearly_alone() {
    let mut estimator = estimator(Some(1000.0));
    let reaction = drive(&mut estimator, 25..100, |_| 10);
    assert_eq!(estimator.rate(), Some(850.0));
    assert!(reaction.hold_back >= 85.0, "{reaction:?}");
    for (before, after) in [
        (650.0, 357.5),
        (400.0, 220.0),
        (250.0, 162.5),
        (125.0, 96.9),
    ] {
        let mut estimator = self::estimator(Some(1000.0));
        estimator.control.level.set(before);
        drive(&mut estimator, 25..50, |_| 10);
        let rate = estimator.rate().expect("known");
        assert!((rate - after).abs() < 1.0, "{before}: {rate}");
    }
}

#[test]
fn a_rate_is_cut_for_a_reason_from_outside_once_a_second() {
    let mut estimator = estimator(Some(1000.0));
    for now in 2_000..2_999 {
        estimator.cut(at(now), 900.0);
    }
    assert_eq!(estimator.rate(), Some(850.0));
    estimator.cut(at(3_000), 900.0);
    assert_eq!(estimator.rate(), Some(722.5));
    let mut unlimited = self::estimator(None);
    unlimited.cut(at(2_000), 900.0);
    assert_eq!(unlimited.rate(), Some(630.0), "of what was delivered");
}

#[test]
fn a_probe_sends_less_than_was_taken_before_the_cut() {
    let mut estimator = estimator(Some(1000.0));
    let mut now = 25;
    while !estimator.probes.is_probing() {
        drive(&mut estimator, now..now + 25, |_| 6);
        now += 25;
        assert!(now < 6_000, "it is judged");
    }
    let factor = estimator.probe_factor(at(now - 25));
    let taken = 0.9 * 0.76 * 1000.0 / 850.0;
    assert!((factor - taken).abs() < 0.01, "{factor}");
}

#[test]
fn what_left_at_another_speed_says_nothing() {
    let mut estimator = estimator(Some(1000.0));
    let mut now = 25;
    while !estimator.probes.is_probing() {
        drive(&mut estimator, now..now + 25, |_| 6);
        now += 25;
    }
    estimator.ignore_sent(at(now));
    assert_eq!(
        estimator.probe_factor(at(now - 25)),
        1.0,
        "no probe goes on"
    );
    estimator.answered(at(now + 5), at(now - 5), of(25, 6), 1000.0);
    assert_eq!(estimator.control.cuts.seen(), Tally::default());
}

#[test]
fn a_gap_is_forgotten_where_gaps_are_not_looked_at() {
    let mut estimator = estimator(Some(1000.0));
    let mut answer = |now, rate, refused| {
        estimator.control.level.set(rate);
        estimator.answered(at(now), at(now - 5), of(25, refused), 1000.0);
        estimator.rate()
    };
    assert_eq!(answer(1_000, 1000.0, 25), Some(1000.0), "alone, it may be");
    assert_eq!(answer(1_100, 300.0, 0), Some(300.0));
    assert_eq!(answer(1_200, 1000.0, 25), Some(1000.0), "alone as well");
    // Where a slot is longer, no gap is looked for.
    let mut slow = self::estimator(Some(20.0));
    slow.answered(at(1_000), at(995), of(25, 25), 20.0);
    assert_eq!(slow.rate(), Some(17.0));
}

#[test]
fn no_probe_is_sent_where_nothing_is_refused() {
    let mut estimator = estimator(Some(1000.0));
    for now in (25..5_000).step_by(25) {
        drive(&mut estimator, now..now + 25, |_| 0);
        assert!(!estimator.probes.is_probing());
    }
}

#[test]
fn a_cut_that_ends_the_refusals_stays() {
    let mut estimator = estimator(Some(1000.0));
    drive(&mut estimator, 25..100, |_| 10);
    let mut judged_at = 100;
    while estimator.control.cuts.is_pending() {
        drive(&mut estimator, judged_at..judged_at + 25, |_| 0);
        judged_at += 25;
    }
    assert!(judged_at < 6_000, "judged");
    drive(&mut estimator, judged_at..judged_at + 1_500, |_| 0);
    let rate = estimator.rate().expect("known");
    assert!(
        (850.0..1000.0).contains(&rate),
        "it grows back slowly: {rate}"
    );
    assert!(estimator.control.background.share() < 0.01);
}

#[test]
fn a_cut_that_changes_nothing_is_undone_and_its_refusals_are_the_background() {
    let mut estimator = estimator(Some(1000.0));
    // One fifth, whatever is sent.
    let reaction = drive(&mut estimator, 25..20_000, |_| 5);
    assert_eq!(estimator.rate(), Some(1000.0));
    let share = estimator.control.background.share();
    assert!((share - 0.2).abs() < 0.02, "{share}");
    assert!(reaction.give_back > 0.0, "probes cost nothing");
    let refund = estimator
        .answered(at(20_000), at(19_995), of(25, 5), 1000.0)
        .refund;
    assert!(refund > 0.9, "what is refused is sent once more: {refund}");
    drive(&mut estimator, 20_025..30_000, |_| 0);
    assert!(
        estimator.control.background.share() < 0.02,
        "the refusals have ended"
    );
}

#[test]
fn a_cut_after_which_most_is_still_refused_is_deepened() {
    // More than any background: at once, to what is taken.
    let mut estimator = estimator(Some(2000.0));
    drive(&mut estimator, 25..300, |_| 20);
    assert_eq!(
        estimator.rate(),
        Some(900.0),
        "a little less than what is taken"
    );
    // Half: once a probe has shown that a lower rate helps.
    let mut estimator = self::estimator(Some(1000.0));
    for now in (25..5_000).step_by(25) {
        estimator.advance(at(now), true);
        let refused = if estimator.probe_factor(at(now)) < 1.0 {
            0
        } else {
            12
        };
        estimator.answered(at(now), at(now - 5), of(25, refused), 1000.0);
    }
    let rate = estimator.rate().expect("known");
    assert!(rate < 600.0, "{rate}");
}

#[test]
fn a_gap_that_comes_again_at_a_lower_rate_is_not_the_rates() {
    let mut estimator = estimator(Some(1000.0));
    let all_refused = |now: u64| if now % 1_000 < 100 { 25 } else { 0 };
    drive(&mut estimator, 500..1_500, all_refused);
    let rate = estimator.rate().expect("known");
    assert!(rate < 900.0, "a first gap counts: {rate}");
    drive(&mut estimator, 1_500..2_125, all_refused);
    assert_eq!(estimator.rate(), Some(1000.0), "the second one does not");
    drive(&mut estimator, 2_125..10_000, all_refused);
    assert_eq!(estimator.rate(), Some(1000.0), "nor do the others");
}

#[test]
fn after_a_second_without_a_write_taken_it_is_an_outage_and_nothing_is_learned() {
    let mut estimator = estimator(Some(1000.0));
    drive(&mut estimator, 25..2_000, |_| 0);
    let reaction = drive(&mut estimator, 2_000..2_990, |_| 25);
    assert!(!reaction.outage);
    drive(&mut estimator, 2_990..3_050, |_| 25);
    assert_eq!(estimator.rate(), Some(1000.0), "a cut is undone at once");
    let reaction = drive(&mut estimator, 3_050..20_000, |_| 25);
    assert!(reaction.outage);
    assert_eq!(estimator.rate(), Some(1000.0));
    assert_eq!(estimator.control.background.share(), 0.0);
    // After a time without requests a refusal is not an outage at once.
    drive(&mut estimator, 20_000..20_100, |_| 0);
    let reaction = estimator.answered(at(99_000), at(98_995), of(25, 25), 0.0);
    assert!(!reaction.outage);
}

#[test]
fn probes_come_in_one_of_four_slots_the_same_for_all_sinks() {
    let probes = |opened: u64, offset: u64| {
        let time_of_day = START + at(opened);
        let mut estimator = Estimator::new(at(offset), time_of_day, Some(1000.0), true);
        let mut slots = Vec::new();
        for now in (offset + 25..offset + 60_000).step_by(25) {
            estimator.advance(at(now), true);
            let refused = u32::from(now % 500 == 0) * 2;
            estimator.answered(at(now), at(now - 5), of(25, refused), 1000.0);
            if estimator.probe_factor(at(now)) < 1.0 {
                slots.push((opened + now - offset) / 250);
            }
        }
        slots.dedup();
        slots
    };
    let one = probes(0, 0);
    // One opened later in the day, whose own time began at another number.
    let other = probes(20_000, 7_000);
    let common = one.iter().filter(|slot| other.contains(slot)).count();
    assert!((40..=80).contains(&one.len()), "{}", one.len());
    let overlapping = one.iter().filter(|slot| **slot >= 82).count();
    assert!(common + 4 >= overlapping, "{common} of {overlapping}");
}

#[test]
fn another_known_number_scales_the_rate() {
    let mut estimator = estimator(Some(1000.0));
    drive(&mut estimator, 25..100, |_| 10);
    estimator.set_known(Some(2000.0));
    assert_eq!(estimator.control.cuts.rate_before(), Some(2000.0));
    assert_eq!(estimator.rate(), Some(1700.0));
    estimator.set_known(Some(1900.0));
    assert_eq!(estimator.rate(), Some(1900.0), "alone: all of them");
    estimator.control.level.set(400.0);
    estimator.set_known(Some(1000.0));
    assert_eq!(estimator.rate(), Some(400.0), "lower already");
    estimator.set_known(None);
    assert_eq!(
        estimator.rate(),
        Some(400.0),
        "more was found to be too much"
    );
    estimator.set_known(Some(0.25));
    assert_eq!(estimator.rate(), Some(0.25), "less than one unit is known");
    let mut estimator = self::estimator(Some(1000.0));
    estimator.set_known(None);
    assert_eq!(estimator.rate(), None);
}

#[test]
fn begun_anew_it_knows_nothing_of_before() {
    let mut estimator = estimator(Some(1000.0));
    drive(&mut estimator, 25..20_000, |_| 5);
    assert!(estimator.has_background());
    estimator.restart(at(20_000), Some(300.0));
    let opened = START.as_secs_f64();
    assert!(
        (estimator.probes.opened() - opened).abs() < 1e-3,
        "the slots"
    );
    assert!(estimator.gaps.is_some());
    assert_eq!(estimator.rate(), Some(300.0));
    assert!(!estimator.has_background());
    estimator.restart(at(20_000), None);
    assert_eq!(estimator.rate(), None);
}

#[test]
fn growth_waits_for_demand_and_is_impatient_in_the_end() {
    let mut estimator = estimator(Some(1000.0));
    drive(&mut estimator, 25..100, |_| 10);
    drive(&mut estimator, 100..5_000, |_| 0);
    let rate = estimator.rate();
    for now in (5_000..60_000).step_by(25) {
        estimator.advance(at(now), false);
    }
    assert_eq!(estimator.rate(), rate, "nothing waits for it");
    let mut estimator = self::estimator(None);
    drive(&mut estimator, 25..5_000, |now| u32::from(now < 1_000) * 15);
    let before = estimator.rate().expect("limited");
    drive(&mut estimator, 5_000..25_000, |_| 0);
    let after = estimator.rate().expect("limited");
    assert!(after > 5.0 * before, "{before} to {after}");
}

proptest! {
    /// Whatever the answers, the numbers stay in their bounds.
    #[test]
    fn any_answers_leave_a_usable_rate(
        known in prop::option::of(0.01..1e6_f64),
        answers in prop::collection::vec((0_u64..2_000, 1_u32..100, 0_u32..100, 0_u64..50), 0..300),
    ) {
        let mut estimator = estimator(known);
        let mut now = 0;
        for (wait, sent, refused, round_trip) in answers {
            now += wait;
            estimator.advance(at(now), refused % 2 == 0);
            let sent_at = at(now.saturating_sub(round_trip));
            let reaction = estimator.answered(at(now), sent_at, of(sent, refused.min(sent)), 10.0);
            prop_assert!((0.0..=1.0).contains(&reaction.refund));
            prop_assert!(reaction.hold_back >= 0.0 && reaction.hold_back.is_finite());
            prop_assert!(reaction.give_back >= 0.0 && reaction.give_back.is_finite());
            let factor = estimator.probe_factor(at(now));
            prop_assert!((probe::MIN_FACTOR..=1.0).contains(&factor));
            let rate = estimator.rate();
            let least = known.unwrap_or(1.0).min(1.0);
            prop_assert!(rate.is_none_or(|rate| rate >= least && rate <= known.unwrap_or(1e12)));
            prop_assert!((0.0..=0.6).contains(&estimator.control.background.share()));
        }
    }
}
