//! The name of a partition.

use std::fmt;
use std::sync::Arc;

/// A topic, and a partition where it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicPartition {
    pub(super) topic: Arc<str>,
    pub(super) partition: Option<i32>,
}

impl TopicPartition {
    pub(super) fn new(topic: Arc<str>, partition: Option<i32>) -> Self {
        Self { topic, partition }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> Option<i32> {
        self.partition
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record for topic {:?}", self.topic)?;
        if let Some(partition) = self.partition {
            write!(f, " partition {partition}")?;
        }
        Ok(())
    }
}
