//! A table's buckets together, under a clock of their own.

use std::time::Duration;

use dynamodb_table_spec::KeyKind;
use dynamodb_table_spec::{Billing, IndexSpec, TableSpec};
use proptest::prelude::*;

use super::level::Level;
use super::limits::{Limit, Throughput};
use super::{Capacity, Refill, WriteCost};
use crate::item::key::{Key, KeyPart};

fn key(text: &str) -> Key {
    Key {
        partition: KeyPart::S(text.to_owned()),
        sort: None,
    }
}

fn cost(table: f64, indexes: &[f64]) -> WriteCost {
    WriteCost {
        table,
        indexes: indexes.to_vec(),
    }
}

#[test]
fn a_level_doubles_in_thirty_minutes_of_use() {
    let mut level = Level::new(4_000.0, Duration::ZERO);
    let mut consumed = 0.0;
    for window in 1..=180 {
        consumed += 10.0 * 0.91 * level.units();
        let now = Duration::from_secs(10 * window);
        assert_eq!(level.window_over(now), Some(now));
        level.end_window(now, consumed);
    }
    assert!((level.units() - 8_000.0).abs() < 1e-6, "{}", level.units());
    for window in 181..=360 {
        consumed += 10.0 * 0.89 * level.units();
        level.end_window(Duration::from_secs(10 * window), consumed);
    }
    assert!((level.units() - 8_000.0).abs() < 1e-6, "used too little");
}

#[test]
fn a_level_skips_idle_time_in_one_step() {
    let mut level = Level::new(10.0, Duration::from_millis(300));
    level.end_window(Duration::from_secs(4_000), 0.0);
    assert_eq!(level.window_over(Duration::from_millis(4_000_299)), None);
    assert!(
        level
            .window_over(Duration::from_millis(4_000_300))
            .is_some()
    );
}

#[test]
fn a_maximum_lets_a_level_grow_no_further_and_takes_nothing_from_it() {
    let mut level = Level::new(100.0, Duration::ZERO);
    level.set_max(Some(100.01));
    level.end_window(Duration::from_secs(10), 1_000.0);
    assert!((level.units() - 100.01).abs() < 1e-9);
    assert!(level.at_max());
    level.set_max(Some(50.0));
    level.end_window(Duration::from_secs(20), 2_000.0);
    assert!((level.units() - 100.01).abs() < 1e-9);
    assert!((level.allowed() - 50.0).abs() < 1e-9);
    level.set_max(None);
    assert!(!level.at_max());
}

#[test]
fn what_is_refused_takes_nothing_from_any_bucket() {
    let index = IndexSpec::global("i").partition("g", KeyKind::String);
    let spec = TableSpec::new("table")
        .provisioned(5, 10)
        .index(index.provisioned(5, 1));
    let mut throughput = Throughput::new(Capacity::enforced(), &spec, Duration::ZERO);
    let now = Duration::from_secs(1);
    let draw = [throughput.draw(&spec, &key("a"), &cost(10.0, &[2.0]), 1.0)];
    assert_eq!(throughput.exceeded_limits(&draw, now), [Limit::Index(0)]);
    let draw = [throughput.draw(&spec, &key("a"), &cost(10.0, &[1.0]), 1.0)];
    assert_eq!(throughput.exceeded_limits(&draw, now), []);
    throughput.take(&draw);
    let draw = [throughput.draw(&spec, &key("a"), &cost(1.0, &[1.0]), 1.0)];
    let exceeded = throughput.exceeded_limits(&draw, now);
    assert_eq!(exceeded, [Limit::Table, Limit::Index(0)]);
}

#[test]
fn the_writes_of_a_transaction_are_judged_by_their_sum() {
    let spec = TableSpec::new("table").provisioned(5, 10);
    let mut throughput = Throughput::new(Capacity::enforced(), &spec, Duration::ZERO);
    let now = Duration::from_secs(1);
    let draws = ["a", "b", "c"].map(|id| throughput.draw(&spec, &key(id), &cost(2.0, &[]), 2.0));
    assert_eq!(throughput.exceeded_limits(&draws[..2], now), []);
    assert_eq!(throughput.exceeded_limits(&draws, now), [Limit::Table]);
}

/// One thing that happens to a table.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Write { key: u8, table: u8, index: u8 },
    Units(u64),
    IndexUnits(u64),
    OnDemand(Option<u64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..1_500).prop_map(Step::Wait),
        12 => (any::<u8>(), 1_u8..6, 0_u8..4)
            .prop_map(|(key, table, index)| Step::Write { key, table, index }),
        1 => (6_u64..60).prop_map(Step::Units),
        1 => (6_u64..60).prop_map(Step::IndexUnits),
        1 => proptest::option::of(6_u64..60).prop_map(Step::OnDemand),
    ];
    proptest::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn nothing_is_consumed_that_was_not_granted(
        steps in steps(),
        seed in any::<u64>(),
        by_second in any::<bool>(),
        full in any::<bool>(),
    ) {
        let index = IndexSpec::global("i").partition("g", KeyKind::String);
        let mut spec = TableSpec::new("table").provisioned(5, 20).index(index);
        let refill = if by_second { Refill::BySecond } else { Refill::Dripping };
        let mut capacity = Capacity::enforced()
            .partitions(3)
            .partition_units(8)
            .warm_units(30)
            .seed(seed)
            .refill(refill);
        if full {
            capacity = capacity.full_bank();
        }
        let mut now = Duration::from_millis(seed % 1_000);
        let mut throughput = Throughput::new(capacity, &spec, now);
        let (start, mut units) = (now, [0.0; 3]);
        for step in steps {
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Write { key: id, table, index } => {
                    let cost = cost(f64::from(table), &[f64::from(index)]);
                    let key = key(&(id % 8).to_string());
                    let draw = [throughput.draw(&spec, &key, &cost, 1.0)];
                    if throughput.exceeded_limits(&draw, now).is_empty() {
                        throughput.take(&draw);
                        let at = (0..3).find(|at| draw[0].meets(Limit::Partition(*at)));
                        units[at.expect("in a partition")] += f64::from(table);
                    }
                }
                Step::Units(write) => {
                    spec.billing = Billing::Provisioned { read: 5, write };
                    throughput.reconfigure(&spec, None, now);
                }
                Step::IndexUnits(write) => {
                    spec.indexes[0].provisioned = Some((5, write));
                    throughput.reconfigure(&spec, None, now);
                }
                Step::OnDemand(max_write_units) => {
                    spec.billing = Billing::OnDemand { max_write_units };
                    throughput.reconfigure(&spec, None, now);
                }
            }
            let usage = throughput.usage(&spec, now);
            prop_assert!(usage.consumed_units <= usage.granted_units + 1e-3);
            let index = &usage.indexes["i"];
            prop_assert!(index.consumed_units <= index.granted_units + 1e-3);
            // A partition starts with one second of its units; by the second one more may begin.
            let seconds = (now - start).as_secs_f64() + if by_second { 2.0 } else { 1.0 };
            for units in units {
                prop_assert!(units <= 8.0 * seconds + 1e-3);
            }
            prop_assert!((units.iter().sum::<f64>() - usage.consumed_units).abs() < 1e-3);
        }
    }
}
