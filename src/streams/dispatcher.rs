//! The output of a shard's records: to a handler, or to a stream that the caller reads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::ShardId;
use super::ack_tracker::AckTracker;
use super::error::StreamsError;
use super::events::{News, Progress, StreamsEvent};
use super::page::Entry;
use super::policy::{HandleFn, Runner};
use super::record_batch::RecordBatch;
use super::shared::Shared;

/// The destination of records.
#[derive(Clone)]
pub(crate) enum Destination {
    Handler(HandleFn),
    Channel(mpsc::Sender<RecordBatch>, News),
}

pub(crate) enum Dispatcher {
    Handler(Box<Runner>),
    Channel(Output),
    /// The shard was given up: the work on its records was asked to stop.
    Gone,
}

/// A shard's end of the channel that all shards share.
pub(crate) struct Output {
    shard: ShardId,
    acks: Arc<AckTracker>,
    sender: mpsc::Sender<RecordBatch>,
    news: News,
    pending: Option<RecordBatch>,
    /// The stream knows that the shard is to be given up.
    is_closing: bool,
    /// Set once the end of the receiving side was reported.
    closed: bool,
}

impl Output {
    pub(crate) fn new(
        shard: ShardId,
        acks: Arc<AckTracker>,
        sender: mpsc::Sender<RecordBatch>,
        news: News,
    ) -> Self {
        news.opened(&shard);
        Self {
            shard,
            acks,
            sender,
            news,
            pending: None,
            is_closing: false,
            closed: false,
        }
    }

    /// Gives the stream a guard of the shard, which is to be given up.
    fn close(&mut self) {
        self.pending = None;
        if !self.is_closing {
            self.is_closing = true;
            let (shard, acks) = (&self.shard, &self.acks);
            self.news
                .ending(|| StreamsEvent::Closing(shard.clone(), acks.close()));
        }
    }

    /// Opens the shard anew: it is not given up after all.
    fn reopen(&mut self) {
        if self.is_closing {
            self.is_closing = false;
            self.acks.reopen();
            self.news.opened(&self.shard);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let shard = &self.shard;
        if !self.is_closing || !self.acks.is_settled() {
            self.news.ending(|| StreamsEvent::Lost(shard.clone()));
        }
    }
}

/// The way out of one shard's records, or of a snapshot's: the dispatcher, and the tracker of the
/// records that it has handed out.
pub(crate) struct Handout {
    pub(crate) acks: Arc<AckTracker>,
    pub(crate) dispatcher: Dispatcher,
    destination: Destination,
    shard: ShardId,
    rng: fastrand::Rng,
}

impl Handout {
    /// Returns the way out, with no record on it. `valid_until` is when the lease ends.
    pub(crate) fn new(
        shared: &Shared,
        destination: Destination,
        shard: &ShardId,
        valid_until: Duration,
        mut rng: fastrand::Rng,
    ) -> Self {
        let acks = Arc::new(AckTracker::new(shared.clock));
        acks.valid_until(valid_until);
        let dispatcher = Dispatcher::new(shared, &destination, shard, &acks, &mut rng);
        Self {
            acks,
            dispatcher,
            destination,
            shard: shard.clone(),
            rng,
        }
    }

    /// Starts over, with no record out. Those that were are no longer current.
    pub(crate) fn restart(&mut self, shared: &Shared, valid_until: Duration) {
        self.acks.revoke();
        self.acks = Arc::new(AckTracker::new(shared.clock));
        self.acks.valid_until(valid_until);
        // The old one first, which announces its end.
        self.dispatcher = Dispatcher::Gone;
        self.dispatcher = Dispatcher::new(
            shared,
            &self.destination,
            &self.shard,
            &self.acks,
            &mut self.rng,
        );
    }

    /// Returns whether the records are taken as a stream, one after the other.
    pub(crate) fn is_in_turn(&self) -> bool {
        matches!(self.destination, Destination::Channel(..))
    }
}

/// An event of a dispatcher.
#[derive(Debug)]
pub(crate) enum DispatcherEvent {
    /// Work was passed on or done.
    Moved,
    /// The receiver of the records is gone.
    Closed,
    Failed(StreamsError),
}

impl Dispatcher {
    /// Returns the dispatcher of a shard's records, or of a snapshot's, without any.
    fn new(
        shared: &Shared,
        destination: &Destination,
        shard: &ShardId,
        acks: &Arc<AckTracker>,
        rng: &mut fastrand::Rng,
    ) -> Self {
        match destination {
            Destination::Handler(handle) => Self::Handler(Box::new(Runner::new(
                shard.clone(),
                shared,
                Arc::clone(handle),
                Arc::clone(acks),
                rng.fork(),
            ))),
            Destination::Channel(sender, news) => Self::Channel(Output::new(
                shard.clone(),
                Arc::clone(acks),
                sender.clone(),
                news.clone(),
            )),
        }
    }

