//! The scenarios, in the order of the report. Each is made for a number of seconds; what happens
//! within it scales with them.

mod changing;
mod shared;
mod steady;

use dynamodb_connector::test_util::{Capacity, KeyType, TableSpec};
use std::time::Duration;

use crate::contender::Kind;
use crate::report::{Bound, Report};
use crate::scenario::{Runs, Scenario};

/// A scenario's name, how many seconds it lasts, and how it is made.
pub(crate) type Entry = (&'static str, f64, fn(f64) -> Scenario);

pub(crate) const ALL: [Entry; 11] = [
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
        .partition("pk", KeyType::S)
        .sort("sk", KeyType::N)
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
