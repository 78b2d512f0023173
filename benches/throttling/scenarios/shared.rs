//! A capacity that several share: classes of records, clients, tables.

use dynamodb_connector::IndexSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::TableSpecExt as _;

use super::parts::{UNITS, capacity, offered, overloaded, table, usual};
use crate::case::Case;
use crate::kind::Kind;
use crate::load::{Class, Pace};
use crate::measure::Run;
use crate::report::Bound;
use crate::scenario::{Possible, Scenario};

/// The share of what was offered of a class in the window that was written, in percent.
fn written_of(scenario: &Scenario, run: &Run, class: usize, rate: f64) -> f64 {
    let seconds = run.ended - scenario.from;
    run.written(None, class, scenario.from, run.ended) / (rate * seconds) * 100.0
}

const INDEX: &str = "by_state";
const INDEX_UNITS: f64 = 250.0;
const EACH_HALF: f64 = 500.0;

/// Half of the records enter an index that takes half of these. What is possible is the other
/// half, and as many of these as the index takes.
pub(super) fn index(name: &'static str, seconds: f64) -> Case {
    let index = IndexSpec::global(INDEX).partition("state", KeyKind::String);
    let table = table("orders")
        .provisioned(5, UNITS)
        .index(index.provisioned(5, 250))
        .enforce(capacity(4));
    let inside = Class {
        indexed: true,
        ..offered("inside", EACH_HALF)
    };
    let outside = offered("outside", EACH_HALF);
    let scenario = Scenario {
        possible: Possible::steady(EACH_HALF + INDEX_UNITS),
        ..Scenario::new(name, seconds, table, vec![inside, outside])
    };
    Case::new(scenario)
        .own(|scenario, run| {
            format!(
                "index {:.1} % used; outside it {:.1} % written",
                index_used(scenario, run),
                written_of(scenario, run, 1, EACH_HALF)
            )
        })
        .bars(|scenario, runs, report| {
            let Some(ours) = runs.of(Kind::Ours) else {
                return;
            };
            let used = index_used(scenario, ours);
            scenario.bar(report, "the index used, %", used, Bound::AtLeast(98.0));
            let throttled = ours.window(scenario, 0).throttled_share() * 100.0;
            let figure = "requests throttled, %";
            scenario.bar(report, figure, throttled, Bound::AtMost(1.0));
            let lost = 100.0 - written_of(scenario, ours, 1, EACH_HALF);
            scenario.bar(report, "lost outside it, %", lost, Bound::AtMost(5.0));
        })
}

fn index_used(scenario: &Scenario, run: &Run) -> f64 {
    let (granted, consumed) = run.index(INDEX, scenario.from, run.ended);
    consumed / granted * 100.0
}

const PARTITIONS: f64 = 8.0;
const PARTITION_UNITS: f64 = 1_000.0;
const COLD: f64 = 4_000.0;

/// One partition key beside uniform ones, which alone would all be written. Its partition takes
/// 1,000 units a second, of which the others need their eighth.
pub(super) fn hot_key(name: &'static str, seconds: f64) -> Case {
    let table = table("orders").provisioned(5, 8_000).enforce(capacity(8));
    let hot = Class {
        one_key: true,
        ..offered("hot", 2_000.0)
    };
    let cold = offered("cold", COLD);
    let scenario = Scenario {
        possible: Possible::steady(COLD + PARTITION_UNITS - COLD / PARTITIONS),
        ..Scenario::new(name, seconds, table, vec![hot, cold])
    };
    Case::new(scenario)
        .own(|scenario, run| {
            let (hot, cold) = hot_and_cold(scenario, run);
            format!("cold {cold:.1} % written; hot {hot:.1} % of its partition's rest")
        })
        .bars(|scenario, runs, report| {
            let Some(ours) = runs.of(Kind::Ours) else {
                return;
            };
            let (hot, cold) = hot_and_cold(scenario, ours);
            scenario.bar(report, "cold keys written, %", cold, Bound::AtLeast(95.0));
            let figure = "hot key of its partition's rest, %";
            scenario.bar(report, figure, hot, Bound::AtLeast(90.0));
        })
}

/// Both in percent: the hot key's of what the cold ones left of its partition.
fn hot_and_cold(scenario: &Scenario, run: &Run) -> (f64, f64) {
    let seconds = run.ended - scenario.from;
    let rate = |class| run.written(None, class, scenario.from, run.ended) / seconds;
    let rest = PARTITION_UNITS - rate(1) / PARTITIONS;
    (rate(0) / rest * 100.0, rate(1) / COLD * 100.0)
}

const SINKS: usize = 4;

/// Four clients that know nothing of each other, from second 10 on.
pub(super) fn fleet(name: &'static str, seconds: f64) -> Case {
    let table = table("orders").provisioned(5, 1_000).enforce(capacity(4));
    let scenario = Scenario {
        clients: SINKS,
        from: (seconds / 6.0).max(2.0),
        ..overloaded(name, seconds, table)
    };
    Case::new(scenario)
        .own(|scenario, run| format!("shares {}", percents(&run.shares(scenario.seconds / 2.0))))
        .bars(|scenario, runs, report| {
            usual(scenario, runs, report, 95.0, 3.0);
            if let Some(ours) = runs.of(Kind::Ours) {
                let most = unevenness(&ours.shares(scenario.seconds / 2.0));
                let figure = "most that one is off a quarter, %";
                scenario.bar(report, figure, most, Bound::AtMost(20.0));
            }
        })
}

/// Returns shares in words.
pub(super) fn percents(shares: &[f64]) -> String {
    let shares = shares.iter().map(|share| format!("{:.0} %", share * 100.0));
    shares.collect::<Vec<_>>().join(", ")
}

/// Returns the most that a share is off the even one, in percent of that.
pub(super) fn unevenness(shares: &[f64]) -> f64 {
    let clients = shares.len() as f64;
    let off = shares
        .iter()
        .map(|share| (share * clients - 1.0).abs() * 100.0);
    off.fold(0.0, f64::max)
}

const CALM: f64 = 900.0;

/// A table that can take what it is offered, beside one that is offered all it can't.
pub(super) fn two_tables(name: &'static str, seconds: f64) -> Case {
    let calm = table("calm").provisioned(5, UNITS).enforce(capacity(4));
    let hard = table("hard").provisioned(5, 50).enforce(capacity(1));
    let overload = Class {
        table: 1,
        ..Class::new("hard", Pace::Overload)
    };
    let scenario = Scenario::new(name, seconds, calm, vec![offered("calm", CALM), overload]);
    let scenario = Scenario {
        tables: vec![scenario.tables[0].clone(), hard],
        possible: Possible::steady(CALM),
        ..scenario
    };
    Case::new(scenario)
        .own(|scenario, run| {
            let hard = run.window(scenario, 1);
            format!(
                "the other table {:.1} % used, {:.1} % throttled",
                hard.consumed / hard.granted * 100.0,
                hard.throttled_share() * 100.0
            )
        })
        .bars(|scenario, runs, report| {
            if let Some(ours) = runs.of(Kind::Ours) {
                let lost = 100.0 - written_of(scenario, ours, 0, CALM);
                let figure = "lost by the one that isn't throttled, %";
                scenario.bar(report, figure, lost, Bound::AtMost(2.0));
            }
        })
}
