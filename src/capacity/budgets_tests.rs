//! All budgets of a table: which of them a refusal concerns.

use std::time::Duration;

use super::budgets::*;
use super::known::{Known, Units};
use super::limit::Met;
use super::rate::Rate;
use crate::retry::ThrottlingReason;

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:1:table/t";
const INDEX: &str = "arn:aws:dynamodb:eu-west-1:1:table/t/index/by_status";

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn wishes() -> Wishes {
    Wishes {
        rate: Rate::Adaptive,
        burst: true,
        share: 1.0,
        refresh: Duration::from_secs(10),
    }
}

/// A table of 1,000 units with an index of 500 that holds all, and one of 500 that holds keys.
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
    let known = Known::new(table, indexes.to_vec());
    Budgets::new(at(0), wishes(), Some(known), kinds)
}

fn piece(partition: u64, indexes: u32) -> Piece {
    Piece {
        partition,
        units: 2,
        indexes,
        whole: 2,
        keys: 1,
    }
}

fn pieces(count: u64, indexes: u32) -> Vec<Piece> {
    (0..count).map(|key| piece(key, indexes)).collect()
}

fn reason(reason: &str, resource: &str) -> Vec<ThrottlingReason> {
    vec![ThrottlingReason::parse(reason, Some(resource))]
}

/// What the budgets are like before and after a refusal of this reason.
fn refuse(budgets: &mut Budgets, reasons: &[ThrottlingReason]) -> (Wanted, [bool; 3]) {
    let speeds = |budgets: &Budgets| {
        let index = |at_index| budgets.index_rate(at_index, at(5_001));
        [budgets.rate(at(5_001)), index(0), index(1)]
    };
    budgets.settled(at(4_990), pieces(25, 3).into_iter(), None);
    let before = speeds(budgets);
    let wanted = budgets.refused(at(5_000), at(4_995), &pieces(25, 3), &[], reasons);
    let after = speeds(budgets);
    let slower = [0, 1, 2].map(|of| after[of] < before[of]);
    (wanted, slower)
}

#[test]
fn every_reason_has_its_own_reaction() {
    for direction in ["Write", "Read"] {
        for (limit, resource, slower, account, met) in [
            (
                "TableXProvisionedThroughputExceeded",
                TABLE,
                [true, false, false],
                false,
                Some(Met::Table),
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
                Some(Met::Account),
            ),
            (
                "IndexXAccountLimitExceeded",
                INDEX,
                [true, false, false],
                true,
                Some(Met::Account),
            ),
            (
                "TableXMaxOnDemandThroughputExceeded",
                TABLE,
                [true, false, false],
                false,
                Some(Met::MaxOnDemand),
            ),
            (
                "IndexXMaxOnDemandThroughputExceeded",
                INDEX,
                [false, true, false],
                false,
                None,
            ),
            // What can be kept up stays: only what is above it is capped by partitions.
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
                Some(Met::Untold),
            ),
        ] {
            let mut budgets = budgets();
            let reasons = reason(&limit.replacen('X', direction, 1), resource);
            let (wanted, found) = refuse(&mut budgets, &reasons);
            assert_eq!(found, slower, "{limit}");
            assert_eq!(wanted.account, account, "{limit}");
            assert_eq!(wanted.reason, limit.ends_with("SolarFlare"), "{limit}");
            assert_eq!(budgets.paused_by(at(5_010)), met, "{limit}");
        }
    }
}

#[test]
fn on_demand_partitions_are_the_tables_limit() {
    let warm = Units::OnDemand {
        warm: Some(1_000),
        most: None,
    };
    let mut budgets = with(warm, &[]);
    let reasons = reason("TableWriteKeyRangeThroughputExceeded", TABLE);
    let (_, slower) = refuse(&mut budgets, &reasons);
    assert!(slower[0]);
}

#[test]
fn an_index_that_only_the_refused_writes_enter_is_to_blame() {
    let mut budgets = budgets();
    budgets.settled(at(4_990), pieces(25, 1).into_iter(), None);
    let rate = budgets.rate(at(5_001));
    let index = budgets.index_rate(0, at(5_001));
    let wanted = budgets.refused(at(5_000), at(4_995), &pieces(10, 1), &pieces(15, 0), &[]);
    assert_eq!(wanted, Wanted::default(), "nothing is asked");
    assert_eq!(budgets.rate(at(5_001)), rate);
    assert!(budgets.index_rate(0, at(5_001)) < index);
    // Its writes wait, others don't.
    assert_eq!(
        budgets.lot_of(at(5_001), piece(1, 1), None),
        Some(Lot::Index(0))
    );
    assert_eq!(budgets.lot_of(at(5_001), piece(1, 0), None), None);
}

#[test]
fn an_index_of_which_nothing_is_known_gets_a_budget_when_it_is_short() {
    let mut budgets = with(Units::Unknown, &[]);
    assert!(budgets.are_plain());
    for second in 1..4 {
        let now = at(second * 1_000);
        budgets.settled(at(second * 1_000 - 500), pieces(50, 1).into_iter(), None);
        budgets.refused(now, now, &pieces(10, 1), &pieces(15, 0), &[]);
    }
    assert!(!budgets.are_plain());
    let rate = budgets.index_rate(0, at(4_600));
    assert!(rate.is_some_and(|rate| rate < 150.0), "{rate:?}");
}

