//! Several clients that know nothing of each other share one table of 1,000 units, in overload,
//! while a share of the writes is refused at any rate.

use super::parts::{Row, usual};
use super::shared::{percents, unevenness};
use super::unrelated::{bar_used, refused, refused_beyond, short};
use crate::case::{Case, Runs};
use crate::kind::{Kind, Sight};
use crate::measure::Run;
use crate::report::{Bound, Report};
use crate::scenario::{Action, Scenario, Step};

pub(super) const ROWS: [Row; 9] = [
    ("fleet-4-known-0", 120.0, |n, s| known(n, s, 4, 0.0)),
    ("fleet-4-known-10", 120.0, |n, s| known(n, s, 4, 10.0)),
    ("fleet-8-known-0", 120.0, |n, s| known(n, s, 8, 0.0)),
    ("fleet-8-known-10", 120.0, |n, s| known(n, s, 8, 10.0)),
    ("fleet-4-blind-0", 120.0, |n, s| blind(n, s, 4, 0.0)),
    ("fleet-4-blind-10", 120.0, |n, s| blind(n, s, 4, 10.0)),
    ("fleet-8-blind-0", 120.0, |n, s| blind(n, s, 8, 0.0)),
    ("fleet-8-blind-10", 120.0, |n, s| blind(n, s, 8, 10.0)),
    ("newcomer-blind", 130.0, newcomer_blind),
];

/// Up to so many clients a fleet is small: the more there are, the more they disturb each other.
const SMALL_FLEET_CLIENTS: usize = 4;

/// Makes a scenario of so many clients. The window leaves out the first sixth.
fn fleet(name: &'static str, seconds: f64, sight: Sight, clients: usize, percent: f64) -> Scenario {
    Scenario {
        clients,
        from: seconds / 6.0,
        steps: refused(percent),
        ..short(name, seconds, sight)
    }
}

/// Makes a case that says what each client had.
fn case(scenario: Scenario) -> Case {
    Case::new(scenario).own(|scenario, run| {
        let shares = late_shares(scenario, run);
        format!(
            "shares {}; Jain's index {:.3}; {:.1} points refused beyond what is at any rate",
            percents(&shares),
            jain(&shares),
            refused_beyond(scenario, run)
        )
    })
}

fn known(name: &'static str, seconds: f64, clients: usize, percent: f64) -> Case {
    let scenario = fleet(name, seconds, Sight::Known, clients, percent);
    case(scenario).bars(|scenario, runs, report| {
        if scenario.refused_at(0.0) > 0.0 {
            bar_used(scenario, runs, report, 95.0);
            bar_jain(scenario, runs, report, 0.97);
        } else {
            let small = scenario.clients <= SMALL_FLEET_CLIENTS;
            usual(scenario, runs, report, 95.0, if small { 3.0 } else { 6.0 });
        }
    })
}

fn blind(name: &'static str, seconds: f64, clients: usize, percent: f64) -> Case {
    blind_case(fleet(name, seconds, Sight::Blind, clients, percent))
}

fn blind_case(scenario: Scenario) -> Case {
    case(scenario).bars(|scenario, runs, report| {
        bar_used(scenario, runs, report, 95.0);
        bar_jain(scenario, runs, report, 0.95);
        if let Some(ours) = runs.of(Kind::Ours) {
            let small = scenario.clients <= SMALL_FLEET_CLIENTS;
            let most = unevenness(&late_shares(scenario, ours));
            let bound = Bound::AtMost(if small { 25.0 } else { 30.0 });
            scenario.bar(
                report,
                "most that a share is off the even one, %",
                most,
                bound,
            );
        }
    })
}

/// When the second client comes, and from when shares count then, as shares of the time.
const JOIN_TIME_RATIO: f64 = 40.0 / 130.0;
const JOINED_SHARES_TIME_RATIO: f64 = 100.0 / 130.0;
/// From when shares count where all clients are there from the start.
const SHARES_TIME_RATIO: f64 = 0.5;

/// Makes a scenario of one client that has found out what it can have, and another that comes late.
/// The window begins when it comes.
fn newcomer_blind(name: &'static str, seconds: f64) -> Case {
    let joins = Step {
        at: seconds * JOIN_TIME_RATIO,
        action: Action::Join,
    };
    blind_case(Scenario {
        from: joins.at,
        steps: vec![joins],
        ..fleet(name, seconds, Sight::Blind, 1, 0.0)
    })
}

/// Returns each client's share of the second half, or of a time well after one has joined.
fn late_shares(scenario: &Scenario, run: &Run) -> Vec<f64> {
    let joined = |step: &Step| matches!(step.action, Action::Join);
    let from = if scenario.steps.iter().any(joined) {
        JOINED_SHARES_TIME_RATIO
    } else {
        SHARES_TIME_RATIO
    };
    run.shares(scenario.seconds * from)
}

/// Adds the bar that the shares of ours are even.
fn bar_jain(scenario: &Scenario, runs: &Runs, report: &mut Report, bound: f64) {
    if let Some(ours) = runs.of(Kind::Ours) {
        let index = jain(&late_shares(scenario, ours));
        let figure = "Jain's index of the shares";
        scenario.bar(report, figure, index, Bound::AtLeast(bound));
    }
}

/// Returns Jain's index: 1 where all have the same, the inverse of their number where one has all.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (squares * shares.len() as f64)
}
