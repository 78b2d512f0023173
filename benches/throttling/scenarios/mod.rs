//! The scenarios, in the order of the report. Each is made for a number of seconds; what happens
//! within it scales with them.

mod changing;
mod fleets;
mod parts;
mod shared;
mod steady;
mod unrelated;
mod unrelated_changes;

use self::parts::Row;
use crate::case::Case;
use crate::kind::Kind;

/// A scenario that can be chosen.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    row: Row,
    /// Who takes part.
    pub(crate) contenders: &'static [Kind],
}

impl Entry {
    /// Returns the name by which it is chosen.
    pub(crate) fn name(&self) -> &'static str {
        self.row.0
    }

    /// Makes the case for so many seconds, or for its own.
    pub(crate) fn case(&self, seconds: Option<f64>) -> Case {
        let (name, usual, make) = self.row;
        make(name, seconds.unwrap_or(usual))
    }
}

/// Returns all scenarios. Those about unrelated refusals are run for ours alone: the others slow
/// down for any refusal, and their rows would say no more.
pub(crate) fn all() -> Vec<Entry> {
    let of = |contenders| {
        move |row: &Row| Entry {
            row: *row,
            contenders,
        }
    };
    let unrelated = unrelated::ROWS.iter().chain(&unrelated_changes::ROWS);
    let ours = unrelated.chain(&fleets::ROWS).map(of(&[Kind::Ours]));
    EVERYONE.iter().map(of(&Kind::ALL)).chain(ours).collect()
}

const EVERYONE: [Row; 11] = [
    ("by-second", 60.0, steady::by_second),
    ("dripping", 60.0, steady::dripping),
    ("burst", 120.0, steady::burst),
    ("swing", 80.0, changing::swing),
    ("step", 70.0, changing::step),
    ("index", 45.0, shared::index),
    ("sizes", 60.0, steady::sizes),
    ("hot-key", 45.0, shared::hot_key),
    ("on-demand", 45.0, steady::on_demand),
    ("fleet", 60.0, shared::fleet),
    ("two-tables", 45.0, shared::two_tables),
];
