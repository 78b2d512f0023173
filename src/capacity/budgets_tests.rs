//! Tests of all budgets of a table, and of the attribution of refusals to them.

use std::time::Duration;

use super::budgets::*;
use super::limit::ThrottleCause;
use super::rate::Rate;
use super::table_capacity::{TableCapacity, Units};
use super::write_cost::{IndexKind, WriteCost};
use crate::retry::ThrottlingReason;

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:1:table/t";
const INDEX: &str = "arn:aws:dynamodb:eu-west-1:1:table/t/index/by_status";

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config() -> CapacityConfig {
    CapacityConfig {
        rate: Rate::Adaptive,
        burst: true,
        share: 1.0,
        refresh: Duration::from_secs(10),
        opened: Duration::ZERO,
    }
}

/// A table of 1,000 units, with an index of 500 that projects all, and one of 500 that projects
/// keys only.
fn budgets() -> Budgets {
    with(
        Units::Provisioned(1_000),
        &[Units::Provisioned(500), Units::Provisioned(500)],
    )
}

fn with(table: Units, indexes: &[Units]) -> Budgets {
    let kind = |name: &str, keys_only| IndexKind {
        name: name.to_owned(),
        keys_only,
    };
    let kinds = vec![kind("by_status", false), kind("by_day", true)];
    let capacity = TableCapacity::new(table, indexes.to_vec());
    Budgets::new(at(0), config(), Some(capacity), kinds)
}

fn cost(partition: u64, indexes: u32) -> WriteCost {
    WriteCost {
        partition,
        units: 2,
        indexes,
        index_units_all: 2,
        index_units_keys_only: 1,
    }
}

fn costs(count: u64, indexes: u32) -> Vec<WriteCost> {
    (0..count).map(|key| cost(key, indexes)).collect()
}

fn reason(reason: &str, resource: &str) -> Vec<ThrottlingReason> {
    vec![ThrottlingReason::parse(reason, Some(resource))]
}

/// Refuses a request for these reasons. Returns the follow-up, and whether table and indexes got
/// slower.
fn refuse(budgets: &mut Budgets, reasons: &[ThrottlingReason]) -> (FollowUp, [bool; 3]) {
    let speeds = |budgets: &Budgets| {
        let index = |at_index| budgets.index_rate(at_index, at(5_001));
        [budgets.rate(at(5_001)), index(0), index(1)]
    };
    budgets.settled(at(4_990), costs(25, 3).into_iter(), None);
    let before = speeds(budgets);
    // One refused request alone says nothing of a rate.
    let follow_up = budgets.refused(at(4_999), at(4_995), &costs(25, 3), &[], reasons);
    budgets.refused(at(5_000), at(4_995), &costs(25, 3), &[], reasons);
    let after = speeds(budgets);
    let slower = [0, 1, 2].map(|of| after[of] < before[of]);
    (follow_up, slower)
}

#[test]
fn every_reason_has_its_own_reaction() {
    for direction in ["Write", "Read"] {
        for (limit, resource, slower, account, cause) in [
            (
                "TableXProvisionedThroughputExceeded",
                TABLE,
                [true, false, false],
                false,
                Some(ThrottleCause::Table),
            ),
            (
                "IndexXProvisionedThroughputExceeded",
                INDEX,
                [false, true, false],
                false,
                None,
            ),
            (
                "TableXAccountLimitExceeded",
                TABLE,
                [true, false, false],
                true,
                Some(ThrottleCause::Account),
            ),
            (
                "IndexXAccountLimitExceeded",
                INDEX,
                [true, false, false],
                true,
                Some(ThrottleCause::Account),
            ),
            (
                "TableXMaxOnDemandThroughputExceeded",
                TABLE,
                [true, false, false],
                false,
                Some(ThrottleCause::MaxOnDemand),
            ),
            (
                "IndexXMaxOnDemandThroughputExceeded",
                INDEX,
                [false, true, false],
                false,
                None,
            ),
            // The sustained rate stays: a partition's limit caps only the speed above it.
            (
                "TableXKeyRangeThroughputExceeded",
                TABLE,
                [false, false, false],
                false,
                None,
            ),
            (
                "IndexXKeyRangeThroughputExceeded",
                INDEX,
                [false, false, false],
                false,
                None,
            ),
            (
                "TableXSolarFlare",
                TABLE,
                [true, false, false],
                false,
                Some(ThrottleCause::NotReported),
            ),
        ] {
            let mut budgets = budgets();
            let reasons = reason(&limit.replacen('X', direction, 1), resource);
            let (follow_up, found) = refuse(&mut budgets, &reasons);
            assert_eq!(found, slower, "{limit}");
            assert_eq!(follow_up.slow_account, account, "{limit}");
            assert_eq!(
                follow_up.probe_cause,
                limit.ends_with("SolarFlare"),
                "{limit}"
            );
            assert_eq!(budgets.paused_by(at(5_010)), cause, "{limit}");
        }
    }
}

