//! What a source can fail by.

use std::time::Duration;

use super::gap::Gap;
use super::lease::MalformedRow;
use super::{SequenceNumber, ShardId};
use crate::item::DecodeError;
use crate::retry::ServiceError;
use crate::settings::ConfigError;

/// Why a source could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting would give records up, or pass gaps over, and nobody was named to take them.
    #[error("{setting} needs a handler: name one by `{handler}`")]
    #[non_exhaustive]
    HandlerMissing {
        /// The setting.
        setting: &'static str,
        /// The builder's method that takes the handler.
        handler: &'static str,
    },
    /// A setting keeps its state in tables, and the source's leases are in memory.
    #[error("{setting} keeps its state beside a lease table: leave out `leases_in_memory`")]
    #[non_exhaustive]
    LeasesInMemory {
        /// The setting.
        setting: &'static str,
    },
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
    /// The stream was switched off, and all that it still held has been read.
    #[error("the stream of table {table:?} was switched off and has been read to its end")]
    #[non_exhaustive]
    StreamDisabled {
        /// The table.
        table: String,
    },
    /// The table was deleted. What its stream still held has been read.
    #[error("table {table:?} was deleted, and its stream has been read to its end")]
    #[non_exhaustive]
    TableDeleted {
        /// The table.
        table: String,
    },
    /// The leases are of another table's stream: another application has them.
    #[error(
        "the leases in table {lease_table:?} are of another stream, {stream:?}: name a table of this application's own by `lease_table`"
    )]
    #[non_exhaustive]
    ForeignLeases {
        /// The lease table.
        lease_table: String,
        /// The ARN of the stream that they are of.
        stream: String,
    },
    /// A function that the source was given panicked. The record, or gap, that it was called with comes again when the source is opened
    /// again.
    #[error("the source's `{callback}` panicked")]
    #[non_exhaustive]
    CallbackPanicked {
        /// The builder's method by which it was given.
        callback: &'static str,
    },
    /// A request failed for good.
    #[error("{operation} of {target:?} failed: {source}")]
    #[non_exhaustive]
    Service {
        /// The operation, such as `DescribeStream`.
        operation: &'static str,
        /// The table or the stream.
        target: String,
        /// What the service said, or what kept it from saying anything.
        source: ServiceError,
    },
    /// The lease table could not be made.
    #[error("lease table {table:?} could not be created: {problem}")]
    #[non_exhaustive]
    LeaseTableCreation {
        /// The lease table.
        table: String,
        /// What the service said.
        problem: String,
    },
    /// The lease table did not become active in time.
    #[error("lease table {table:?} is still not active after {waited:?}")]
    #[non_exhaustive]
    LeaseTableNotActive {
        /// The lease table.
        table: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The table that was named as the lease table is another one.
    #[error(
        "table {table:?} is no lease table: its key must be `leaseKey`, a string, alone; name another by `lease_table`"
    )]
    #[non_exhaustive]
    NotALeaseTable {
        /// The lease table.
        table: String,
    },
    /// A row of the lease table can only be a shard's lease and can't be used.
    #[error("lease table {table:?}: the lease of shard {shard} has {problem}")]
    #[non_exhaustive]
    MalformedLease {
        /// The lease table.
        table: String,
        /// The shard, as the row names it.
        shard: String,
        /// What is wrong with the row.
        problem: &'static str,
    },
    /// Changes were lost before they were read, and [`GapPolicy::Fail`](super::GapPolicy::Fail) stands.
    #[error(
        "a gap in the stream of table {table:?}: {gap}; to go on all the same, set `on_gap` to report or rescan"
    )]
    #[non_exhaustive]
    Gap {
        /// The table.
        table: String,
        /// What is missing.
        gap: Gap,
    },
    /// A record cannot be read, and there is no dead-letter handler to take it.
    #[error("record {} of shard {shard} can't be read: {source}", sequence.map_or_else(|| "without a number".to_owned(), |number| number.to_string()))]
    #[non_exhaustive]
    Undecodable {
        /// The shard.
        shard: ShardId,
        /// The record; `None` of an item of a snapshot.
        sequence: Option<SequenceNumber>,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A record is no change that this crate knows, and there is no dead-letter handler to take it.
    #[error("a record of shard {shard} is no change: {problem}")]
    #[non_exhaustive]
    Malformed {
        /// The shard.
        shard: ShardId,
        /// What is wrong with it.
        problem: String,
    },
    /// The handler refused a record for good, and there is no dead-letter handler to take it.
    #[error("the handler refused a record of shard {shard} for good: {problem}")]
    #[non_exhaustive]
    Refused {
        /// The shard.
        shard: ShardId,
        /// What the handler said.
        problem: String,
    },
    /// What the service lists of the stream's shards contradicts itself, again and again.
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

/// What to do about a failed source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamsErrorKind {
    /// Somebody has to change the settings, the table or the permissions.
    Configuration,
    /// Changes are missing: somebody has to decide.
    Gap,
    /// A record is in the way: give the source a dead-letter handler.
    Record,
    /// The service fails, or is out of reach: start again later.
    Unavailable,
    /// Nothing more will come.
    Ended,
    /// A defect of this crate.
    Internal,
}

impl StreamsError {
    /// What to do about it.
    pub fn kind(&self) -> StreamsErrorKind {
        match self {
            Self::Config(_)
            | Self::HandlerMissing { .. }
            | Self::LeasesInMemory { .. }
            | Self::NoStream { .. }
            | Self::LeaseTableCreation { .. }
            | Self::NotALeaseTable { .. }
            | Self::ForeignLeases { .. }
            | Self::CallbackPanicked { .. }
            | Self::MalformedLease { .. } => StreamsErrorKind::Configuration,
            Self::Service { source, .. } if source.is_retryable() => StreamsErrorKind::Unavailable,
            Self::Service { .. } => StreamsErrorKind::Configuration,
            Self::LeaseTableNotActive { .. } | Self::InconsistentShards { .. } => {
                StreamsErrorKind::Unavailable
            }
            Self::Gap { .. } => StreamsErrorKind::Gap,
            Self::Undecodable { .. } | Self::Malformed { .. } | Self::Refused { .. } => {
                StreamsErrorKind::Record
            }
            Self::StreamDisabled { .. } | Self::TableDeleted { .. } => StreamsErrorKind::Ended,
            Self::Panicked => StreamsErrorKind::Internal,
        }
    }

    /// Whether opening the source again, with nothing changed, may help.
    pub fn is_retryable(&self) -> bool {
        self.kind() == StreamsErrorKind::Unavailable
    }

    pub(super) fn service(operation: &'static str, target: &str, source: ServiceError) -> Self {
        Self::Service {
            operation,
            target: target.to_owned(),
            source,
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
