//! A scenario with what is said of its runs.

use crate::kind::Kind;
use crate::measure::Run;
use crate::report::Report;
use crate::scenario::Scenario;

pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    own: fn(&Scenario, &Run) -> String,
    bars: fn(&Scenario, &Runs, &mut Report),
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

    /// Sets the figures that are this scenario's own, in words.
    pub(crate) fn own(self, own: fn(&Scenario, &Run) -> String) -> Self {
        Self { own, ..self }
    }

    /// Sets the bars.
    pub(crate) fn bars(self, bars: fn(&Scenario, &Runs, &mut Report)) -> Self {
        Self { bars, ..self }
    }

    /// Returns the run's own figures, in words.
    pub(crate) fn own_figures(&self, run: &Run) -> String {
        (self.own)(&self.scenario, run)
    }

    /// Adds the bars that these runs are held to.
    pub(crate) fn add_bars(&self, runs: &Runs, report: &mut Report) {
        (self.bars)(&self.scenario, runs, report);
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
