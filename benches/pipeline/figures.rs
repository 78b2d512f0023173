//! The rows of the table.

use crate::report::{Cell, Report};
use crate::rig::rounds::percentile;
use crate::rig::times::Times;

/// Adds the figures of rounds.
pub(crate) fn row(
    report: &mut Report,
    what: String,
    unit: &'static str,
    decimals: usize,
    figures: &[f64],
    added: f64,
) {
    let at = |percent| percentile(figures.iter().copied(), percent);
    report.row([
        Cell::text(what),
        Cell::text(unit),
        Cell::Number(at(50), decimals),
        Cell::Number(at(10), decimals),
        Cell::Number(at(90), decimals),
        Cell::NOTHING,
        Cell::Number(added, 2),
        Cell::Number(figures.len() as f64, 0),
    ]);
}

/// Adds times, in milliseconds.
pub(crate) fn times(report: &mut Report, what: String, times: &Times) {
    report.row([
        Cell::text(what),
        Cell::text("ms"),
        Cell::Number(times.at(0.5), 2),
        Cell::Number(times.at(0.1), 2),
        Cell::Number(times.at(0.9), 2),
        Cell::Number(times.at(0.99), 2),
        Cell::NOTHING,
        Cell::Number(times.count() as f64, 0),
    ]);
}
