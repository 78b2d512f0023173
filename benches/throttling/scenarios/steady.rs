//! Overload of one table that stays as it is.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::test_util::{Refill, TableSpecExt as _};

use super::parts::{UNITS, capacity, overloaded, table, usual};
use crate::case::{Case, Runs};
use crate::kind::Kind;
use crate::load::{Class, MIXED, Pace, Sizes};
use crate::measure::Run;
use crate::report::{Bound, Report};
use crate::scenario::{Possible, Scenario};

/// What was measured of the real sink, and how far the re-creation may be from it, in percent.
const FLINK_BY_SECOND: f64 = 35.0;
const FLINK_DRIPPING: f64 = 42.0;
const NEAR: f64 = 5.0;
/// Neither the service time of that measurement is known nor how its SDK retried. Both are chosen
/// so that the shares throttled agree: this time by the dripping one, which falls as requests take
/// longer, and the retries (see [`crate::flink`]) by the other, which hardly depends on the time.
const FLINK_SERVICE_TIME: Duration = Duration::from_millis(15);

pub(super) fn by_second(name: &'static str, seconds: f64) -> Case {
    let scenario = uniform(name, seconds, Refill::BySecond);
    Case::new(scenario)
        .bars(|scenario, runs, report| overload(scenario, runs, report, FLINK_BY_SECOND))
}

pub(super) fn dripping(name: &'static str, seconds: f64) -> Case {
    let scenario = uniform(name, seconds, Refill::Dripping);
    Case::new(scenario)
        .bars(|scenario, runs, report| overload(scenario, runs, report, FLINK_DRIPPING))
}

fn uniform(name: &'static str, seconds: f64, refill: Refill) -> Scenario {
    let capacity = capacity(4).refill(refill).service_time(FLINK_SERVICE_TIME);
    let table = table("orders").provisioned(5, UNITS).enforce(capacity);
    overloaded(name, seconds, table)
}

fn overload(scenario: &Scenario, runs: &Runs, report: &mut Report, flink: f64) {
    usual(scenario, runs, report, 98.0, 1.0);
    if let Some(run) = runs.of(Kind::Flink) {
        let throttled = run.window(scenario, 0).throttled_share() * 100.0;
        let figure = format!("Flink's strategy, requests throttled, points from {flink} %");
        let distance = (throttled - flink).abs();
        scenario.bar(report, &figure, distance, Bound::AtMost(NEAR));
    }
}

/// A job of 100,000 records against a table that has saved all that it can. Its eight partitions
/// take 8,000 units a second, which is what is possible.
pub(super) fn burst(name: &'static str, seconds: f64) -> Case {
    let table = table("orders")
        .provisioned(5, UNITS)
        .enforce(capacity(8).full_bank());
    let job = Class {
        total: Some(100_000),
        ..Class::new("job", Pace::Overload)
    };
    let scenario = Scenario {
        possible: Possible::steady(8_000.0),
        ..Scenario::new(name, seconds, table, vec![job])
    };
    Case::new(scenario)
        .own(|_, run| {
            let job = if run.done.is_nan() {
                "not done".to_owned()
            } else {
                format!("done in {:.1} s", run.done)
            };
            format!("{job}, {:.1} % throttled in all", whole(run))
        })
        .bars(|scenario, runs, report| {
            let Some(ours) = runs.of(Kind::Ours) else {
                return;
            };
            if let Some(fastest) = runs.least_of_others(|run| run.done) {
                let ratio = ours.done / fastest;
                scenario.bar(report, "time to the fastest's", ratio, Bound::AtMost(1.25));
            }
            // Of the whole job, its beginning too: there is more to throttle in it.
            scenario.bar(
                report,
                "requests throttled, %",
                whole(ours),
                Bound::AtMost(2.0),
            );
        })
}

fn whole(run: &Run) -> f64 {
    run.span(0, 0.0, run.ended).throttled_share() * 100.0
}

/// Records of 200 bytes to 60 KB. A size starves where fewer of it are written than there were
/// among as many records in the order of their acceptance.
pub(super) fn sizes(name: &'static str, seconds: f64) -> Case {
    let table = table("orders").provisioned(5, UNITS).enforce(capacity(4));
    let mixed = Class {
        sizes: Sizes::Mixed,
        ..Class::new("mixed", Pace::Overload)
    };
    let scenario = Scenario::new(name, seconds, table, vec![mixed]);
    Case::new(scenario)
        .own(|_, run| {
            format!(
                "the least served size {:.3} of its share",
                least_served(run)
            )
        })
        .bars(|scenario, runs, report| {
            let Some(ours) = runs.of(Kind::Ours) else {
                return;
            };
            let used = ours.used(scenario) * 100.0;
            scenario.bar(report, "used, %", used, Bound::AtLeast(97.0));
            let least = least_served(ours);
            scenario.bar(report, "least served size", least, Bound::AtLeast(0.9));
        })
}

fn least_served(run: &Run) -> f64 {
    let sizes = run.written_by_size::<{ MIXED.len() }>();
    sizes
        .into_iter()
        .map(|(written, due)| written / due)
        .min_by(f64::total_cmp)
        .unwrap_or(f64::NAN)
}

/// Five times what the table takes at the start. It grows while it is used, and what it grants
/// at each moment is what is possible.
pub(super) fn on_demand(name: &'static str, seconds: f64) -> Case {
    let table = table("orders").enforce(capacity(8).warm_units(4_000));
    let offered = Class::new("all", Pace::Offered(Arc::new(|_| 20_000.0)));
    let scenario = Scenario::new(name, seconds, table, vec![offered]);
    Case::new(scenario)
        .own(|scenario, run| {
            let span = run.window(scenario, 0);
            format!(
                "{:.0} units/s granted",
                span.granted / (span.until - span.from)
            )
        })
        .bars(|scenario, runs, report| usual(scenario, runs, report, 97.0, 2.0))
}
