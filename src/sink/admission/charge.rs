//! The room that a record takes of a buffer, and the bounds of the buffer.

use crate::admission::Limits;

/// The room that a record takes of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink) struct Charge {
    pub(in crate::sink) bytes: usize,
    /// The hash of its partition key.
    pub(in crate::sink) partition: u64,
    /// The indexes that it enters, a bit for each.
    pub(in crate::sink) indexes: u32,
}

impl Charge {
    /// The charge of a record that does not enter.
    pub(in crate::sink) const NONE: Self = Self {
        bytes: 0,
        partition: 0,
        indexes: 0,
    };
}

/// The bounds of a buffer.
#[derive(Clone, Copy, Debug)]
pub(in crate::sink) struct Bounds {
    pub(in crate::sink) buffer: Limits,
    /// The most records that one partition key may have in the buffer, or that may enter an index
    /// that is short of capacity.
    pub(in crate::sink) share: usize,
}
