//! The rows: a figure each, whatever it is of.

use crate::report::{Bound, Cell, Report};
use crate::rig::quantiles::Quantiles;

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

    pub(crate) fn row(&mut self, row: &Row<'_>, figures: &Quantiles) {
        self.0.row([
            Cell::text(row.what.to_owned()),
            Cell::text(row.unit),
            Cell::Number(figures.at(0.5), 2),
            Cell::Number(figures.at(0.99), 2),
            Cell::Number(figures.most(), 2),
            Cell::Number(figures.count() as f64, 0),
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
        self.row(&row, &Quantiles::from_iter([figure]));
    }

    pub(crate) fn bar(&mut self, name: impl Into<String>, value: f64, most: f64) {
        self.0.bar(name, value, Bound::AtMost(most));
    }

    pub(crate) fn print(&self) {
        self.0.print();
    }
}