#[test]
fn where_no_reason_is_told_it_is_asked_for_once_a_second_and_holds_for_ten() {
    let mut budgets = budgets();
    let untold = |budgets: &mut Budgets, now: u64| {
        budgets.settled(at(now), pieces(25, 0).into_iter(), None);
        let wanted = budgets.refused(at(now), at(now - 5), &pieces(5, 0), &pieces(20, 0), &[]);
        wanted.reason
    };
    assert!(untold(&mut budgets, 5_000));
    assert!(!untold(&mut budgets, 5_500));
    assert!(untold(&mut budgets, 6_100));
    let told = reason("TableWriteProvisionedThroughputExceeded", TABLE);
    budgets.refused(at(6_110), at(6_105), &pieces(1, 0), &[], &told);
    assert!(!untold(&mut budgets, 16_000), "it is known why");
    assert!(untold(&mut budgets, 16_200), "that was long ago");
}

#[test]
fn a_key_that_is_refused_far_more_often_than_the_others_is_held_back_alone() {
    let mut budgets = budgets();
    let (hot, cold) = (7, 1_000_u64);
    let mut now = 0;
    for request in 0..400_u64 {
        now = 1_000 + request * 5;
        // Of 25 writes 8 are of the hot key, and 6 of those are refused.
        let mut passed: Vec<Piece> = (0..17).map(|n| piece(cold + request * 20 + n, 0)).collect();
        passed.extend([piece(hot, 0); 2]);
        budgets.settled(at(now), passed.iter().copied(), None);
        budgets.refused(at(now), at(now - 5), &[piece(hot, 0); 6], &passed, &[]);
    }
    assert_eq!(budgets.hot_keys(), 1);
    let held = (0..1_000).any(|_| {
        let lot = budgets.lot_of(at(now), piece(hot, 0), None);
        budgets.take_piece(at(now), piece(hot, 0));
        lot == Some(Lot::Key(hot))
    });
    assert!(held);
    assert_eq!(budgets.lot_of(at(now), piece(cold, 0), None), None);
    let rate = budgets.rate(at(now)).expect("known");
    assert!(rate > 800.0, "the table's rate is not to blame: {rate}");
    // Long after its last refusal it is forgotten, unless writes wait for it.
    budgets.forget(at(now + 60_000), |_| true);
    assert_eq!(budgets.hot_keys(), 1);
    budgets.forget(at(now + 62_000), |_| false);
    assert_eq!(budgets.hot_keys(), 0);
}

#[test]
fn a_key_that_is_most_of_the_traffic_is_not_hot_for_that() {
    let mut budgets = budgets();
    for request in 0..200_u64 {
        let now = 1_000 + request * 5;
        // Half of the writes are of one key; all are refused alike.
        let of = |from: u64, count: u64| -> Vec<Piece> {
            let cold = (0..count).map(|n| piece(from + request * 20 + n, 0));
            cold.chain(std::iter::repeat_n(
                piece(7, 0),
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
    budgets.learn(at(10_010), Known::new(Units::Provisioned(1_000), vec![]));
    let told = reason("TableWriteProvisionedThroughputExceeded", TABLE);
    budgets.refused(at(11_000), at(10_995), &pieces(25, 0), &[], &told);
    assert!(!budgets.take_describe(at(12_000)));
    assert!(
        budgets.take_describe(at(15_010)),
        "five seconds at the earliest"
    );
    assert!(budgets.learn_nothing());
    assert!(!budgets.learn_nothing(), "said once");
    assert!(!budgets.take_describe(at(99_000)));
}

#[test]
fn what_is_learnt_is_followed_through_every_mode() {
    let mut budgets = budgets();
    let on_demand = |warm, most| Units::OnDemand { warm, most };
    for (units, rate) in [
        (Units::Provisioned(2_000), Some(2_000.0)),
        (on_demand(Some(4_000), None), Some(4_000.0)),
        (on_demand(Some(4_000), Some(300)), Some(300.0)),
        (on_demand(None, Some(700)), Some(700.0)),
        (on_demand(None, None), None),
        (Units::Unknown, None),
        (Units::Provisioned(1), Some(1.0)),
    ] {
        budgets.learn(at(1_000), Known::new(units, vec![]));
        assert_eq!(budgets.rate(at(1_000)), rate, "{units:?}");
        assert_eq!(budgets.wants_consumed(), units != Units::Unknown);
        assert_eq!(budgets.mode(), units.mode());
    }
}

#[test]
fn a_share_and_a_rate_of_the_users_own_stand_above_what_is_known() {
    let known = Known::new(Units::Provisioned(1_000), vec![Units::Provisioned(500)]);
    let kinds = vec![IndexKind {
        name: "by_status".to_owned(),
        keys_only: false,
    }];
    let quarter = Wishes {
        share: 0.25,
        ..wishes()
    };
    let mut budgets = Budgets::new(at(0), quarter, Some(known), kinds);
    assert_eq!(budgets.rate(at(0)), Some(250.0));
    assert_eq!(budgets.index_rate(0, at(0)), Some(125.0));
    budgets.set_rate(at(0), Rate::Fixed(80));
    assert_eq!(budgets.rate(at(0)), Some(80.0));
    assert_eq!(budgets.index_rate(0, at(0)), None);
    budgets.set_rate(at(0), Rate::Unlimited);
    assert_eq!(budgets.rate(at(0)), None);
    assert!(!budgets.take_describe(at(99_000)), "nobody needs to know");
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
            if budgets.lot_of(at(1_000), piece(1, bit), None).is_none() {
                budgets.take_piece(at(1_000), piece(1, bit));
                *count += 1;
            }
        }
    }
    // One holds whole items of two units, the other their keys.
    assert_eq!(entered, [50, 100]);
}
