//! The errors of snapshots.

use crate::error::ErrorKind;
use crate::item::ItemError;
use crate::sink::error::SubmitError;

/// The newest version of the format.
pub(super) const VERSION: u32 = 1;

/// The reason for which a snapshot can't be read or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It is no snapshot, or damaged.
    #[error("snapshot line {line}: {what}")]
    #[non_exhaustive]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// The fault.
        what: String,
    },
    /// It was written by a later version of this crate.
    #[error("snapshot version {found}, this crate reads 1 to {VERSION}")]
    #[non_exhaustive]
    Version {
        /// Its version.
        found: u32,
    },
    /// It was cut short or changed.
    #[error("snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// It holds writes of a table that this sink doesn't write to.
    #[error("snapshot holds {writes} writes of table {table:?}, which this sink did not open")]
    #[non_exhaustive]
    UnknownTable {
        /// The table.
        table: String,
        /// The number of writes.
        writes: usize,
    },
    /// A write breaks a limit or doesn't fit the table as it is now. None was submitted.
    #[error("write {place} of table {table:?}: {error}")]
    #[non_exhaustive]
    Write {
        /// The table.
        table: String,
        /// Counted from 0.
        place: usize,
        /// Attribute, size and limit.
        error: ItemError,
    },
    /// A write was not accepted; those before it were.
    #[error("write {place}: {error}")]
    #[non_exhaustive]
    Submit {
        /// Counted from 0.
        place: usize,
        /// The reason.
        error: SubmitError,
    },
}

impl SnapshotError {
    /// Returns the kind of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. }
            | Self::Version { .. }
            | Self::Damaged(_)
            | Self::Write { .. } => ErrorKind::Invalid,
            Self::UnknownTable { .. } => ErrorKind::Config,
            Self::Submit { error, .. } => error.kind(),
        }
    }

    /// Returns whether the same call may succeed later with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Submit { error, .. } if error.is_retryable())
    }
}
