//! The changes of a lease by its owner, and their results.

use std::collections::BTreeSet;

use super::super::ShardId;
use super::row::{Checkpoint, LeaseRow};

/// A change that an owner makes to its lease. Every change also counts as a renewal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Change {
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The children of a finished shard.
    pub(crate) children: BTreeSet<ShardId>,
    /// The time up to which a shard at LATEST was read.
    pub(crate) read: Option<u64>,
    /// The time at which the lease was first taken, for a row that has no time of creation.
    pub(crate) created: Option<u64>,
    /// Set to give the lease up: to the worker that asked for it, else to any.
    pub(crate) let_go: bool,
}

impl Change {
    /// Returns the change that gives a lease up and leaves all else as it is.
    pub(crate) fn let_go() -> Self {
        Self {
            let_go: true,
            ..Self::default()
        }
    }
}

/// The result of a conditional write.
#[derive(Debug)]
pub(crate) enum Written {
    Done,
    /// The row was not as expected; this is the row as it stands, if there is one that can be read.
    Refused(Option<Box<LeaseRow>>),
}
