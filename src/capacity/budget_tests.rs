//! One budget, alone.

use proptest::prelude::*;

use super::budget::Budget;
use super::control::{Base, Refusal};
use std::time::Duration;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn provisioned(units: f64, burst: bool) -> Budget {
    Budget::new(at(0), Base::Provisioned(units), burst)
}

/// Takes all that is permitted for a while, asking each millisecond; gives the units of each.
fn drain(budget: &mut Budget, from: u64, to: u64) -> u32 {
    let mut sum = 0;
    for now in from..to {
        if let Ok(units) = budget.permit(at(now), 25, 1) {
            let units = units.min(25);
            budget.take(at(now), units);
            budget.settle(at(now), units, None);
            sum += units;
        }
    }
    sum
}

#[test]
fn without_bursts_it_keeps_to_what_is_provisioned() {
    let mut budget = provisioned(1000.0, false);
    assert!((9_950..=10_000).contains(&drain(&mut budget, 0, 10_000)));
    assert_eq!(budget.control.speed(at(10_000)), Some(1000.0));
}

#[test]
fn a_burst_is_looked_for_by_doubling_each_half_second_and_given_up_at_the_first_sign() {
    let mut budget = provisioned(1000.0, true);
    let mut speeds = Vec::new();
    for half in 0..4 {
        drain(&mut budget, half * 500, half * 500 + 500);
        speeds.push(budget.control.speed(at(half * 500 + 499)));
    }
    assert_eq!(
        speeds,
        [Some(1000.0), Some(2000.0), Some(4000.0), Some(8000.0)]
    );
    budget.refused(at(2_001), at(2_000), (25, 25), 25, Refusal::Capacity);
    assert!(budget.control.speed(at(2_001)) <= Some(1000.0));
    drain(&mut budget, 2_001, 60_000);
    let speed = budget.control.speed(at(60_000));
    assert_eq!(speed, Some(1000.0), "it stays given up");
}

#[test]
fn nobody_who_wants_little_is_sped_up() {
    let mut budget = provisioned(1000.0, true);
    for second in 0..10 {
        budget.take(at(second * 1_000), 50);
        budget.settle(at(second * 1_000 + 5), 50, None);
    }
    assert_eq!(budget.control.speed(at(10_000)), Some(1000.0));
}

#[test]
fn a_request_waits_for_units_enough_to_be_full_but_not_for_long() {
    let mut budget = provisioned(100.0, false);
    let until = budget.permit(at(0), 25, 1).expect_err("empty");
    assert_eq!(until, at(50), "25 units would take 250 ms");
    assert_eq!(budget.permit(at(50), 25, 1), Ok(5));
    budget.take(at(50), 5);
    let until = budget.permit(at(50), 2, 1).expect_err("empty again");
    assert!(until < at(80), "two units are there soon: {until:?}");
}

#[test]
fn a_large_write_is_not_starved_by_small_ones() {
    let mut budget = provisioned(100.0, false);
    // The head of the line decides: while it lacks its units nothing is permitted.
    for now in 0..3_990 {
        assert!(budget.permit(at(now), 425, 400).is_err() || now >= 1_000);
    }
    assert!(
        budget.allows(at(4_000), 400),
        "more than it ever holds: a full bucket does"
    );
    budget.take(at(4_000), 400);
    assert!(!budget.allows(at(4_100), 1), "the debt is paid first");
    assert!(budget.allows(at(7_100), 1));
}

#[test]
fn a_prediction_follows_what_the_service_counts() {
    let mut budget = provisioned(1000.0, false);
    let mut sent = 0;
    for now in 0..20_000 {
        if let Ok(units) = budget.permit(at(now), 25, 1) {
            let units = units.min(25);
            budget.take(at(now), units);
            // Each write replaces one twice its size.
            budget.settle(at(now), units, Some(f64::from(units) * 2.0));
            sent += units;
        }
    }
    assert!((9_900..=10_100).contains(&sent), "{sent} of half of 20,000");
}

