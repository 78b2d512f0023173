//! Refusals that the rate does not cause (C4): they must cost nothing but themselves.
//!
//! Each figure is a mean over a few seeds, as single runs of sinks that probe at random differ.
//! `benches/throttling` has the same rows with the real sink, in real time.

use proptest::prelude::*;

use super::table::Refill::{BySecond, Dripping};
use super::*;

const SEEDS: u64 = 3;
const KNOWN: Allowance = Allowance::Provisioned(1000.0);
const BLIND: Allowance = Allowance::Unknown;
/// More units than anything asks for.
const OPEN: f64 = 1e6;

/// Returns the mean of a figure over the seeds.
fn mean(figure: impl Fn(u64) -> f64) -> f64 {
    (0..SEEDS).map(figure).sum::<f64>() / SEEDS as f64
}

fn refusing(units: f64, share: f64) -> Table {
    let mut table = Table::new(units, Dripping);
    table.background = share;
    table
}

#[test]
fn a_known_table_is_used_whatever_share_is_refused() {
    for share in [0.001, 0.01, 0.05, 0.2, 0.5] {
        let used = mean(|seed| {
            let mut world = World::new(refusing(1000.0, share), &[KNOWN], seed);
            world.overload(60);
            world.all(20..60).0 / 1000.0
        });
        assert!(used >= 0.97, "{share}: {used}");
    }
}

#[test]
fn a_blind_sink_writes_what_is_offered_whatever_share_is_refused() {
    for share in [0.002, 0.05, 0.2, 0.5] {
        let written = mean(|seed| {
            let mut world = World::new(refusing(OPEN, share), &[BLIND], seed);
            world.run(60, 2000.0);
            world.all(20..60).0 / 2000.0
        });
        assert!(written >= 0.97, "{share}: {written}");
    }
}

#[test]
fn a_blind_sink_finds_a_capacity_behind_a_background_of_refusals() {
    for share in [0.0, 0.02, 0.15, 0.3] {
        let run = |seed| {
            let mut world = World::new(refusing(1000.0, share), &[BLIND], seed);
            world.overload(60);
            world
        };
        let used = mean(|seed| run(seed).all(20..60).0 / 1000.0);
        let beyond = mean(|seed| run(seed).refused(20..60) - share);
        assert!(used >= 0.97, "{share}: {used}");
        assert!(beyond <= 0.03, "{share}: {beyond}");
    }
}

#[test]
fn requests_refused_whole_at_random_are_made_up_for() {
    for share in [0.002, 0.01, 0.05, 0.2] {
        for (allowance, units, offered) in [(KNOWN, 1000.0, 1e6), (BLIND, OPEN, 2000.0)] {
            let used = mean(|seed| {
                let mut table = Table::new(units, Dripping);
                table.background_requests = share;
                let mut world = World::new(table, &[allowance], seed);
                world.run(60, offered);
                world.all(20..60).0 / units.min(offered)
            });
            // Runs of refused requests look like gaps until they have come again.
            let least = if share > 0.1 { 0.8 } else { 0.9 };
            assert!(used >= least, "{allowance:?} {share}: {used}");
        }
    }
}

#[test]
fn after_the_refusals_end_the_old_rate_is_back() {
    let written = mean(|seed| {
        let mut world = World::new(refusing(OPEN, 0.3), &[BLIND], seed);
        world.run(10, 2000.0);
        world.table.background = 0.0;
        world.run(30, 2000.0);
        world.all(20..30).0 / 2000.0
    });
    assert!(written >= 0.95, "{written}");
}

#[test]
fn partitions_that_keep_little_do_not_stop_a_blind_sink() {
    let written = mean(|seed| {
        let table = Table::new(1600.0, Dripping).partitions_of(16, 100.0, 0.1);
        let mut world = World::new(table, &[BLIND], seed);
        world.run(60, 1450.0);
        world.all(20..60).0 / 1450.0
    });
    assert!(written >= 0.95, "{written}");
}

