//! Refusals that the rate does not cause, and that come and go; and a limit that changes while a
//! share of the writes is refused at any rate.

use std::sync::Arc;

use dynamodb_connector::test_util::TableSpecExt as _;

use super::parts::{Row, capacity, table};
use super::shared::percents;
use super::unrelated::{OFFERED_PER_SECOND, SHORT_UNITS, bar_used, case, open, refused, short};
use crate::case::Case;
use crate::kind::{Kind, Sight};
use crate::measure::Run;
use crate::report::Bound;
use crate::scenario::{Action, Possible, Scenario, Step};

pub(super) const ROWS: [Row; 11] = [
    ("refusals-end", 50.0, refusals_end),
    ("steps-blind-0", 180.0, |n, s| steps_blind(n, s, 0.0)),
    ("steps-blind-5", 180.0, |n, s| steps_blind(n, s, 5.0)),
    ("shares-change-known", 100.0, |n, s| {
        shares_change(n, s, Sight::Known)
    }),
    ("shares-change-blind", 100.0, |n, s| {
        shares_change(n, s, Sight::Blind)
    }),
    ("bursts-0.2-of-2-known", 60.0, |n, s| {
        bursts(n, s, Sight::Known, 0.2, 2.0)
    }),
    ("bursts-0.2-of-2-blind", 60.0, |n, s| {
        bursts(n, s, Sight::Blind, 0.2, 2.0)
    }),
    ("bursts-0.1-of-1-known", 60.0, |n, s| {
        bursts(n, s, Sight::Known, 0.1, 1.0)
    }),
    ("bursts-0.1-of-1-blind", 60.0, |n, s| {
        bursts(n, s, Sight::Blind, 0.1, 1.0)
    }),
    ("outage-known", 62.0, |n, s| outage(n, s, Sight::Known)),
    ("outage-blind", 62.0, |n, s| outage(n, s, Sight::Blind)),
];

/// Returns the steps that refuse everything from one time to another.
fn gap(from: f64, until: f64) -> [Step; 2] {
    [(from, 1.0), (until, 0.0)].map(|(at, share)| Step {
        at,
        action: Action::SetRefused(share),
    })
}

/// Makes a scenario in which 30 % are refused from second 20 to 30. The window begins at 40.
fn refusals_end(name: &'static str, seconds: f64) -> Case {
    let steps = [(0.4, 0.3), (0.6, 0.0)].map(|(at, share)| Step {
        at: at * seconds,
        action: Action::SetRefused(share),
    });
    let scenario = Scenario {
        from: seconds * 0.8,
        steps: steps.into(),
        ..open(name, seconds)
    };
    case(scenario).bars(|scenario, runs, report| bar_used(scenario, runs, report, 95.0))
}

const LOW_UNITS: u32 = 300;

/// A change is followed when over so many seconds so much of what is possible is used, and less is
/// refused than this beyond what is at any rate.
const FOLLOWED_SECONDS: f64 = 3.0;
const FOLLOWED_USED_RATIO: f64 = 0.9;
const FOLLOWED_REFUSED_RATIO: f64 = 0.05;

/// Makes a scenario of 1,000 units, 300 in the second third, and 1,000 again. The table is on
/// demand with a maximum, as such a one saves nothing: out of its savings a provisioned one would
/// take the old rate for a while, and seem to be followed at once.
fn steps_blind(name: &'static str, seconds: f64, percent: f64) -> Case {
    let third = seconds / 3.0;
    let mut steps = refused(percent);
    steps.extend(
        [(1.0, LOW_UNITS), (2.0, SHORT_UNITS)].map(|(at, units)| Step {
            at: at * third,
            action: Action::SetMaxUnits(units.into()),
        }),
    );
    let table = table("orders")
        .on_demand_at_most(SHORT_UNITS.into())
        .enforce(capacity(4));
    let rate = move |at: f64| {
        let low = (third..2.0 * third).contains(&at);
        f64::from(if low { LOW_UNITS } else { SHORT_UNITS })
    };
    let scenario = Scenario {
        tables: vec![table],
        possible: Possible::Units(Arc::new(rate)),
        disturbed: third,
        steps,
        ..short(name, seconds, Sight::Blind)
    };
    Case::new(scenario)
        .own(|scenario, run| {
            let [start, down, up] = seconds_to_follow(scenario, run);
            format!("followed from the start after {start:.1} s, down {down:.1} s, up {up:.1} s")
        })
        .bars(|scenario, runs, report| {
            if let Some(ours) = runs.of(Kind::Ours) {
                let [_, down, up] = seconds_to_follow(scenario, ours);
                for (name, seconds) in [("down", down), ("up", up)] {
                    let figure = format!("seconds to follow {name}");
                    scenario.bar(report, &figure, seconds, Bound::AtMost(15.0));
                }
                let (figure, mean) = ("seconds to follow, mean", f64::midpoint(down, up));
                scenario.bar(report, figure, mean, Bound::AtMost(10.0));
            }
        })
}

