//! A scenario with the figures and bars that are its own, and its runs.

use crate::kind::Kind;
use crate::measure::Run;
use crate::report::Report;
use crate::scenario::Scenario;

pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    /// The figures that are this scenario's own, in words.
    pub(crate) own: fn(&Scenario, &Run) -> String,
    pub(crate) bars: fn(&Scenario, &Runs, &mut Report),
}

impl Case {
    /// Makes a case with neither figures of its own nor bars.
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            own: |_, _| String::new(),
            bars: |_, _, _| {},
        }
    }

    pub(crate) fn own(self, own: fn(&Scenario, &Run) -> String) -> Self {
        Self { own, ..self }
    }

    pub(crate) fn bars(self, bars: fn(&Scenario, &Runs, &mut Report)) -> Self {
        Self { bars, ..self }
    }
}

/// The runs of one scenario.
pub(crate) struct Runs(pub(crate) Vec<Run>);

impl Runs {
    pub(crate) fn of(&self, kind: Kind) -> Option<&Run> {
        self.0.iter().find(|run| run.kind == kind)
    }

    /// The least of a figure among the others than ours; `None` where none of them ran.
    pub(crate) fn least_of_others(&self, figure: impl Fn(&Run) -> f64) -> Option<f64> {
        let others = self.0.iter().filter(|run| run.kind != Kind::Ours);
        others.map(figure).min_by(f64::total_cmp)
    }
}
