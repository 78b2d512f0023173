//! One scenario: tables, what is offered to them, what changes meanwhile, and what is possible.

use std::sync::Arc;

use dynamodb_connector::test_util::FakeTable;

use crate::kind::Sight;
use crate::load::{Class, Rate};
use crate::report::{Bound, Report};

/// What the windows leave out at the beginning, in seconds.
pub(crate) const WARM_UP: f64 = 5.0;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// How long it lasts; a job ends earlier, when it is done.
    pub(crate) seconds: f64,
    /// When the window begins, in seconds.
    pub(crate) from: f64,
    /// The general figures are the first's.
    pub(crate) tables: Vec<FakeTable>,
    /// What each client is offered.
    pub(crate) classes: Vec<Class>,
    /// How many there are at the start.
    pub(crate) clients: usize,
    pub(crate) sight: Sight,
    /// In the order of their times.
    pub(crate) steps: Vec<Step>,
    pub(crate) possible: Possible,
    /// From when the recovery counts, in seconds.
    pub(crate) disturbed: f64,
}

/// A change at a time, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) at: f64,
    pub(crate) action: Action,
}

#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// Gives the first table so many write units.
    SetUnits(u64),
    /// Gives the first table, which is on demand, so many write units at most.
    SetMaxUnits(u64),
    /// Refuses each write with this probability from now on, whatever the rate.
    SetRefused(f64),
    /// Opens another client and offers it what the others are offered.
    Join,
}

/// What a client could have used of the first table.
pub(crate) enum Possible {
    /// What the fake granted.
    Granted,
    /// So many units a second, worked out beforehand.
    Units(Rate),
}

impl Possible {
    pub(crate) fn steady(units: f64) -> Self {
        Self::Units(Arc::new(move |_| units))
    }
}

impl Scenario {
    /// One client that is offered these classes, with a window from the warm-up on.
    pub(crate) fn new(
        name: &'static str,
        seconds: f64,
        table: impl Into<FakeTable>,
        classes: Vec<Class>,
    ) -> Self {
        Self {
            name,
            seconds,
            from: WARM_UP.min(seconds / 2.0),
            tables: vec![table.into()],
            classes,
            clients: 1,
            sight: Sight::Known,
            steps: Vec::new(),
            possible: Possible::Granted,
            disturbed: 0.0,
        }
    }

    /// Returns the share of the writes that is refused at a time, whatever the rate.
    pub(crate) fn refused_at(&self, at: f64) -> f64 {
        let begun = self.steps.iter().take_while(|step| step.at <= at);
        let refused = begun.filter_map(|step| match step.action {
            Action::SetRefused(share) => Some(share),
            Action::SetUnits(_) | Action::SetMaxUnits(_) | Action::Join => None,
        });
        refused.last().unwrap_or(0.0)
    }

    pub(crate) fn bar(&self, report: &mut Report, figure: &str, value: f64, bound: Bound) {
        report.bar(format!("{}: {figure}", self.name), value, bound);
    }
}
