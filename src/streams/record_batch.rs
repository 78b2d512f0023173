//! The records on their way from shards to a caller that takes them as a stream.

use std::sync::Arc;

use super::ShardId;
use super::ack_tracker::AckTracker;
use super::events::Progress;
use super::page::Entry;
use crate::progress::Acknowledge;

/// Records on their way to a caller that takes them as a stream.
#[derive(Debug)]
pub(crate) struct RecordBatch {
    pub(crate) shard: ShardId,
    pub(crate) acks: Arc<AckTracker>,
    pub(crate) entries: Vec<(Entry, u64)>,
    /// The progress of the shard behind these records.
    pub(crate) progress: Progress,
}

impl Drop for RecordBatch {
    fn drop(&mut self) {
        // Entries still here were not taken, so they will never be acknowledged.
        if let Some((_, number)) = self.entries.first() {
            self.acks.dropped(*number);
        }
    }
}
