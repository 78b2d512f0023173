//! Where a shard's records go: to a handler, or to whoever takes them as a stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::ShardId;
use super::book::Book;
use super::error::StreamsError;
use super::page::Entry;
use super::policy::Runner;
use crate::progress::Acknowledge;

/// Records on their way to whoever takes them as a stream.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) shard: ShardId,
    pub(crate) book: Arc<Book>,
    pub(crate) entries: Vec<(Entry, u64)>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // Nobody has taken them: nobody will say a word on them.
        if let Some((_, number)) = self.entries.first() {
            self.book.dropped(*number);
        }
    }
}

pub(crate) enum Feed {
    Handler(Box<Runner>),
    Channel(Outlet),
    /// Given up: whatever was being done has been told to stop.
    Gone,
}

/// The way into the stream that all shards share.
pub(crate) struct Outlet {
    shard: ShardId,
    sender: mpsc::Sender<Chunk>,
    pending: Option<Chunk>,
    /// It was said that nobody takes records any more.
    closed: bool,
}

impl Outlet {
    pub(crate) fn new(shard: ShardId, sender: mpsc::Sender<Chunk>) -> Self {
        Self {
            shard,
            sender,
            pending: None,
            closed: false,
        }
    }
}

/// What a feed has to say.
#[derive(Debug)]
pub(crate) enum FeedEvent {
    /// Something went on.
    Moved,
    /// Nobody takes records any more.
    Closed,
    Failed(StreamsError),
}

impl Feed {
    /// Whether another page may be read: what was handed in last has gone on.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Handler(_) => true,
            Self::Channel(outlet) => outlet.pending.is_none(),
            Self::Gone => false,
        }
    }

    /// Takes in the records of a page that are wanted, with their numbers.
    pub(crate) fn push(&mut self, book: &Arc<Book>, entries: Vec<(Entry, u64)>, now: Duration) {
        if entries.is_empty() {
            return;
        }
        match self {
            Self::Handler(runner) => runner.push(entries, now),
            Self::Channel(outlet) => {
                let chunk = Chunk {
                    shard: outlet.shard.clone(),
                    book: Arc::clone(book),
                    entries,
                };
                outlet.pending = match outlet.sender.try_send(chunk) {
                    Ok(()) => None,
                    Err(mpsc::error::TrySendError::Full(chunk)) => Some(chunk),
                    // Seen at the next event.
                    Err(mpsc::error::TrySendError::Closed(chunk)) => Some(chunk),
                };
            }
            Self::Gone => {}
        }
    }

    /// Starts what may be started now.
    pub(crate) fn start(&mut self, now: Duration) -> Result<(), StreamsError> {
        match self {
            Self::Handler(runner) => runner.start(now),
            Self::Channel(_) | Self::Gone => Ok(()),
        }
    }

    /// Hands out nothing more.
    pub(crate) fn leave(&mut self) {
        if let Self::Channel(outlet) = self {
            outlet.pending = None;
        }
    }

    /// Tells whatever is being done for the shard to stop.
    pub(crate) fn abort(&mut self) {
        if let Self::Handler(runner) = self {
            runner.abort();
        }
    }

    /// Stops whatever is being done for the shard, and waits until it has stopped.
    pub(crate) async fn stop(&mut self) {
        if let Self::Handler(runner) = self {
            runner.stop().await;
        }
        *self = Self::Gone;
    }

    /// When there is something to be started.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self {
            Self::Handler(runner) => runner.due(),
            Self::Channel(_) | Self::Gone => None,
        }
    }

    /// Nothing more comes: what is there is not to wait for more.
    pub(crate) fn flush(&mut self, flushing: bool) {
        if let Self::Handler(runner) = self {
            runner.flush(flushing);
        }
    }

    /// Whether nothing is being worked on, as far as the feed knows.
    pub(crate) fn is_quiet(&self, book: &Book) -> bool {
        match self {
            Self::Handler(runner) => runner.is_quiet(),
            Self::Channel(_) => book.is_settled(),
            Self::Gone => true,
        }
    }

    /// Whether everything that was told to stop has stopped. Records taken as a stream are known to be
    /// [no longer current](super::Delivery::is_current).
    pub(crate) fn is_stopped(&self) -> bool {
        match self {
            Self::Handler(runner) => runner.is_stopped(),
            Self::Channel(_) | Self::Gone => true,
        }
    }

    /// Resolves when something went on. Never, where nothing is on its way.
    ///
    /// # Cancel safety
    ///
    /// Harmless to drop.
    pub(crate) async fn event(&mut self) -> FeedEvent {
        match self {
            Self::Handler(runner) => match runner.event().await {
                Ok(()) => FeedEvent::Moved,
                Err(error) => FeedEvent::Failed(error),
            },
            Self::Channel(outlet) if outlet.closed => std::future::pending().await,
            Self::Channel(outlet) if outlet.pending.is_none() => {
                outlet.sender.closed().await;
                outlet.closed = true;
                FeedEvent::Closed
            }
            Self::Channel(outlet) => match outlet.sender.reserve().await {
                Ok(permit) => {
                    if let Some(chunk) = outlet.pending.take() {
                        permit.send(chunk);
                    }
                    FeedEvent::Moved
                }
                Err(_) => {
                    outlet.closed = true;
                    FeedEvent::Closed
                }
            },
            Self::Gone => std::future::pending().await,
        }
    }
}
