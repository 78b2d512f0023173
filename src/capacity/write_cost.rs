//! The cost of a write in the budgets that it draws on, and the units that the service counts for
//! it.

/// The cost of a write, in the budgets that it draws on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteCost {
    /// The hash of its partition key.
    pub(crate) partition: u64,
    /// Write units of the table.
    pub(crate) units: u32,
    /// The global indexes that the write enters, a bit for each position.
    pub(crate) indexes: u32,
    /// Write units of an index that projects all attributes.
    pub(crate) index_units_all: u16,
    /// Write units of an index that projects keys only.
    pub(crate) index_units_keys_only: u16,
}

impl WriteCost {
    /// Returns whether the write enters the index at this position.
    pub(crate) fn enters(self, at: usize) -> bool {
        u32::try_from(at)
            .ok()
            .and_then(|at| 1_u32.checked_shl(at))
            .is_some_and(|bit| self.indexes & bit != 0)
    }

    /// Returns the write units that the write costs the index at this position.
    pub(super) fn index_units(self, at: usize, kinds: &[IndexKind]) -> u32 {
        match kinds.get(at) {
            Some(kind) if self.enters(at) => u32::from(if kind.keys_only {
                self.index_units_keys_only
            } else {
                self.index_units_all
            }),
            _ => 0,
        }
    }
}

/// The properties of an index that its budget depends on.
#[derive(Clone, Debug)]
pub(crate) struct IndexKind {
    pub(crate) name: String,
    /// Set if the index projects keys only.
    pub(crate) keys_only: bool,
}

/// The units that a request consumed, as the service reports them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Consumption {
    /// Units of the table and its local indexes.
    pub(crate) table: f64,
    /// Units of the global indexes, by position.
    pub(crate) indexes: Vec<(usize, f64)>,
}

impl Consumption {
    /// Returns the units of one index; none where the report does not name it.
    pub(super) fn index(&self, at: usize) -> f64 {
        let found = self.indexes.iter().find(|(index, _)| *index == at);
        found.map_or(0.0, |(_, units)| *units)
    }
}
