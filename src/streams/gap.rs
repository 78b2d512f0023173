//! Changes that nobody will see any more.

use std::fmt;

use super::{SequenceNumber, ShardId};

/// A part of a stream that was not read and can't be.
///
/// DynamoDB keeps a change for 24 hours. Whoever was away for longer, or whose stream was switched off, has missed some: which, nobody can
/// tell, but the table itself still holds what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The shard, where it is one of the shards that are known.
    pub shard: Option<ShardId>,
    /// The last change before the gap; absent where nothing of the shard had been read.
    pub after: Option<SequenceNumber>,
    /// How it came about.
    pub cause: GapCause,
}

/// How a gap came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// The shard's oldest changes were trimmed before they were read: they are older than 24 hours.
    Trimmed,
    /// The shard's oldest changes, none of which had been read, may have been trimmed: its beginning is no longer there. A shard whose first
    /// change came hours after it was opened may look the same.
    PossiblyTrimmed,
    /// The shard has not been read to its end and is gone.
    ShardLost,
    /// None of the shards that have been read belongs to the table's stream: it was switched off and on again, or everything
    /// known has expired. What changed in between was not recorded.
    StreamReplaced,
}

impl Gap {
    /// Returns whether changes are missing for certain. A possible gap is one that may be none: see [`GapCause::PossiblyTrimmed`].
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.cause != GapCause::PossiblyTrimmed
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = match self.cause {
            GapCause::Trimmed => "changes were trimmed before they were read",
            GapCause::PossiblyTrimmed => {
                "the shard's first changes may have been trimmed before they were read"
            }
            GapCause::ShardLost => "the shard is gone before it was read to its end",
            GapCause::StreamReplaced => "the stream has none of the shards that have been read",
        };
        f.write_str(cause)?;
        if let Some(shard) = &self.shard {
            write!(f, ", shard {shard}")?;
        }
        match &self.after {
            Some(after) => write!(f, ", after {after}"),
            None => Ok(()),
        }
    }
}

/// What to do about a gap. Each is also a warning in the log and counted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize,
)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum GapPolicy {
    /// The source ends with [`StreamsError::Gap`](super::StreamsError::Gap): somebody has to decide. The default.
    #[default]
    Fail,
    /// Goes on with the oldest change there is, after the gap's handler has been told.
    Report,
    /// Goes on, and gives each item of the table once more, as a [snapshot](super::EventKind::Snapshot) merged with the stream: what was
    /// added or changed in the gap is seen as it is now.
    ///
    /// What was *removed* in the gap can't be told: it is not in the table any more. A consumer that must know compares what it has with the
    /// snapshot. While the table is scanned one worker reads all shards; see [`SnapshotSettings`](super::SnapshotSettings) for what it
    /// takes. A gap during a rescan begins it anew. Every worker of an application should have the same policy: the others stand back
    /// by a table of their own, `<lease table>-snapshot`, looked at each tenth of the failover time.
    Rescan,
}