#[test]
fn refusals_in_a_row_pause_longer_and_longer_up_to_a_second() {
    let mut budget = provisioned(1000.0, false);
    let mut now = at(1_000);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        budget.refused(now, now, (25, 25), 25, Refusal::Capacity);
        let until = budget.permit(now, 1, 1).expect_err("paused");
        pauses.push((until - now).as_millis() / 50 * 50);
        now = until;
    }
    assert_eq!(pauses[..5], [50, 100, 200, 400, 800]);
    assert_eq!(pauses[5..], [1_000, 1_000]);
    budget.accepted();
    budget.refused(now, now, (25, 25), 25, Refusal::Capacity);
    let until = budget.permit(now, 1, 1).expect_err("paused");
    assert_eq!((until - now).as_millis() / 50, 1);
}

#[test]
fn a_fixed_rate_is_kept_whatever_is_refused_and_no_rate_is_none() {
    let mut fixed = Budget::new(at(0), Base::Fixed(500.0), true);
    drain(&mut fixed, 0, 3_000);
    fixed.refused(at(3_000), at(2_990), (25, 5), 5, Refusal::Capacity);
    assert_eq!(fixed.control.speed(at(3_000)), Some(500.0));
    let mut none = Budget::new(at(0), Base::Unlimited, true);
    none.refused(at(10), at(5), (25, 25), 25, Refusal::Capacity);
    assert_eq!(none.permit(at(2_000), 25, 25), Ok(u32::MAX));
}

#[test]
fn at_the_maximum_on_demand_it_stays() {
    let base = Base::OnDemand {
        warm: 4000.0,
        most: 1000.0,
    };
    let budget = Budget::new(at(0), base, true);
    assert_eq!(budget.control.speed(at(0)), Some(1000.0));
    let base = Base::OnDemand {
        warm: 1000.0,
        most: f64::INFINITY,
    };
    let mut budget = Budget::new(at(0), base, true);
    drain(&mut budget, 0, 10_000);
    budget.refused(at(10_000), at(9_990), (25, 5), 5, Refusal::Maximum);
    let grown = budget.control.known().expect("known");
    assert!(grown > 1000.0, "{grown}");
    drain(&mut budget, 10_000, 40_000);
    assert_eq!(
        budget.control.known(),
        Some(grown),
        "a maximum does not grow"
    );
}

proptest! {
    /// With bursts forbidden no stretch longer than a second sees more than its rate and a second's burst,
    /// whatever is refused meanwhile.
    #[test]
    fn with_bursts_forbidden_it_is_never_above_its_budget(
        rate in 10_u32..3_000,
        steps in prop::collection::vec((0_u64..80, 1_u32..60, 0_u32..100), 10..300),
    ) {
        let mut budget = provisioned(f64::from(rate), false);
        let burst = f64::from(rate.max(25));
        let mut now = 0;
        let mut sent: Vec<(u64, u32)> = Vec::new();
        for (wait, units, luck) in steps {
            now += wait;
            if let Ok(allowed) = budget.permit(at(now), units, 1) {
                let units = units.min(allowed);
                budget.take(at(now), units);
                sent.push((now, units));
                if luck < 5 {
                    budget.refused(at(now), at(now), (25, 25), 25, Refusal::Capacity);
                } else if luck < 10 {
                    budget.refused(at(now), at(now), (25, 3), 3, Refusal::Untold);
                } else {
                    budget.settle(at(now), units, None);
                    budget.accepted();
                }
            }
        }
        for (n, (from, _)) in sent.iter().enumerate() {
            let mut sum = 0.0;
            for (to, units) in &sent[n..] {
                sum += f64::from(*units);
                let seconds = at(to - from).as_secs_f64();
                prop_assert!(sum <= f64::from(rate) * seconds + burst + 1.0, "{} in {}", sum, seconds);
            }
        }
    }
}
