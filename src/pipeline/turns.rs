//! The turns of records, where a pipeline ends in transactions.

use std::sync::Arc;

use super::partition::Partition;
use super::position::Position;
use crate::progress::Ack;

/// The turn of a record: its partition, and its number there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) partition: Arc<str>,
    pub(super) number: u64,
}

/// Gives records their turns, and takes their ends.
pub(super) trait Turns: Send + Sync {
    /// Gives a record its turn, behind all of its partition that were read before it.
    fn enter(&self, position: &Position) -> Turn;

    /// Ends a record of which all effects are handed in.
    fn end(&self, turn: &Turn, held: Held);

    /// Ends a record that was given up.
    fn give_up(&self, turn: &Turn);

    /// Notes that a partition is about to go, or has gone: what is known of its records is another reader's.
    fn leaving(&self, partition: &Arc<str>);

    /// Asks for a commit of positions soon: a partition is about to go, or has been opened. The next reader of one that was
    /// opened at the newest record would begin behind what comes until then.
    fn hurry(&self);

    /// Notes that nothing comes any more.
    fn finish(&self);

    /// Lets nothing pass any more. What waits is dropped, un-acknowledged, and nothing waits for it.
    fn shut(&self);
}

/// The duty of a record whose effects are in a transaction, until that is committed. Dropped, it leaves the record
/// un-acknowledged.
#[derive(Debug)]
pub(super) struct Held {
    ack: Option<Ack>,
    pub(super) bytes: usize,
    partition: Arc<Partition>,
}

impl Held {
    pub(super) fn new(ack: Ack, bytes: usize, partition: Arc<Partition>) -> Self {
        Self {
            ack: Some(ack),
            bytes,
            partition,
        }
    }

    /// Returns whether the record is still its source's.
    pub(super) fn is_current(&self) -> bool {
        self.ack.as_ref().is_some_and(Ack::is_current)
    }

    /// Returns whether its partition is about to go, or gone.
    pub(super) fn is_closing(&self) -> bool {
        !self.partition.is_open()
    }

    /// Gives its room at the source back: the record's effects are in a transaction.
    pub(super) fn release(&self) {
        if let Some(ack) = &self.ack {
            ack.release();
        }
    }

    /// Acknowledges the record.
    pub(super) fn done(mut self) {
        if let Some(ack) = self.ack.take() {
            ack.done();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.ack.take());
        // Last: the source may give the partition to another reader now.
        self.partition.leave();
    }
}
