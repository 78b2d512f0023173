//! Records that were lost before they were read.

use std::fmt;
use std::sync::Arc;

/// A part of a source that was not read and can no longer be.
///
/// DynamoDB keeps a change for 24 hours, Kafka a record for its topic's retention. An application
/// that was away for longer has missed some. It can't be determined which; a table's items still
/// hold the results of its changes.
///
/// Displayed as `records were trimmed before they were read, partition orders-3, after 41`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The shard or partition, if the gap is in a known one: a shard's name, or Kafka's topic and
    /// partition, such as `orders-3`.
    pub partition: Option<Arc<str>>,
    /// The last record before the gap: its sequence number or offset. Absent if nothing of the
    /// partition had been read.
    pub after: Option<Arc<str>>,
    /// The cause of the gap.
    pub cause: GapCause,
}

/// The cause of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// The oldest records were trimmed before they were read: DynamoDB keeps them for 24 hours,
    /// Kafka for the topic's retention.
    Trimmed,
    /// The shard's oldest changes may have been trimmed unread: its beginning is no longer there. A
    /// shard whose first change came hours after it was opened may look the same.
    PossiblyTrimmed,
    /// The shard is gone and was not read to its end.
    ShardLost,
    /// None of the shards that have been read belongs to the table's stream: it was switched off
    /// and on again, or all known shards have expired. Changes in between were not recorded.
    StreamReplaced,
    /// The topic was deleted and made again under the same name. What the old one still held is gone.
    TopicReplaced,
}

impl Gap {
    #[cfg(any(feature = "kafka", feature = "streams"))]
    pub(crate) fn new(
        partition: Option<Arc<str>>,
        after: Option<Arc<str>>,
        cause: GapCause,
    ) -> Self {
        Self {
            partition,
            after,
            cause,
        }
    }

    /// Returns whether records are missing for certain. A possible gap may turn out to be none: see
    /// [`GapCause::PossiblyTrimmed`].
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.cause != GapCause::PossiblyTrimmed
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cause {
            GapCause::Trimmed => "records were trimmed before they were read",
            GapCause::PossiblyTrimmed => {
                "the shard's first changes may have been trimmed before they were read"
            }
            GapCause::ShardLost => "the shard is gone before it was read to its end",
            GapCause::StreamReplaced => "the stream has none of the shards that have been read",
            GapCause::TopicReplaced => "the topic was deleted and made again",
        })?;
        if let Some(partition) = &self.partition {
            write!(f, ", partition {partition}")?;
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
    /// The source ends with an error that holds the gap, so that the operator decides. The default.
    #[default]
    Fail,
    /// The source calls the gap's handler, then continues with the oldest record there is.
    Report,
    /// The source continues, and gives each item of the table once more, as a snapshot merged with
    /// the stream: items added or changed in the gap are seen as they are now. Only for a table's
    /// stream; a source of another kind refuses it.
    ///
    /// Items *removed* in the gap can't be found: they are no longer in the table. A consumer that needs them
    /// compares its own items with the snapshot. While the table is scanned, one worker reads all shards; see
    /// `SnapshotSettings` for the cost. A gap during a rescan restarts it. Every worker of an
    /// application should have the same policy: the other workers wait, coordinated by a separate
    /// table, `<lease table>-snapshot`, which they read every tenth of the failover time.
    Rescan,
}
