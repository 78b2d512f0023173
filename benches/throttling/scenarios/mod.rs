//! The scenarios, in the order of the report. Each is made for a number of seconds; what happens
//! within it scales with them.

mod changing;
mod fleets;
mod shared;
mod steady;
mod unrelated;
mod unrelated_changes;

use dynamodb_connector::TableSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::Capacity;
use std::sync::Arc;
use std::time::Duration;

use crate::contender::Kind;
use crate::load::{Class, Pace};
use crate::report::{Bound, Report};
use crate::scenario::{Runs, Scenario};

/// A scenario's name, how many seconds it lasts, and how it is made from both.
type Row = (&'static str, f64, fn(&'static str, f64) -> Scenario);

/// A scenario that can be chosen.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    row: Row,
    /// Who takes part.
    pub(crate) contenders: &'static [Kind],
}

impl Entry {
    /// Returns the name by which it is chosen.
    pub(crate) fn name(&self) -> &'static str {
        self.row.0
    }

    /// Makes the scenario for so many seconds, or for its own.
    pub(crate) fn scenario(&self, seconds: Option<f64>) -> Scenario {
        let (name, usual, make) = self.row;
        make(name, seconds.unwrap_or(usual))
    }
}

/// Returns all scenarios. Those about unrelated refusals are run for ours alone: the others slow
/// down for any refusal, and their rows would say no more.
pub(crate) fn all() -> Vec<Entry> {
    let of = |contenders| {
        move |row: &Row| Entry {
            row: *row,
            contenders,
        }
    };
    let unrelated = unrelated::ROWS.iter().chain(&unrelated_changes::ROWS);
    let ours = unrelated.chain(&fleets::ROWS).map(of(&[Kind::Ours]));
    EVERYONE.iter().map(of(&Kind::ALL)).chain(ours).collect()
}

const EVERYONE: [Row; 11] = [
    ("by-second", 60.0, steady::by_second),
    ("dripping", 60.0, steady::dripping),
    ("burst", 120.0, steady::burst),
    ("swing", 80.0, changing::swing),
    ("step", 70.0, changing::step),
    ("index", 45.0, shared::index),
    ("sizes", 60.0, steady::sizes),
    ("hot-key", 45.0, shared::hot_key),
    ("on-demand", 45.0, steady::on_demand),
    ("fleet", 60.0, shared::fleet),
    ("two-tables", 45.0, shared::two_tables),
];

/// What a request takes, of which the fake makes 80 to 120 %, unless a scenario says otherwise.
const SERVICE_TIME: Duration = Duration::from_millis(5);

fn capacity(partitions: usize) -> Capacity {
    Capacity::enforced()
        .partitions(partitions)
        .service_time(SERVICE_TIME)
        .seed(11)
}

fn table(name: &str) -> TableSpec {
    TableSpec::new(name)
        .partition("pk", KeyKind::String)
        .sort("sk", KeyKind::Number)
}

fn offered(name: &'static str, rate: f64) -> Class {
    Class::new(name, Pace::Offered(Arc::new(move |_| rate)))
}

/// The bars for ours that most scenarios have: so much used, so little throttled.
fn usual(scenario: &Scenario, runs: &Runs, report: &mut Report, used: f64, throttled: f64) {
    let Some(ours) = runs.of(Kind::Ours) else {
        return;
    };
    let share = ours.used(scenario) * 100.0;
    scenario.bar(report, "used, %", share, Bound::AtLeast(used));
    let share = ours.window(scenario, 0).throttled_share() * 100.0;
    scenario.bar(
        report,
        "requests throttled, %",
        share,
        Bound::AtMost(throttled),
    );
}