#[test]
fn on_demand_partitions_are_the_tables_limit() {
    let warm = Units::OnDemand {
        warm: Some(1_000),
        max: None,
    };
    let mut budgets = with(warm, &[]);
    let reasons = reason("TableWriteKeyRangeThroughputExceeded", TABLE);
    let (_, slower) = refuse(&mut budgets, &reasons);
    assert!(slower[0]);
}

#[test]
fn an_index_that_only_the_refused_writes_enter_is_the_cause() {
    let mut budgets = budgets();
    budgets.settled(at(4_990), costs(25, 1).into_iter(), None);
    let rate = budgets.rate(at(5_001));
    let index = budgets.index_rate(0, at(5_001));
    let follow_up = budgets.refused(at(5_000), at(4_995), &costs(10, 1), &costs(15, 0), &[]);
    assert_eq!(follow_up, FollowUp::default(), "no follow-up");
    assert_eq!(budgets.rate(at(5_001)), rate);
    assert!(budgets.index_rate(0, at(5_001)) < index);
    // Writes that enter the index wait, others don't.
    assert_eq!(
        budgets.blocking_budget(at(5_001), cost(1, 1), None),
        Some(BudgetKey::Index(0))
    );
    assert_eq!(budgets.blocking_budget(at(5_001), cost(1, 0), None), None);
}

#[test]
fn an_index_of_which_nothing_is_known_gets_a_budget_when_it_is_short() {
    let mut budgets = with(Units::Unknown, &[]);
    assert!(budgets.has_only_table_budget());
    // It takes some 50 units a second.
    for tenth in 1..40 {
        let now = at(tenth * 100);
        budgets.settled(now, costs(5, 1).into_iter(), None);
        budgets.accepted(now, now, 5);
        budgets.settled(now, costs(15, 0).into_iter(), None);
        budgets.refused(now, now, &costs(10, 1), &costs(15, 0), &[]);
    }
    assert!(!budgets.has_only_table_budget());
    let rate = budgets.index_rate(0, at(4_000));
    assert!(rate.is_some_and(|rate| rate < 150.0), "{rate:?}");
    assert_eq!(budgets.rate(at(4_000)), None, "the table is not concerned");
}

#[test]
fn where_no_reason_is_reported_one_is_probed_for_once_a_second_and_counts_for_ten() {
    let mut budgets = budgets();
    let probes = |budgets: &mut Budgets, now: u64| {
        budgets.settled(at(now), costs(25, 0).into_iter(), None);
        let follow_up = budgets.refused(at(now), at(now - 5), &costs(5, 0), &costs(20, 0), &[]);
        follow_up.probe_cause
    };
    assert!(probes(&mut budgets, 5_000));
    assert!(!probes(&mut budgets, 5_500));
    assert!(probes(&mut budgets, 6_100));
    let reported = reason("TableWriteProvisionedThroughputExceeded", TABLE);
    budgets.refused(at(6_110), at(6_105), &costs(1, 0), &[], &reported);
    assert!(
        !probes(&mut budgets, 16_000),
        "the reported reason still counts"
    );
    assert!(
        probes(&mut budgets, 16_200),
        "the reported reason has lapsed"
    );
}

#[test]
fn a_key_that_is_refused_far_more_often_than_the_others_is_held_back_alone() {
    let mut budgets = budgets();
    let (hot, cold) = (7, 1_000_u64);
    let mut now = 0;
    for request in 0..400_u64 {
        now = 1_000 + request * 5;
        // Of 25 writes 8 are of the hot key, and 6 of those are refused.
        let mut passed: Vec<WriteCost> =
            (0..17).map(|n| cost(cold + request * 20 + n, 0)).collect();
        passed.extend([cost(hot, 0); 2]);
        budgets.settled(at(now), passed.iter().copied(), None);
        budgets.refused(at(now), at(now - 5), &[cost(hot, 0); 6], &passed, &[]);
    }
    assert_eq!(budgets.hot_keys(), 1);
    let parks = (0..1_000).any(|_| {
        let blocking = budgets.blocking_budget(at(now), cost(hot, 0), None);
        budgets.take_for_write(at(now), cost(hot, 0));
        blocking == Some(BudgetKey::HotKey(hot))
    });
    assert!(parks);
    assert_eq!(budgets.blocking_budget(at(now), cost(cold, 0), None), None);
    let rate = budgets.rate(at(now)).expect("known");
    assert!(rate > 800.0, "the table's rate was not cut: {rate}");
    // Long after its last refusal the key is dropped, unless writes are parked for it.
    budgets.release_cooled_keys(at(now + 60_000), |_| true);
    assert_eq!(budgets.hot_keys(), 1);
    budgets.release_cooled_keys(at(now + 62_000), |_| false);
    assert_eq!(budgets.hot_keys(), 0);
}

