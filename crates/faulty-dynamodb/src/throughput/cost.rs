//! The capacity that a write draws on.

/// Write units of one write.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WriteCost {
    /// Of the table itself.
    pub(crate) table: f64,
    /// Of each index, in their order; 0 where the write leaves one alone.
    pub(crate) indexes: Vec<f64>,
}
