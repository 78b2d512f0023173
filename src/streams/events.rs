//! Events for a stream's caller beside records: news of shards, and their progress.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::ack_tracker::AckTracker;
use super::tracked_record::TrackedRecord;
use super::{SequenceNumber, ShardId};
use crate::progress::PartitionGuard;

/// An event of a [`RecordStream`](super::RecordStream).
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamsEvent {
    /// Records of one shard, in its order.
    Records(Vec<TrackedRecord>),
    /// A shard is this worker's from now on: its records follow. For a snapshot's items there is a
    /// shard of their own.
    Opened(ShardId),
    /// A shard is to go to another worker, or was read to its end: no more records of it come. It is
    /// still this worker's until all of its records that are out are acknowledged or dropped and the
    /// guard is dropped, or [`drain_timeout`](super::StreamsSettings::drain_timeout) is over.
    Closing(ShardId, PartitionGuard),
    /// A shard is not this worker's any more, or is read again from its last record with all up to it
    /// done. Its records that are out are not current. The shard of a snapshot's items ends so as well.
    Lost(ShardId),
    /// A shard was read as far as this record, which the [filter](super::StreamsSourceBuilder::filter) or the start left out.
    /// All records of the shard up to it were handed out or left out, and those that can't be read were accepted by
    /// the dead-letter handler. Behind a record that was handed out there is no such event.
    Advanced(ShardId, SequenceNumber),
    /// All records that a shard has at present were handed out. Given anew once more were.
    Idle(ShardId),
}

/// The progress of a shard that no record shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last record that was read, where it is not handed out.
    pub(crate) advanced: Option<SequenceNumber>,
    /// Nothing is left to be read, for now.
    pub(crate) is_idle: bool,
}

impl Progress {
    /// Returns the progress after this one and the next, with no record between them.
    pub(super) fn followed_by(self, next: Self) -> Self {
        Self {
            advanced: next.advanced.or(self.advanced),
            is_idle: next.is_idle || self.is_idle,
        }
    }
}

/// The progress of shards that a stream's caller has not taken yet.
#[derive(Debug, Default)]
pub(super) struct PendingProgress(BTreeMap<ShardId, (Arc<AckTracker>, Progress)>);

impl PendingProgress {
    /// Notes the progress behind a batch, and whether it hands records out.
    pub(super) fn note(
        &mut self,
        shard: &ShardId,
        acks: &Arc<AckTracker>,
        (hands_out, next): (bool, Progress),
    ) {
        let before = self.0.remove(shard);
        let before = before.filter(|(of, _)| !hands_out && Arc::ptr_eq(of, acks));
        let progress = before.map_or(next, |(_, before)| before.followed_by(next));
        if progress != Progress::default() {
            self.0.insert(shard.clone(), (Arc::clone(acks), progress));
        }
    }

    /// Forgets the progress of a shard.
    pub(super) fn forget(&mut self, shard: &ShardId) {
        self.0.remove(shard);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns whether [`take`](Self::take) has something to give.
    pub(super) fn is_ready(&self) -> bool {
        self.0.values().any(|(acks, _)| acks.may_advance())
    }

    /// Takes the progress of one shard. That of a shard with a letter under way stays until the letter
    /// is accepted, and that behind a record which is given again is of no use.
    pub(super) fn take(&mut self) -> Option<StreamsEvent> {
        self.0.retain(|_, (acks, _)| acks.is_handing_out());
        let (shard, (acks, mut progress)) = {
            let ready = self.0.iter().find(|(_, (acks, _))| acks.may_advance())?;
            self.0.remove_entry(&ready.0.clone())?
        };
        let Some(sequence) = progress.advanced.take() else {
            return Some(StreamsEvent::Idle(shard));
        };
        if progress.is_idle {
            self.0.insert(shard.clone(), (acks, progress));
        }
        Some(StreamsEvent::Advanced(shard, sequence))
    }
}

/// News of shards on their way to a caller that takes records as a stream. They overtake records.
#[derive(Clone, Debug)]
pub(crate) struct News {
    sender: mpsc::UnboundedSender<StreamsEvent>,
    /// The caller takes events. One that takes records alone would drop the guards late.
    is_wanted: Arc<AtomicBool>,
}

impl News {
    /// Returns the news and the end that receives them.
    pub(crate) fn channel() -> (Self, NewsReceiver) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let is_wanted = Arc::new(AtomicBool::new(false));
        let news = Self {
            sender,
            is_wanted: Arc::clone(&is_wanted),
        };
        (
            news,
            NewsReceiver {
                receiver,
                is_wanted,
            },
        )
    }

    pub(super) fn opened(&self, shard: &ShardId) {
        // The stream may be gone.
        let _ = self.sender.send(StreamsEvent::Opened(shard.clone()));
    }

    pub(super) fn ending(&self, event: impl FnOnce() -> StreamsEvent) {
        if self.is_wanted.load(Ordering::Relaxed) {
            let _ = self.sender.send(event());
        }
    }
}

/// The stream's end of the [`News`].
#[derive(Debug)]
pub(crate) struct NewsReceiver {
    pub(crate) receiver: mpsc::UnboundedReceiver<StreamsEvent>,
    is_wanted: Arc<AtomicBool>,
}

impl NewsReceiver {
    /// Has events sent from now on.
    pub(crate) fn subscribe(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }
}
