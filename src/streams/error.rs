//! The errors of a source.

use std::time::Duration;

use super::lease::MalformedRow;
use super::{SequenceNumber, ShardId};
use crate::error::ErrorKind;
use crate::gap::Gap;
use crate::item::DecodeError;
use crate::retry::ServiceError;
use crate::settings::ConfigError;

/// An error that kept a source from being opened, or that ended it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The table has no stream.
    #[error(
        "table {table:?} has no stream; switch it on with `aws dynamodb update-table --table-name {table} \
         --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES`"
    )]
    #[non_exhaustive]
    NoStream {
        /// The table.
        table: String,
    },
    /// The stream was switched off, and all records that it still held have been read.
    #[error("the stream of table {table:?} was switched off and has been read to its end")]
    #[non_exhaustive]
    StreamDisabled {
        /// The table.
        table: String,
    },
    /// The table was deleted. All records that its stream still held have been read.
    #[error("table {table:?} was deleted, and its stream has been read to its end")]
    #[non_exhaustive]
    TableDeleted {
        /// The table.
        table: String,
    },
    /// The leases belong to another table's stream, so to another application.
    #[error(
        "the leases in table {lease_table:?} are of another stream, {stream:?}: name a table of this application's own by `lease_table`"
    )]
    #[non_exhaustive]
    ForeignLeases {
        /// The lease table.
        lease_table: String,
        /// The ARN of the stream that the leases belong to.
        stream: String,
    },
    /// A callback of the source panicked. The record or gap that it was called with is given again
    /// when the source is opened again.
    #[error("the source's `{callback}` panicked")]
    #[non_exhaustive]
    CallbackPanicked {
        /// The builder's method that set the callback.
        callback: &'static str,
    },
    /// A request failed for good.
    #[error("{operation} of {target:?} failed: {error}")]
    #[non_exhaustive]
    Service {
        /// The operation, such as `DescribeStream`.
        operation: &'static str,
        /// The table or the stream.
        target: String,
        /// The service's error, or the failure to reach the service.
        error: ServiceError,
    },
    /// The lease table could not be created.
    #[error("lease table {table:?} could not be created: {problem}")]
    #[non_exhaustive]
    LeaseTableCreation {
        /// The lease table.
        table: String,
        /// The service's message.
        problem: String,
    },
    /// The lease table did not become active in time.
    #[error("lease table {table:?} is still not active after {waited:?}")]
    #[non_exhaustive]
    LeaseTableNotActive {
        /// The lease table.
        table: String,
        /// The time that was waited.
        waited: Duration,
    },
    /// The table that was set as the lease table is not one: its key differs.
    #[error(
        "table {table:?} is no lease table: its key must be `leaseKey`, a string, alone; name another by `lease_table`"
    )]
    #[non_exhaustive]
    NotALeaseTable {
        /// The lease table.
        table: String,
    },
    /// A row of the lease table can only be a shard's lease, but is malformed.
    #[error("lease table {table:?}: the lease of shard {shard} has {problem}")]
    #[non_exhaustive]
    MalformedLease {
        /// The lease table.
        table: String,
        /// The shard, as the row names it.
        shard: String,
        /// The defect of the row.
        problem: &'static str,
    },
    /// Changes were lost before they were read, and [`GapPolicy::Fail`](crate::GapPolicy::Fail) is set.
    #[error(
        "a gap in the stream of table {table:?}: {gap}; to go on all the same, set `on_gap` to report or rescan"
    )]
    #[non_exhaustive]
    Gap {
        /// The table.
        table: String,
        /// The missing changes.
        gap: Gap,
    },
    /// A record cannot be decoded, and there is no dead-letter handler to take it.
    #[error("record {} of shard {shard} can't be read: {error}", sequence.map_or_else(|| "without a number".to_owned(), |number| number.to_string()))]
    #[non_exhaustive]
    Undecodable {
        /// The shard.
        shard: ShardId,
        /// The record's sequence number; `None` for an item of a snapshot.
        sequence: Option<SequenceNumber>,
        /// The defect of the record.
        error: DecodeError,
    },
    /// A record is malformed or of an unknown kind, and there is no dead-letter handler to take it.
    #[error("a record of shard {shard} is no change: {problem}")]
    #[non_exhaustive]
    Malformed {
        /// The shard.
        shard: ShardId,
        /// The defect of the record.
        problem: String,
    },
    /// The handler refused a record for good, and there is no dead-letter handler to take it.
    #[error("the handler refused a record of shard {shard} for good: {problem}")]
    #[non_exhaustive]
    Refused {
        /// The shard.
        shard: ShardId,
        /// The handler's message.
        problem: String,
    },
    /// The service's listings of the stream's shards contradict each other repeatedly.
    #[error("the shards of table {table:?}'s stream can't be made out: {problem}")]
    #[non_exhaustive]
    InconsistentShards {
        /// The table.
        table: String,
        /// The contradiction.
        problem: String,
    },
    /// A task of the source panicked, which is a defect of this crate.
    #[error("a task of the source panicked")]
    Panicked,
}

impl StreamsError {
    /// Returns the kind of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_)
            | Self::NoStream { .. }
            | Self::LeaseTableCreation { .. }
            | Self::NotALeaseTable { .. }
            | Self::ForeignLeases { .. }
            | Self::MalformedLease { .. } => ErrorKind::Config,
            Self::CallbackPanicked { .. } => ErrorKind::Handler,
            Self::Service { error, .. } => error.kind(),
            Self::LeaseTableNotActive { .. } | Self::InconsistentShards { .. } => {
                ErrorKind::Unavailable
            }
            Self::Gap { .. } => ErrorKind::Gap,
            Self::Undecodable { .. } | Self::Malformed { .. } | Self::Refused { .. } => {
                ErrorKind::Invalid
            }
            Self::StreamDisabled { .. } | Self::TableDeleted { .. } => ErrorKind::Ended,
            Self::Panicked => ErrorKind::Internal,
        }
    }

    /// Returns whether opening the source again, with nothing changed, may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Service { error, .. } => error.is_retryable(),
            _ => self.kind().is_transient(),
        }
    }

    pub(super) fn service(operation: &'static str, target: &str, error: ServiceError) -> Self {
        Self::Service {
            operation,
            target: target.to_owned(),
            error,
        }
    }

    pub(super) fn not_a_lease_table(table: &str) -> Self {
        Self::NotALeaseTable {
            table: table.to_owned(),
        }
    }

    pub(super) fn lease_table_creation(table: &str, problem: &str) -> Self {
        Self::LeaseTableCreation {
            table: table.to_owned(),
            problem: problem.to_owned(),
        }
    }

    pub(super) fn malformed_lease(table: &str, row: MalformedRow) -> Self {
        Self::MalformedLease {
            table: table.to_owned(),
            shard: row.shard,
            problem: row.problem,
        }
    }
}