/// Runs sinks of one table; returns what they use, their throttled requests, and Jain's index of
/// their shares.
fn fleet(allowance: Allowance, count: usize, share: f64) -> [f64; 3] {
    let runs: Vec<[f64; 3]> = (0..SEEDS)
        .map(|seed| {
            let allowances = vec![allowance; count];
            let mut world = World::new(refusing(1000.0, share), &allowances, seed);
            world.overload(120);
            let (units, throttled) = world.all(20..120);
            let shares = world.shares(60..120);
            let squares: f64 = shares.iter().map(|share| share * share).sum();
            [units / 1000.0, throttled, count as f64 / squares]
        })
        .collect();
    [0, 1, 2].map(|at| runs.iter().map(|run| run[at]).sum::<f64>() / SEEDS as f64)
}

#[test]
fn sinks_that_know_the_table_share_it_behind_a_background_of_refusals() {
    for count in [4, 8] {
        let [used, throttled, _] = fleet(KNOWN, count, 0.0);
        assert!(used >= 0.95, "{count}: {used}");
        // As many as before there was a background to look for.
        let most = if count == 4 { 0.03 } else { 0.06 };
        assert!(throttled <= most, "{count}: {throttled}");
        let [used, _, jain] = fleet(KNOWN, count, 0.1);
        assert!(used >= 0.95, "{count}: {used}");
        assert!(jain >= 0.96, "{count}: {jain}");
    }
}

#[test]
fn blind_sinks_share_a_table() {
    for (count, share) in [(4, 0.0), (4, 0.1), (8, 0.0)] {
        let [used, _, jain] = fleet(BLIND, count, share);
        assert!(used >= 0.95, "{count} {share}: {used}");
        assert!(jain >= 0.94, "{count} {share}: {jain}");
    }
}

#[test]
fn a_blind_sink_follows_a_change_of_capacity() {
    for share in [0.0, 0.05] {
        for seed in 0..SEEDS {
            let mut world = World::new(refusing(1000.0, share), &[BLIND], seed);
            world.overload(60);
            for (from, units) in [(60, 300.0), (120, 1000.0)] {
                world.table.set_rate(units);
                world.table.keep_at_most(1.0);
                world.overload(from + 60);
                let from = from as usize;
                let followed = (from..from + 57).find(|second| {
                    let window = *second..*second + 3;
                    world.all(window.clone()).0 >= 0.9 * units
                        && world.refused(window) < share + 0.05
                });
                let took = followed.map_or(99, |second| second - from);
                assert!(took <= 15, "{share} {seed} to {units}: {took} s");
            }
        }
    }
}

#[test]
fn a_background_that_changes_is_followed() {
    for allowance in [KNOWN, BLIND] {
        let stage = |at: usize| {
            mean(|seed| {
                let mut world = World::new(refusing(1000.0, 0.0), &[allowance], seed);
                for (stage, share) in (1_u64..).zip([0.0, 0.2, 0.05, 0.5, 0.0]) {
                    world.table.background = share;
                    world.overload(20 * stage);
                }
                world.all(20 * at + 2..20 * at + 20).0 / 1000.0
            })
        };
        for at in 0..5 {
            let used = stage(at);
            assert!(used >= 0.9, "{allowance:?}, stage {at}: {used}");
        }
    }
}

#[test]
fn moments_in_which_all_is_refused_cost_their_own_time_only() {
    let blind = [(2.0, 0.2), (1.0, 0.1)]
        .into_iter()
        .flat_map(|gaps| [(gaps, BLIND, OPEN, 2000.0), (gaps, BLIND, 1000.0, 1e6)]);
    let known = [(2.0, 0.2), (1.0, 0.1), (5.0, 1.0)].map(|gaps| (gaps, KNOWN, 1000.0, 1e6));
    for ((every, length), allowance, units, offered) in blind.chain(known) {
        let used = mean(|seed| {
            let mut table = Table::new(units, Dripping);
            table.gaps = Some((every, length));
            let mut world = World::new(table, &[allowance], seed);
            world.run(80, offered);
            world.all(20..80).0
        });
        let possible = units.min(offered) * (1.0 - length / every);
        assert!(
            used >= 0.9 * possible,
            "{allowance:?} {units} {every}: {used}"
        );
    }
}