#[test]
fn a_key_that_is_most_of_the_traffic_is_not_hot_for_that() {
    let mut budgets = budgets();
    for request in 0..200_u64 {
        let now = 1_000 + request * 5;
        // Half of the writes are of one key. All keys are refused alike.
        let of = |from: u64, count: u64| -> Vec<WriteCost> {
            let cold = (0..count).map(|n| cost(from + request * 20 + n, 0));
            cold.chain(std::iter::repeat_n(
                cost(7, 0),
                usize::try_from(count).expect("few"),
            ))
            .collect()
        };
        let (left, passed) = (of(100, 3), of(10_000, 9));
        budgets.settled(at(now), passed.iter().copied(), None);
        budgets.refused(at(now), at(now - 5), &left, &passed, &[]);
    }
    assert_eq!(budgets.hot_keys(), 0);
}

#[test]
fn it_is_described_at_intervals_and_sooner_after_refusals_that_nothing_explains() {
    let mut budgets = budgets();
    assert!(!budgets.take_describe(at(9_999)));
    assert!(budgets.take_describe(at(10_000)));
    assert!(!budgets.take_describe(at(10_001)), "one at a time");
    budgets.set_capacity(
        at(10_010),
        TableCapacity::new(Units::Provisioned(1_000), vec![]),
    );
    let reported = reason("TableWriteProvisionedThroughputExceeded", TABLE);
    budgets.refused(at(11_000), at(10_995), &costs(25, 0), &[], &reported);
    assert!(!budgets.take_describe(at(12_000)));
    assert!(
        budgets.take_describe(at(15_010)),
        "five seconds at the earliest"
    );
    assert!(budgets.deny_describing(true));
    assert!(!budgets.deny_describing(true), "said once");
    assert!(budgets.take_describe(at(99_000)), "the denial may pass");
    assert!(budgets.deny_describing(false));
    assert!(!budgets.deny_describing(false));
}

#[test]
fn a_described_capacity_is_followed_through_every_mode() {
    let mut budgets = budgets();
    let on_demand = |warm, max| Units::OnDemand { warm, max };
    for (units, rate) in [
        (Units::Provisioned(2_000), Some(2_000.0)),
        (on_demand(Some(4_000), None), Some(4_000.0)),
        (on_demand(Some(4_000), Some(300)), Some(300.0)),
        (on_demand(None, Some(700)), Some(700.0)),
        (on_demand(None, None), None),
        (Units::Unknown, None),
        (Units::Provisioned(1), Some(1.0)),
    ] {
        budgets.set_capacity(at(1_000), TableCapacity::new(units, vec![]));
        assert_eq!(budgets.rate(at(1_000)), rate, "{units:?}");
        assert_eq!(budgets.needs_consumed(), units != Units::Unknown);
        assert_eq!(budgets.mode(), units.mode());
    }
}

#[test]
fn a_share_and_a_rate_of_the_users_own_stand_above_what_is_known() {
    let capacity = TableCapacity::new(Units::Provisioned(1_000), vec![Units::Provisioned(500)]);
    let kinds = vec![IndexKind {
        name: "by_status".to_owned(),
        keys_only: false,
    }];
    let quarter = CapacityConfig {
        share: 0.25,
        ..config()
    };
    let mut budgets = Budgets::new(at(0), quarter, Some(capacity), kinds);
    assert_eq!(budgets.rate(at(0)), Some(250.0));
    assert_eq!(budgets.index_rate(0, at(0)), Some(125.0));
    budgets.set_rate(at(0), Rate::Fixed(80));
    assert_eq!(budgets.rate(at(0)), Some(80.0));
    assert_eq!(budgets.index_rate(0, at(0)), None);
    budgets.set_rate(at(0), Rate::Unlimited);
    assert_eq!(budgets.rate(at(0)), None);
    assert!(
        !budgets.take_describe(at(99_000)),
        "the capacity is of no use"
    );
    budgets.set_rate(at(0), Rate::Adaptive);
    assert_eq!(budgets.rate(at(0)), Some(250.0));
}

#[test]
fn indexes_are_charged_for_what_they_hold() {
    let mut budgets = with(
        Units::Provisioned(100_000),
        &[Units::Provisioned(100), Units::Provisioned(100)],
    );
    let mut entered = [0, 0];
    for _ in 0..200 {
        for (index, count) in entered.iter_mut().enumerate() {
            let bit = 1 << index;
            if budgets
                .blocking_budget(at(1_000), cost(1, bit), None)
                .is_none()
            {
                budgets.take_for_write(at(1_000), cost(1, bit));
                *count += 1;
            }
        }
    }
    // One index projects whole items of two units, the other their keys.
    assert_eq!(entered, [50, 100]);
}

#[test]
fn where_no_capacity_is_known_no_reason_is_probed_for() {
    let mut budgets = with(Units::Unknown, &[]);
    for second in 1..10 {
        let now = at(second * 1_000);
        let follow_up = budgets.refused(now, now, &costs(25, 0), &[], &[]);
        assert_eq!(follow_up, FollowUp::default());
    }
}
