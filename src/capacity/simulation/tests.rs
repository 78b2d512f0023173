//! Convergence, waste, fairness, recovery.

use super::table::Refill::{self, BySecond, Dripping};
use super::*;

fn refills(seed: u64) -> [Refill; 2] {
    [Dripping, BySecond(fastrand::Rng::with_seed(seed).f64())]
}

#[test]
fn alone_it_uses_all_and_is_hardly_refused() {
    for seed in 0..4 {
        for refill in refills(seed) {
            let table = Table::new(1010.0, refill).partitions(4);
            let mut world = World::new(table, &[Allowance::Provisioned(1010.0)], seed);
            world.overload(60);
            let (units, throttled) = world.all(5..60);
            assert!(units >= 1010.0 * 0.98, "{seed} {refill:?}: {units}");
            assert!(throttled <= 0.01, "{seed} {refill:?}: {throttled}");
            // It does not swing either.
            for second in 20..60 {
                let (units, _) = world.all(second..second + 1);
                assert!((units / 1010.0 - 1.0).abs() < 0.05, "{second}: {units}");
            }
        }
    }
}

#[test]
fn four_that_know_nothing_of_each_other_share() {
    for by_second in [false, true] {
        let mut offs = Vec::new();
        for seed in 0..8 {
            let [dripping, second] = refills(seed);
            let refill = if by_second { second } else { dripping };
            let table = Table::new(1000.0, refill).partitions(4);
            let mut world = World::new(table, &[Allowance::Provisioned(1000.0); 4], seed);
            world.overload(60);
            let (units, throttled) = world.all(10..60);
            assert!(units >= 950.0, "{seed} {refill:?}: {units}");
            assert!(throttled <= 0.03, "{seed} {refill:?}: {throttled}");
            let shares = world.shares(30..60);
            let off = shares.iter().map(|share| (share - 1.0).abs());
            offs.push(off.fold(0.0, f64::max));
        }
        // In half a minute a single one may stay ahead of the others.
        let mean = offs.iter().sum::<f64>() / offs.len() as f64;
        assert!(mean <= 0.2, "{offs:?}");
        assert!(offs.iter().all(|off| *off <= 0.4), "{offs:?}");
    }
}

#[test]
fn burst_credit_is_found_and_the_partitions_limit_with_it() {
    for refill in refills(1) {
        let table = Table::new(1010.0, refill).full().partitions(8);
        let mut world = World::new(table, &[Allowance::Provisioned(1010.0)], 1);
        world.overload(15);
        let (units, throttled) = world.all(0..15);
        // Capacity that comes by the second is all gone at the end of each, which looks like none
        // at all.
        let least = if refill == Dripping { 7_000.0 } else { 4_000.0 };
        assert!(units >= least, "{refill:?}: {units} of 8,000");
        assert!(throttled <= 0.02, "{refill:?}: {throttled}");
    }
}

#[test]
fn credit_that_is_left_unused_is_spent_without_waiting() {
    let table = Table::new(1000.0, Dripping);
    let mut world = World::new(table, &[Allowance::Provisioned(1000.0)], 1);
    world.run(20, 200.0);
    for second in 21..40 {
        world.run(second, 1800.0);
        assert!(world.clients[0].backlog < 200.0, "by {second}");
    }
    let (_, throttled) = world.all(0..40);
    assert!(throttled < 0.001, "{throttled}");
}

#[test]
fn a_change_of_capacity_is_followed_once_it_is_known() {
    for refill in refills(2) {
        let table = Table::new(1000.0, refill).partitions(4);
        let mut world = World::new(table, &[Allowance::Provisioned(1000.0)], 2);
        world.overload(20);
        for (from, to) in [(20, 2000.0), (40, 500.0)] {
            world.table.set_rate(to);
            world.overload(from + 2);
            let now = world.now;
            let base = Allowance::Provisioned(to);
            world.clients[0].budget.set(now, base);
            world.overload(from + 20);
            let from = from as usize;
            let (units, throttled) = world.all(from + 5..from + 20);
            assert!(units >= to * 0.95, "{refill:?}: {units} of {to}");
            assert!(throttled <= 0.02, "{refill:?}: {throttled} at {to}");
        }
    }
}

#[test]
fn after_an_outage_it_is_back_in_seconds() {
    for (base, least) in [
        (Allowance::Provisioned(1000.0), 900.0),
        (Allowance::Unknown, 600.0),
    ] {
        let table = Table::new(1000.0, Dripping).partitions(4);
        let mut world = World::new(table, &[base], 3);
        world.overload(30);
        world.table.set_rate(0.0);
        world.overload(60);
        let requests = world.of(0, 40..60).requests;
        assert!(requests <= 60, "{base:?}: {requests}");
        world.table.set_rate(1000.0);
        world.overload(80);
        let (units, _) = world.all(65..80);
        assert!(units >= least, "{base:?}: {units}");
    }
}

#[test]
fn where_nothing_is_known_the_rate_is_found() {
    for seed in 0..3 {
        for refill in refills(seed) {
            let table = Table::new(1010.0, refill).partitions(4);
            let mut world = World::new(table, &[Allowance::Unknown], seed);
            world.overload(60);
            let (units, throttled) = world.all(5..60);
            assert!(units >= 900.0, "{seed} {refill:?}: {units}");
            assert!(throttled <= 0.1, "{seed} {refill:?}: {throttled}");
        }
    }
}

#[test]
fn on_demand_it_starts_at_the_warm_rate_and_grows_no_faster_than_doubling_in_half_an_hour() {
    let base = Allowance::OnDemand {
        warm: 1000.0,
        max: f64::INFINITY,
    };
    let mut world = World::new(Table::new(1e9, Dripping), &[base], 5);
    world.overload(60);
    let (first, _) = world.all(0..60);
    assert!((990.0..=1030.0).contains(&first), "{first}");
    world.overload(600);
    let (then, _) = world.all(590..600);
    let most = 1000.0 * (600.0_f64 / 1800.0).exp2();
    assert!(
        then <= most * 1.01 && then >= most * 0.95,
        "{then} of {most}"
    );
}
