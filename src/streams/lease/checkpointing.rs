//! The checkpoint of a held lease: what its row stores, and what is to be stored.

use std::time::Duration;

use super::row::Checkpoint;
use crate::streams::SequenceNumber;

/// The progress of a held lease, stored and not.
#[derive(Debug)]
pub(super) struct Checkpointing {
    interval: Duration,
    /// The time at which the last accepted checkpoint was sent.
    stored_at: Duration,
    stored: Checkpoint,
    /// A checkpoint beyond the stored one.
    reached: Option<SequenceNumber>,
    /// The time up to which the shard was read, in milliseconds since 1970.
    read: Option<u64>,
}

impl Checkpointing {
    /// Returns the progress of a lease whose row, taken at `taken`, stores a checkpoint.
    pub(super) fn new(stored: Checkpoint, taken: Duration, interval: Duration) -> Self {
        Self {
            interval,
            stored_at: taken,
            stored,
            reached: None,
            read: None,
        }
    }

    pub(super) fn stored(&self) -> &Checkpoint {
        &self.stored
    }

    /// Notes that all effects up to this record are durable.
    pub(super) fn reach(&mut self, sequence: SequenceNumber) {
        self.reached = Some(sequence);
    }

    /// Notes that the shard was read at this time, in milliseconds since 1970.
    pub(super) fn read_at(&mut self, time: u64) {
        self.read = Some(time);
    }

    /// Returns when to store the reached checkpoint, or `None` where there is no new one.
    pub(super) fn due(&self) -> Option<Duration> {
        self.reached.map(|_| self.stored_at + self.interval)
    }

    /// Returns the checkpoint to store, or `None` where it has not moved.
    pub(super) fn unstored(&self) -> Option<Checkpoint> {
        self.reached.map(Checkpoint::After)
    }

    /// Returns the time of reading to store: only a row that stays at LATEST needs one.
    pub(super) fn unstored_read(&self) -> Option<u64> {
        self.read
            .filter(|_| self.stored == Checkpoint::Latest && self.reached.is_none())
    }

    /// Notes that a write sent at `sent` stored a checkpoint. A later one may have been reached since.
    pub(super) fn store(&mut self, checkpoint: &Checkpoint, sent: Duration) {
        self.stored_at = sent;
        self.stored = checkpoint.clone();
        if self.unstored().as_ref() == Some(checkpoint) {
            self.reached = None;
        }
    }
}
