//! A record as a caller of a stream takes it.

use super::record::Record;
use crate::progress::Ack;

/// A record, with the acknowledgement to give once all its effects are durable.
#[derive(Debug)]
#[non_exhaustive]
pub struct TrackedRecord {
    /// The change.
    pub record: Record,
    /// The acknowledgement to [complete](Ack::done) once every effect of the record is durable. If
    /// it is dropped without that, the shard is read again, after a second, from its last record
    /// with all up to it done. No record behind this one is given before.
    pub ack: Ack,
}

impl TrackedRecord {
    /// Returns whether this worker still has the record's shard, and no record before it was dropped: [`Ack::is_current`].
    /// Records that are not current are not handed out, but one may cease to be current afterward: check before each step,
    /// and skip the record if it is not. It is given again, to the worker that has the shard then.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.ack.is_current()
    }
}
