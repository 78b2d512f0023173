//! A shard as tests see it.

use super::shard::Shard;

/// A shard as it is now, returned by [`shards`](crate::FaultyDynamoDb::shards), whatever
/// listings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    id: String,
    parent: Option<String>,
    open: bool,
    first: Option<String>,
    last: Option<String>,
    records: usize,
}

impl ShardInfo {
    pub(crate) fn of(shard: &Shard) -> Self {
        let records = shard.records();
        Self {
            id: shard.id.clone(),
            parent: shard.parent.clone(),
            open: shard.closed.is_none(),
            first: records.front().map(|record| record.sequence.to_string()),
            last: records.back().map(|record| record.sequence.to_string()),
            records: records.len(),
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The shard it came out of; none for those that the stream began with.
    pub fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// Returns whether it takes changes.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The number of the oldest record that it holds.
    pub fn first_sequence_number(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// The number of the newest record that it holds.
    pub fn last_sequence_number(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// The records that it holds: those not trimmed.
    pub fn record_count(&self) -> usize {
        self.records
    }
}
