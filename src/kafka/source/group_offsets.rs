//! The offsets of a member's partitions, to be committed by a transaction.

use std::fmt;
use std::sync::Arc;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::{Offset, TopicPartitionList};

/// The offsets of all partitions of a member, with the metadata by which brokers fence it.
pub(crate) struct GroupOffsets {
    metadata: ConsumerGroupMetadata,
    positions: Vec<GroupPosition>,
}

/// The offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupPosition {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// The offset of the next record.
    pub(crate) offset: i64,
    /// The metadata of its commit, which says what it is an offset of.
    pub(crate) mark: Arc<str>,
}

impl GroupOffsets {
    pub(in super::super) fn new(
        metadata: ConsumerGroupMetadata,
        positions: Vec<GroupPosition>,
    ) -> Self {
        Self {
            metadata,
            positions,
        }
    }

    /// Returns the partitions, each once.
    pub(crate) fn positions(&self) -> &[GroupPosition] {
        &self.positions
    }

    /// Raises the offset of a partition, never lowers it. Returns whether the partition is among these: where it
    /// is not, it is another member's by now.
    #[cfg_attr(
        not(any(test, feature = "pipeline")),
        expect(dead_code, reason = "for exactly-once pipelines")
    )]
    pub(crate) fn raise(&mut self, topic: &str, partition: i32, offset: i64) -> bool {
        let found = self
            .positions
            .iter_mut()
            .find(|position| position.partition == partition && *position.topic == *topic);
        let is_found = found.is_some();
        if let Some(position) = found {
            position.offset = position.offset.max(offset);
        }
        is_found
    }

    pub(in super::super) fn metadata(&self) -> &ConsumerGroupMetadata {
        &self.metadata
    }

    /// Returns the offsets as librdkafka takes them.
    pub(in super::super) fn list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for position in &self.positions {
            let mut element = list.add_partition(&position.topic, position.partition);
            // Only an offset below zero can't be set.
            if element.set_offset(Offset::Offset(position.offset)).is_ok() {
                element.set_metadata(&*position.mark);
            }
        }
        list
    }
}

impl fmt::Debug for GroupOffsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupOffsets")
            .field("positions", &self.positions)
            .finish_non_exhaustive()
    }
}