#[test]
fn moments_in_which_a_part_is_refused_do_not_lower_the_rate_for_long() {
    for (every, length, share) in [(3.0, 0.3, 0.3), (3.0, 0.3, 0.8), (5.0, 1.0, 0.9)] {
        for (allowance, units, offered) in [(BLIND, OPEN, 2000.0), (BLIND, 1000.0, 1e6)] {
            let used = mean(|seed| {
                let mut table = Table::new(units, Dripping);
                table.gap_share = share;
                let mut world = World::new(table, &[allowance], seed);
                world.run(10, offered);
                world.table.gaps = Some((every, length));
                world.run(80, offered);
                world.all(20..80).0
            });
            let possible = units.min(offered) * (1.0 - share * length / every);
            assert!(
                used >= 0.75 * possible,
                "{allowance:?} {units} {every} {share}: {used} of {possible}"
            );
        }
    }
}

#[test]
fn an_outage_is_forgotten_when_it_ends() {
    for allowance in [KNOWN, BLIND] {
        let used = mean(|seed| {
            let mut world = World::new(Table::new(1000.0, Dripping), &[allowance], seed);
            world.overload(30);
            world.table.gaps = Some((1.0, 1.0));
            world.overload(50);
            let requests = world.of(0, 35..50).requests;
            assert!(requests <= 15 * 6, "{requests}");
            world.table.gaps = None;
            world.overload(62);
            world.all(52..62).0 / 1000.0
        });
        assert!(used >= 0.9, "{allowance:?}: {used}");
    }
}

#[test]
fn at_rest_what_is_taken_does_not_swing() {
    for (allowance, share) in [(KNOWN, 0.2), (BLIND, 0.1)] {
        // A cut that chance upholds takes seconds to grow back. An unknown capacity is overshot
        // each few seconds, and what was kept is spent then.
        let (least_mean, least) = if allowance == KNOWN {
            (0.93, 0.88)
        } else {
            (0.85, 0.8)
        };
        let mean = mean(|seed| {
            let mut table = refusing(1000.0, share);
            // Credit that a table keeps for longer is spent at another time than it is saved.
            table.keep_at_most(1.0);
            let mut world = World::new(table, &[allowance], seed);
            world.overload(120);
            let windows: Vec<f64> = (30..110).map(|from| world.all(from..from + 10).0).collect();
            let most = windows.iter().copied().fold(0.0, f64::max);
            let fewest = windows.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(
                fewest >= least * most,
                "{allowance:?}, seed {seed}: {fewest} to {most}"
            );
            fewest / most
        });
        assert!(mean >= least_mean, "{allowance:?}: {mean}");
    }
}

#[test]
fn capacity_by_the_second_is_not_taken_for_a_background() {
    for seed in 0..4 {
        let refill = BySecond(fastrand::Rng::with_seed(seed).f64());
        let mut world = World::new(Table::new(1000.0, refill), &[BLIND], seed);
        world.overload(120);
        let (units, throttled) = world.all(20..120);
        assert!(units >= 950.0, "{seed}: {units}");
        assert!(throttled <= 0.15, "{seed}: {throttled}");
    }
}

#[test]
fn on_demand_throughput_grows_behind_a_background_of_refusals() {
    let warm = Allowance::OnDemand {
        warm: 1000.0,
        max: f64::INFINITY,
    };
    let mut world = World::new(refusing(OPEN, 0.05), &[warm], 1);
    world.overload(300);
    let (units, _) = world.all(280..300);
    let possible = 1000.0 * (290.0_f64 / 1800.0).exp2();
    assert!(units >= 0.95 * possible, "{units} of {possible}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Refusals are independent and constant for a minute: whatever their share, the capacity and
    /// the demand, the rate is never far below the possible for long.
    #[test]
    fn it_is_never_far_below_the_possible_for_long(
        seed: u64,
        share in 0.0..0.5_f64,
        units in 2.0..4.0_f64,
        demand in 0.3..2.0_f64,
        known: bool,
    ) {
        let units = 10_f64.powf(units);
        let offered = units * demand;
        let allowance = if known { Allowance::Provisioned(units) } else { BLIND };
        let mut world = World::new(refusing(units, share), &[allowance], seed);
        world.run(60, offered);
        let below = world.longest_below(5..60, units.min(offered));
        // A probe of a small table has few writes, and a cut grows back slowly.
        let most = if !known { 15 } else if units >= 400.0 { 25 } else { 45 };
        prop_assert!(below <= most, "{} s", below);
    }
}
