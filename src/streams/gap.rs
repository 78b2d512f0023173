//! Changes that were lost before they were read.

use std::fmt;

use super::{SequenceNumber, ShardId};

/// A part of a stream that was not read and can no longer be.
///
/// DynamoDB keeps a change for 24 hours. An application that was away for longer, or whose stream was switched
/// off, has missed changes. It can't be determined which, but the table itself still holds their results.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The shard, if the gap is in a known one.
    pub shard: Option<ShardId>,
    /// The last change before the gap; absent if nothing of the shard had been read.
    pub after: Option<SequenceNumber>,
    /// The cause of the gap.
    pub cause: GapCause,
}

/// The cause of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// The shard's oldest changes were trimmed before they were read: they are older than 24 hours.
    Trimmed,
    /// The shard's oldest changes may have been trimmed unread: its beginning is no longer there. A
    /// shard whose first change came hours after it was opened may look the same.
    PossiblyTrimmed,
    /// The shard is gone and was not read to its end.
    ShardLost,
    /// None of the shards that have been read belongs to the table's stream: it was switched off
    /// and on again, or all known shards have expired. Changes in between were not recorded.
    StreamReplaced,
}

impl Gap {
    /// Returns whether changes are missing for certain. A possible gap may turn out to be none: see [`GapCause::PossiblyTrimmed`].
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

/// The reaction to a gap. Every gap is also logged as a warning and counted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize,
)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum GapPolicy {
    /// The source ends with [`StreamsError::Gap`](super::StreamsError::Gap), so that the operator decides. The default.
    #[default]
    Fail,
    /// The source calls the gap's handler, then continues with the oldest change there is.
    Report,
    /// The source continues, and gives each item of the table once more, as a [snapshot](super::EventKind::Snapshot)
    /// merged with the stream: items added or changed in the gap are seen as they are now.
    ///
    /// Items *removed* in the gap can't be found: they are no longer in the table. A consumer that needs them
    /// compares its own items with the snapshot. While the table is scanned, one worker reads all shards; see
    /// [`SnapshotSettings`](super::SnapshotSettings) for the cost. A gap during a rescan restarts it. Every
    /// worker of an application should have the same policy: the other workers wait, coordinated by a
    /// separate table, `<lease table>-snapshot`, which they read every tenth of the failover time.
    Rescan,
}