    /// Returns whether another page may be read: the last one was passed on.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Handler(_) => true,
            // Changes that the filter leaves out hold up no reading.
            Self::Channel(output) => output
                .pending
                .as_ref()
                .is_none_or(|batch| batch.entries.is_empty()),
            Self::Gone => false,
        }
    }

    /// Adds the records of a page that are to be handed out, with their numbers, and the progress behind them.
    pub(crate) fn push(
        &mut self,
        acks: &Arc<AckTracker>,
        entries: Vec<(Entry, u64)>,
        progress: Progress,
        now: Duration,
    ) {
        let is_empty = entries.is_empty();
        match self {
            Self::Handler(runner) if !is_empty => runner.push(entries, now),
            Self::Channel(output) if !is_empty || progress != Progress::default() => {
                let before = output.pending.take().map(|batch| batch.progress);
                let progress = before
                    .filter(|_| is_empty)
                    .map_or(progress, |before| before.followed_by(progress));
                let batch = RecordBatch {
                    shard: output.shard.clone(),
                    acks: Arc::clone(acks),
                    entries,
                    progress,
                };
                output.pending = match output.sender.try_send(batch) {
                    Ok(()) => None,
                    Err(mpsc::error::TrySendError::Full(batch)) => Some(batch),
                    // The next event reports it.
                    Err(mpsc::error::TrySendError::Closed(batch)) => Some(batch),
                };
            }
            Self::Handler(_) | Self::Channel(_) | Self::Gone => {}
        }
    }

    /// Starts the batches that may start now.
    pub(crate) fn start(&mut self, now: Duration) -> Result<(), StreamsError> {
        match self {
            Self::Handler(runner) => runner.start(now),
            Self::Channel(_) | Self::Gone => Ok(()),
        }
    }

    /// Discards the records that wait for the stream to take them, and announces that the shard is to
    /// be given up.
    pub(crate) fn leave(&mut self) {
        if let Self::Channel(output) = self {
            output.close();
        }
    }

    /// Takes back that the shard is to be given up.
    pub(crate) fn stay(&mut self) {
        if let Self::Channel(output) = self {
            output.reopen();
        }
    }

    /// Asks the work in progress for the shard to stop.
    pub(crate) fn abort(&mut self) {
        if let Self::Handler(runner) = self {
            runner.abort();
        }
    }

    /// Stops the work in progress for the shard, and waits until it has stopped.
    pub(crate) async fn stop(&mut self) {
        if let Self::Handler(runner) = self {
            runner.stop().await;
        }
        *self = Self::Gone;
    }

    /// Returns the time at which a batch may start next.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self {
            Self::Handler(runner) => runner.due(),
            Self::Channel(_) | Self::Gone => None,
        }
    }

    /// Sets whether batches start without waiting to fill, because no more records come.
    pub(crate) fn flush(&mut self, flushing: bool) {
        if let Self::Handler(runner) = self {
            runner.flush(flushing);
        }
    }

    /// Returns whether no records are being worked on, as far as the dispatcher can see.
    pub(crate) fn is_quiet(&self, acks: &AckTracker) -> bool {
        match self {
            Self::Handler(runner) => runner.is_quiet(),
            Self::Channel(_) => acks.is_settled(),
            Self::Gone => true,
        }
    }

    /// Returns whether all work that was asked to stop has stopped. Records taken as a stream are
    /// marked as [no longer current](super::TrackedRecord::is_current).
    pub(crate) fn is_stopped(&self) -> bool {
        match self {
            Self::Handler(runner) => runner.is_stopped(),
            Self::Channel(_) | Self::Gone => true,
        }
    }

    /// Resolves at the next event; never, if no event can come.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn event(&mut self) -> DispatcherEvent {
        match self {
            Self::Handler(runner) => match runner.event().await {
                Ok(()) => DispatcherEvent::Moved,
                Err(error) => DispatcherEvent::Failed(error),
            },
            Self::Channel(output) if output.closed => std::future::pending().await,
            Self::Channel(output) if output.pending.is_none() => {
                output.sender.closed().await;
                output.closed = true;
                DispatcherEvent::Closed
            }
            Self::Channel(output) => match output.sender.reserve().await {
                Ok(permit) => {
                    if let Some(batch) = output.pending.take() {
                        permit.send(batch);
                    }
                    DispatcherEvent::Moved
                }
                Err(_) => {
                    output.closed = true;
                    DispatcherEvent::Closed
                }
            },
            Self::Gone => std::future::pending().await,
        }
    }
}
