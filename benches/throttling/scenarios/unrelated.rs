//! Refusals that the rate does not cause: each write is refused with a probability, whatever the
//! rate. A client that takes them for its limit slows down, and gains nothing by it.
//!
//! A table is known to its clients, or they are blind: then the limit has to be found by the same
//! refusals. What is possible is the table's units, or what is offered where nothing limits it.

use dynamodb_connector::test_util::TableSpecExt as _;

use super::parts::{Row, capacity, offered, overloaded, table};
use crate::case::{Case, Runs};
use crate::kind::{Kind, Sight};
use crate::measure::Run;
use crate::report::{Bound, Report};
use crate::scenario::{Action, Possible, Scenario, Step};

pub(super) const ROWS: [Row; 13] = [
    ("random-known-0.1", 60.0, |n, s| random_known(n, s, 0.1)),
    ("random-known-1", 60.0, |n, s| random_known(n, s, 1.0)),
    ("random-known-5", 60.0, |n, s| random_known(n, s, 5.0)),
    ("random-known-20", 60.0, |n, s| random_known(n, s, 20.0)),
    ("random-blind-open-5", 60.0, |n, s| random_open(n, s, 5.0)),
    ("random-blind-open-20", 60.0, |n, s| random_open(n, s, 20.0)),
    ("random-blind-open-50", 60.0, |n, s| random_open(n, s, 50.0)),
    ("random-blind-short-0", 60.0, |n, s| random_short(n, s, 0.0)),
    ("random-blind-short-2", 60.0, |n, s| random_short(n, s, 2.0)),
    ("random-blind-short-15", 60.0, |n, s| {
        random_short(n, s, 15.0)
    }),
    ("random-blind-short-30", 60.0, |n, s| {
        random_short(n, s, 30.0)
    }),
    ("partitions-known", 60.0, |n, s| {
        partitions(n, s, Sight::Known)
    }),
    ("partitions-blind", 60.0, |n, s| {
        partitions(n, s, Sight::Blind)
    }),
];

/// The capacity of a table that is short, and what is offered to one that is not.
pub(super) const SHORT_UNITS: u32 = 1_000;
pub(super) const OFFERED_PER_SECOND: f64 = 2_000.0;
const UNLIMITED_UNITS: u64 = 1_000_000;

/// The share of the time that the windows leave out.
const WARM_UP_SHARE: f64 = 1.0 / 3.0;

/// Makes a scenario of overload on a table of 1,000 units.
pub(super) fn short(name: &'static str, seconds: f64, sight: Sight) -> Scenario {
    let table = table("orders")
        .provisioned(5, SHORT_UNITS.into())
        .enforce(capacity(4));
    Scenario {
        sight,
        from: seconds * WARM_UP_SHARE,
        possible: Possible::steady(SHORT_UNITS.into()),
        ..overloaded(name, seconds, table)
    }
}

/// Makes a scenario of 2,000 records a second, all of which the table takes, for a blind client.
pub(super) fn open(name: &'static str, seconds: f64) -> Scenario {
    let capacity = capacity(4).partition_units(UNLIMITED_UNITS);
    let table = table("orders")
        .provisioned(5, UNLIMITED_UNITS)
        .enforce(capacity);
    Scenario {
        tables: vec![table],
        classes: vec![offered("all", OFFERED_PER_SECOND)],
        possible: Possible::steady(OFFERED_PER_SECOND),
        ..short(name, seconds, Sight::Blind)
    }
}

/// Returns the step that refuses so many percent from the start.
pub(super) fn refused(percent: f64) -> Vec<Step> {
    vec![Step {
        at: 0.0,
        action: Action::SetRefused(percent / 100.0),
    }]
}

/// Makes a case that says what was refused beyond what is at any rate.
pub(super) fn case(scenario: Scenario) -> Case {
    Case::new(scenario).own(|scenario, run| {
        let beyond = refused_beyond(scenario, run);
        format!("{beyond:.1} points refused beyond what is at any rate")
    })
}

/// Returns the points by which the share of items refused in the window exceeds the share that is
/// refused at any rate.
pub(super) fn refused_beyond(scenario: &Scenario, run: &Run) -> f64 {
    let share = run.window(scenario, 0).in_vain_share();
    (share - scenario.refused_at(scenario.from)) * 100.0
}

/// Adds the bar that ours uses so many percent of what is possible.
pub(super) fn bar_used(scenario: &Scenario, runs: &Runs, report: &mut Report, percent: f64) {
    if let Some(ours) = runs.of(Kind::Ours) {
        let used = ours.used(scenario) * 100.0;
        let figure = "used of what is possible, %";
        scenario.bar(report, figure, used, Bound::AtLeast(percent));
    }
}

fn random_known(name: &'static str, seconds: f64, percent: f64) -> Case {
    let scenario = Scenario {
        steps: refused(percent),
        ..short(name, seconds, Sight::Known)
    };
    case(scenario).bars(|scenario, runs, report| bar_used(scenario, runs, report, 97.0))
}

fn random_open(name: &'static str, seconds: f64, percent: f64) -> Case {
    let scenario = Scenario {
        steps: refused(percent),
        ..open(name, seconds)
    };
    case(scenario).bars(|scenario, runs, report| bar_used(scenario, runs, report, 97.0))
}

fn random_short(name: &'static str, seconds: f64, percent: f64) -> Case {
    let scenario = Scenario {
        steps: refused(percent),
        ..short(name, seconds, Sight::Blind)
    };
    case(scenario).bars(|scenario, runs, report| {
        bar_used(scenario, runs, report, 97.0);
        if let Some(ours) = runs.of(Kind::Ours) {
            let beyond = refused_beyond(scenario, ours);
            let figure = "points of items refused beyond what is at any rate";
            scenario.bar(report, figure, beyond, Bound::AtMost(3.0));
        }
    })
}

const PARTITION_COUNT: usize = 16;
const PARTITION_UNITS: u64 = 100;
const PARTITIONS_OFFERED_PER_SECOND: f64 = 1_450.0;

/// Makes a scenario of uniform keys over partitions. The fullest are near their limits, and what
/// refuses a write is one of them, never the table.
fn partitions(name: &'static str, seconds: f64, sight: Sight) -> Case {
    let capacity = capacity(PARTITION_COUNT).partition_units(PARTITION_UNITS);
    let table = table("orders").provisioned(5, 1_600).enforce(capacity);
    let scenario = Scenario {
        tables: vec![table],
        classes: vec![offered("all", PARTITIONS_OFFERED_PER_SECOND)],
        possible: Possible::steady(PARTITIONS_OFFERED_PER_SECOND),
        ..short(name, seconds, sight)
    };
    case(scenario).bars(|scenario, runs, report| {
        bar_used(scenario, runs, report, 95.0);
        if let (Some(ours), Sight::Known) = (runs.of(Kind::Ours), scenario.sight) {
            let refused = ours.window(scenario, 0).in_vain_share() * 100.0;
            scenario.bar(report, "items refused, %", refused, Bound::AtMost(5.0));
        }
    })
}
