//! The rows: a figure each, whatever it is of.

use crate::report::{Bound, Cell, Report};
use crate::rig::rounds::{median, most, percentile};
use crate::rig::times::Times;

pub(crate) struct Table(Report);

/// A figure's name, and what the KCL has in its place.
pub(crate) struct Row<'a> {
    pub(crate) what: &'a str,
    pub(crate) unit: &'static str,
    pub(crate) kcl: &'static str,
    /// Reads of a shard in a second: of the one that was read most.
    pub(crate) reads: Option<f64>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let columns = [
            "what", "unit", "p50", "p99", "most", "samples", "reads/s", "KCL",
        ];
        Self(Report::new("streams", &columns))
    }

    /// Adds a row of times, in milliseconds.
    pub(crate) fn times(&mut self, row: &Row<'_>, times: &Times) {
        let quantiles = [times.at(0.5), times.at(0.99), times.most()];
        self.add(row, quantiles, times.count() as f64);
    }

    /// Adds a row of figures, one a round.
    pub(crate) fn rounds(&mut self, row: &Row<'_>, figures: &[f64]) {
        let all = || figures.iter().copied();
        let quantiles = [median(all()), percentile(all(), 99), most(all())];
        self.add(row, quantiles, figures.len() as f64);
    }

    fn add(&mut self, row: &Row<'_>, [p50, p99, most]: [f64; 3], samples: f64) {
        self.0.row([
            Cell::text(row.what.to_owned()),
            Cell::text(row.unit),
            Cell::Number(p50, 2),
            Cell::Number(p99, 2),
            Cell::Number(most, 2),
            Cell::Number(samples, 0),
            row.reads
                .map_or(Cell::NOTHING, |reads| Cell::Number(reads, 2)),
            Cell::text(row.kcl),
        ]);
    }

    /// A figure of which there is one.
    pub(crate) fn single(&mut self, what: &str, unit: &'static str, figure: f64) {
        let row = Row {
            what,
            unit,
            kcl: "",
            reads: None,
        };
        self.rounds(&row, &[figure]);
    }

    pub(crate) fn bar(&mut self, name: impl Into<String>, value: f64, most: f64) {
        self.0.bar(name, value, Bound::AtMost(most));
    }

    pub(crate) fn print(&self) {
        self.0.print();
    }
}
