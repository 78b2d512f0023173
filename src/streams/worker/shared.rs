//! What all tasks of a source share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use super::super::book::Book;
use super::super::feed::{Chunk, Feed, Outlet};
use super::super::gap::{Gap, GapPolicy};
use super::super::graph::ShardGraph;
use super::super::lease::LeaseTable;
use super::super::policy::{DeadLetterFn, HandleFn, Runner};
use super::super::record::Record;
use super::super::settings::StreamSettings;
use super::super::snapshot::Junction;
use super::super::stats::Counters;
use super::super::{ShardId, StreamsError};
use crate::clock::Clock;
use crate::retry::{Backoff, Retries};
use crate::transport::Transport;

pub(crate) type FilterFn = Arc<dyn Fn(&Record) -> bool + Send + Sync>;
pub(crate) type GapFn = Arc<dyn Fn(&Gap) + Send + Sync>;

/// Where records go.
#[derive(Clone)]
pub(crate) enum Destination {
    Handler(HandleFn),
    Channel(mpsc::Sender<Chunk>),
}

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) settings: StreamSettings,
    pub(crate) table: String,
    pub(crate) stream_arn: String,
    pub(crate) streams: Transport,
    pub(crate) leases: LeaseTable,
    pub(crate) counters: Arc<Counters>,
    pub(crate) dead_letters: Option<DeadLetterFn>,
    pub(crate) filter: Option<FilterFn>,
    pub(crate) on_gap: Option<GapFn>,
    pub(crate) backoff: Backoff,
    /// How many shards this worker reads.
    pub(crate) held: AtomicUsize,
    /// The stream's shards as last listed.
    pub(crate) graph: Mutex<Arc<ShardGraph>>,
    /// Where shards and a snapshot meet.
    pub(crate) junction: Junction,
    /// How exactly the server tells when a change was made: it rounds down.
    pub(crate) time_step: Duration,
    /// When the source was opened, in milliseconds since 1970.
    pub(crate) opened: u64,
}

impl Shared {
    /// The part of the buffer that each shard has, in bytes.
    pub(crate) fn part(&self) -> usize {
        self.settings.get_buffer_bytes() / self.held.load(Ordering::Relaxed).max(1)
    }

    pub(crate) fn graph(&self) -> Arc<ShardGraph> {
        Arc::clone(&self.graph.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_graph(&self, graph: Arc<ShardGraph>) {
        *self.graph.lock().unwrap_or_else(PoisonError::into_inner) = graph;
    }

    /// The time of day in milliseconds since 1970.
    pub(crate) fn millis(&self) -> u64 {
        millis(self.clock.time_of_day())
    }

    /// Returns retries with the source's delays.
    pub(crate) fn retries(&self, rng: &mut fastrand::Rng) -> Retries {
        Retries::new(self.backoff.clone(), rng.fork())
    }

    pub(crate) fn feed(
        &self,
        destination: &Destination,
        shard: &ShardId,
        book: &Arc<Book>,
        rng: &mut fastrand::Rng,
    ) -> Feed {
        match destination {
            Destination::Handler(handle) => Feed::Handler(Box::new(Runner::new(
                shard.clone(),
                self.clock,
                &self.settings,
                Arc::clone(handle),
                self.dead_letters.clone(),
                Arc::clone(&self.counters),
                Arc::clone(book),
                rng.fork(),
            ))),
            Destination::Channel(sender) => {
                Feed::Channel(Outlet::new(shard.clone(), sender.clone()))
            }
        }
    }

    /// Tells of a gap.
    ///
    /// # Errors
    ///
    /// Where the source is not to go on after one.
    pub(crate) fn gap(&self, gap: Gap) -> Result<(), StreamsError> {
        self.counters.gap();
        tracing::warn!(table = self.table, %gap, "a gap in the stream");
        if let Some(on_gap) = &self.on_gap {
            on_gap(&gap);
        }
        match self.settings.get_on_gap() {
            GapPolicy::Fail => Err(StreamsError::Gap {
                table: self.table.clone(),
                gap,
            }),
            GapPolicy::Report | GapPolicy::Rescan => Ok(()),
        }
    }
}

pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
