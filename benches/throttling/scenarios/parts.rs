//! The parts that several scenarios have.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::{Capacity, FakeTable};

use crate::case::{Case, Runs};
use crate::kind::Kind;
use crate::load::{Class, Pace};
use crate::report::{Bound, Report};
use crate::scenario::Scenario;

/// A scenario's name, how many seconds it lasts, and how its case is made from both.
pub(super) type Row = (&'static str, f64, fn(&'static str, f64) -> Case);

/// Not a round number, so that a client that assumes one shows.
pub(super) const UNITS: u64 = 1_010;

/// The time that a request takes, of which the fake makes 80 to 120 %, unless a scenario says otherwise.
const SERVICE_TIME: Duration = Duration::from_millis(5);

pub(super) fn capacity(partitions: usize) -> Capacity {
    Capacity::enforced()
        .partitions(partitions)
        .service_time(SERVICE_TIME)
        .seed(11)
}

pub(super) fn table(name: &str) -> TableSpec {
    TableSpec::new(name)
        .partition("pk", KeyKind::String)
        .sort("sk", KeyKind::Number)
}

pub(super) fn offered(name: &'static str, rate: f64) -> Class {
    Class::new(name, Pace::Offered(Arc::new(move |_| rate)))
}

/// Makes a scenario of one table that is offered more than it takes.
pub(super) fn overloaded(
    name: &'static str,
    seconds: f64,
    table: impl Into<FakeTable>,
) -> Scenario {
    let class = Class::new("all", Pace::Overload);
    Scenario::new(name, seconds, table, vec![class])
}

/// The bars for ours that most scenarios have: so much used, so little throttled.
pub(super) fn usual(
    scenario: &Scenario,
    runs: &Runs,
    report: &mut Report,
    used: f64,
    throttled: f64,
) {
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
