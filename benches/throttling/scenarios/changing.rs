//! A load or a capacity that changes.

use std::sync::Arc;

use dynamodb_connector::test_util::TableSpecExt as _;

use super::parts::{UNITS, capacity, overloaded, table};
use crate::case::Case;
use crate::kind::Kind;
use crate::load::{Class, Pace, Rate};
use crate::measure::Run;
use crate::record::Written;
use crate::report::Bound;
use crate::scenario::{Action, Possible, Scenario, Step};

const LOW: f64 = 0.2;
const HIGH: f64 = 1.8;

/// Two times low and high, a quarter of the time each. What the low quarter leaves the table
/// saves, and that covers the high one, so all that is offered is possible when it is offered:
/// the four partitions take 4,000 a second.
pub(super) fn swing(name: &'static str, seconds: f64) -> Case {
    let table = table("orders").provisioned(5, UNITS).enforce(capacity(4));
    let quarter = seconds / 4.0;
    let offered: Rate = Arc::new(move |at| {
        let low = at.rem_euclid(2.0 * quarter) < quarter;
        let units = f64::from(u32::try_from(UNITS).expect("some thousand"));
        units * if low { LOW } else { HIGH }
    });
    let class = Class::new("all", Pace::Offered(Arc::clone(&offered)));
    let scenario = Scenario {
        possible: Possible::Units(offered),
        disturbed: quarter,
        ..Scenario::new(name, seconds, table, vec![class])
    };
    Case::new(scenario).bars(|scenario, runs, report| {
        let Some(ours) = runs.of(Kind::Ours) else {
            return;
        };
        let used = ours.used(scenario) * 100.0;
        let figure = "written of what was offered, %";
        scenario.bar(report, figure, used, Bound::AtLeast(98.0));
        let p99 = |run: &Run| run.p99(scenario, due);
        if let Some(best) = runs.least_of_others(p99) {
            let ratio = p99(ours) / best;
            let figure = "p99 from when it was due, to the best other's";
            scenario.bar(report, figure, ratio, Bound::AtMost(1.0));
        }
    })
}

fn due(written: &Written) -> Option<f32> {
    Some(written.from_due).filter(|time| !time.is_nan())
}

/// How long a change may go unnoticed, in seconds.
const REFRESH: f64 = 10.0;

/// Up to twice the units, then down to a quarter of these.
pub(super) fn step(name: &'static str, seconds: f64) -> Case {
    let table = table("orders").provisioned(5, 1_000).enforce(capacity(4));
    let steps = vec![
        Step {
            at: seconds * 0.33,
            action: Action::SetUnits(2_000),
        },
        Step {
            at: seconds * 0.66,
            action: Action::SetUnits(500),
        },
    ];
    let scenario = Scenario {
        disturbed: steps[0].at,
        steps,
        ..overloaded(name, seconds, table)
    };
    Case::new(scenario)
        .own(|scenario, run| {
            let each = after_steps(scenario, run);
            let [up, down] = each.map(|(recovery, throttled)| {
                let followed = if recovery.is_nan() {
                    "never".to_owned()
                } else {
                    format!("{recovery:.1} s")
                };
                format!("{followed}, then {throttled:.1} % throttled")
            });
            format!("up: {up}; down: {down}")
        })
        .bars(|scenario, runs, report| {
            let Some(ours) = runs.of(Kind::Ours) else {
                return;
            };
            let each = after_steps(scenario, ours);
            for (name, (recovery, throttled)) in ["up", "down"].into_iter().zip(each) {
                let figure = format!("seconds to follow {name}");
                scenario.bar(report, &figure, recovery, Bound::AtMost(REFRESH));
                let figure = format!("requests throttled after {name}, %");
                scenario.bar(report, &figure, throttled, Bound::AtMost(2.0));
            }
        })
}

/// The recovery from each step, and the share throttled from one refresh after it to the next.
fn after_steps(scenario: &Scenario, run: &Run) -> [(f64, f64); 2] {
    let at = |step: usize| scenario.steps.get(step).map_or(run.ended, |step| step.at);
    [0, 1].map(|step| {
        let refreshed = at(step) + REFRESH.min(scenario.seconds / 7.0);
        let span = run.span(0, refreshed, at(step + 1));
        let recovery = run.recovery(scenario, at(step));
        (recovery, span.throttled_share() * 100.0)
    })
}