/// Returns the seconds from the beginning of each third; not a number where it was not followed
/// within that.
fn seconds_to_follow(scenario: &Scenario, run: &Run) -> [f64; 3] {
    let third = scenario.seconds / 3.0;
    let length = FOLLOWED_SECONDS.min(third / 4.0);
    let refused = scenario.refused_at(0.0) + FOLLOWED_REFUSED_RATIO;
    [0.0, 1.0, 2.0].map(|place| {
        let from = place * third;
        run.settled(from..from + third, length, |span| {
            span.consumed >= FOLLOWED_USED_RATIO * scenario.possible.over(*span)
                && span.in_vain_share() < refused
        })
    })
}

/// The shares refused, in percent, each for a fifth of the time.
const CHANGING_PERCENTS: [f64; 5] = [0.0, 20.0, 5.0, 50.0, 0.0];
/// The share of each fifth that does not count.
const STAGE_WARM_UP_SHARE: f64 = 0.1;

fn shares_change(name: &'static str, seconds: f64, sight: Sight) -> Case {
    let stages = (0..5u8).zip(CHANGING_PERCENTS);
    let steps = stages.map(|(place, percent)| Step {
        at: f64::from(place) * seconds / 5.0,
        action: Action::SetRefused(percent / 100.0),
    });
    let scenario = Scenario {
        steps: steps.collect(),
        ..short(name, seconds, sight)
    };
    Case::new(scenario)
        .own(|scenario, run| format!("used {}", percents(&used_by_stage(scenario, run))))
        .bars(|scenario, runs, report| {
            if let Some(ours) = runs.of(Kind::Ours) {
                let used = used_by_stage(scenario, ours);
                let worst = used.into_iter().fold(f64::INFINITY, f64::min) * 100.0;
                let figure = "used in the worst fifth, %";
                scenario.bar(report, figure, worst, Bound::AtLeast(90.0));
            }
        })
}

/// Returns the share of what is possible that was used between each step and the next.
fn used_by_stage(scenario: &Scenario, run: &Run) -> Vec<f64> {
    let length = scenario.seconds / 5.0;
    let used = scenario.steps.iter().map(|step| {
        let from = step.at + STAGE_WARM_UP_SHARE * length;
        let span = run.span(0, from, step.at + length);
        span.consumed / scenario.possible.over(span)
    });
    used.collect()
}

/// Makes a scenario of a table that is known and short, or one that is neither. What the gaps leave
/// is possible, or all that is offered, as that can be caught up with.
fn known_or_open(name: &'static str, seconds: f64, sight: Sight, gap_share: f64) -> Scenario {
    let (scenario, rate) = match sight {
        Sight::Known => (
            short(name, seconds, sight),
            f64::from(SHORT_UNITS) * (1.0 - gap_share),
        ),
        Sight::Blind => (open(name, seconds), OFFERED_PER_SECOND),
    };
    Scenario {
        possible: Possible::steady(rate),
        ..scenario
    }
}

/// Makes a case of 90 % used.
fn mostly_used(scenario: Scenario) -> Case {
    Case::new(scenario).bars(|scenario, runs, report| bar_used(scenario, runs, report, 90.0))
}

/// Makes a scenario in which everything is refused at the end of each period, for so many seconds.
fn bursts(name: &'static str, seconds: f64, sight: Sight, refused: f64, period: f64) -> Case {
    let ends = std::iter::successors(Some(period), |end| Some(end + period));
    let gaps = ends.take_while(|end| *end <= seconds);
    mostly_used(Scenario {
        steps: gaps.flat_map(|end| gap(end - refused, end)).collect(),
        ..known_or_open(name, seconds, sight, refused / period)
    })
}

/// Makes a scenario in which everything is refused from second 30 to 50. The window begins at 52.
fn outage(name: &'static str, seconds: f64, sight: Sight) -> Case {
    let at = |second: f64| second / 62.0 * seconds;
    mostly_used(Scenario {
        from: at(52.0),
        steps: gap(at(30.0), at(50.0)).into(),
        disturbed: at(50.0),
        ..known_or_open(name, seconds, sight, 0.0)
    })
}
