//! One budget, alone.

use proptest::prelude::*;

use super::allowance::Allowance;
use super::budget::Budget;
use super::speed::{Answer, Refusal, SpeedConfig};
use std::time::Duration;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn budget_of(allowance: Allowance, burst: bool) -> Budget {
    let config = SpeedConfig {
        burst,
        may_seek: true,
        gaps: true,
        opened: Duration::ZERO,
    };
    Budget::new(at(0), allowance, config)
}

fn provisioned(units: f64, burst: bool) -> Budget {
    budget_of(Allowance::Provisioned(units), burst)
}

/// Answers a request of 25 writes, of which so many were refused.
fn refuse(budget: &mut Budget, now: Duration, refused: u32, why: Refusal) {
    let count = refused as usize;
    let answer = Answer {
        sent_at: now,
        taken: 25 - count,
        refused: count,
    };
    budget.answered(now, answer, refused, why);
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
    assert_eq!(budget.speed.at(at(10_000)), Some(1000.0));
}

#[test]
fn a_burst_is_looked_for_by_doubling_each_half_second_and_given_up_at_the_first_sign() {
    let mut budget = provisioned(1000.0, true);
    let mut speeds = Vec::new();
    for half in 0..4 {
        drain(&mut budget, half * 500, half * 500 + 500);
        speeds.push(budget.speed.at(at(half * 500 + 499)));
    }
    assert_eq!(
        speeds,
        [Some(1000.0), Some(2000.0), Some(4000.0), Some(8000.0)]
    );
    refuse(&mut budget, at(2_001), 25, Refusal::Capacity);
    assert!(budget.speed.at(at(2_001)) <= Some(1000.0));
    drain(&mut budget, 2_001, 60_000);
    let speed = budget.speed.at(at(60_000));
    assert_eq!(speed, Some(1000.0), "it stays given up");
}

#[test]
fn a_sink_with_little_demand_is_not_sped_up() {
    let mut budget = provisioned(1000.0, true);
    for second in 0..10 {
        budget.take(at(second * 1_000), 50);
        budget.settle(at(second * 1_000 + 5), 50, None);
    }
    assert_eq!(budget.speed.at(at(10_000)), Some(1000.0));
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
fn after_a_second_in_which_nothing_was_taken_it_pauses_longer_and_longer_up_to_a_second() {
    for allowance in [
        Allowance::Provisioned(1000.0),
        Allowance::Unknown,
        Allowance::Fixed(500.0),
        Allowance::Unlimited,
    ] {
        let mut budget = budget_of(allowance, false);
        for now in (0..=1_000).step_by(50) {
            refuse(&mut budget, at(now), 25, Refusal::NotReported);
        }
        let mut now = at(1_050);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            budget.take(now, 25);
            refuse(&mut budget, now, 25, Refusal::NotReported);
            let until = budget.permit(now, 1, 1).expect_err("paused");
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1_000, 1_000], "{allowance:?}");
        refuse(&mut budget, now, 24, Refusal::NotReported);
        refuse(&mut budget, now, 25, Refusal::NotReported);
        let permit = budget.permit(now + at(500), 1, 1);
        assert!(permit.is_ok(), "{allowance:?}: one was taken");
    }
}

#[test]
fn after_an_outage_the_rate_is_what_it_was() {
    let mut budget = provisioned(1000.0, false);
    drain(&mut budget, 0, 5_000);
    for now in (5_000..20_000).step_by(50) {
        refuse(&mut budget, at(now), 25, Refusal::Capacity);
    }
    assert_eq!(budget.speed.rate(), Some(1000.0));
}

#[test]
fn a_fixed_rate_is_kept_whatever_is_refused_and_no_rate_is_none() {
    let mut fixed = budget_of(Allowance::Fixed(500.0), true);
    drain(&mut fixed, 0, 3_000);
    refuse(&mut fixed, at(3_000), 5, Refusal::Capacity);
    assert_eq!(fixed.speed.at(at(3_000)), Some(500.0));
    let mut none = budget_of(Allowance::Unlimited, true);
    refuse(&mut none, at(10), 25, Refusal::Capacity);
    assert_eq!(none.permit(at(2_000), 25, 25), Ok(u32::MAX));
}

#[test]
fn at_the_maximum_on_demand_it_stays() {
    let base = Allowance::OnDemand {
        warm: 4000.0,
        max: 1000.0,
    };
    let budget = budget_of(base, true);
    assert_eq!(budget.speed.at(at(0)), Some(1000.0));
    let base = Allowance::OnDemand {
        warm: 1000.0,
        max: f64::INFINITY,
    };
    let mut budget = budget_of(base, true);
    drain(&mut budget, 0, 10_000);
    refuse(&mut budget, at(10_000), 5, Refusal::Maximum);
    let grown = budget.speed.known().expect("known");
    assert!(grown > 1000.0, "{grown}");
    drain(&mut budget, 10_000, 40_000);
    assert_eq!(budget.speed.known(), Some(grown), "a maximum does not grow");
}

proptest! {
    /// With bursts forbidden, no stretch of time sees more units taken than its rate and a second's
    /// burst, nor more sent than that and a background of 60 %, whatever is refused meanwhile.
    #[test]
    fn with_bursts_forbidden_it_is_never_above_its_budget(
        rate in 10_u32..3_000,
        background in 0_u32..100,
        steps in prop::collection::vec((0_u64..80, 1_u32..60, 0_u32..100), 10..300),
    ) {
        let mut budget = provisioned(f64::from(rate), false);
        let burst = f64::from(rate.max(25));
        let mut now = 0;
        let mut answers: Vec<(u64, u32, u32)> = Vec::new();
        for (wait, want, luck) in steps {
            now += wait;
            let Ok(allowed) = budget.permit(at(now), want, 1) else {
                continue;
            };
            let sent = want.min(allowed);
            budget.take(at(now), sent);
            let refused = match luck {
                0..5 => sent,
                5..50 => sent * background / 100,
                _ => 0,
            };
            budget.settle(at(now), sent - refused, None);
            let answer = Answer {
                sent_at: at(now),
                taken: (sent - refused) as usize,
                refused: refused as usize,
            };
            budget.answered(at(now), answer, refused, Refusal::NotReported);
            answers.push((now, sent, sent - refused));
        }
        for (n, (from, _, _)) in answers.iter().enumerate() {
            let (mut sent, mut taken) = (0.0, 0.0);
            for (to, sent_now, taken_now) in &answers[n..] {
                sent += f64::from(*sent_now);
                taken += f64::from(*taken_now);
                let seconds = at(to - from).as_secs_f64();
                let most = f64::from(rate) * seconds + burst + 1.0;
                prop_assert!(taken <= most, "{} taken in {}", taken, seconds);
                // What is given back for one request may leave in the next.
                prop_assert!(sent <= most / 0.4 + 100.0, "{} sent in {}", sent, seconds);
            }
        }
    }
}
