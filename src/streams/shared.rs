//! The state that all tasks of a source share.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::failure_log::FailureLog;
use super::graph::ShardGraph;
use super::lag::Lags;
use super::lease::LeaseTable;
use super::policy::DeadLetterFn;
use super::record::Record;
use super::settings::StreamsSettings;
use super::snapshot::Coordinator;
use super::stats::Counters;
use super::{ShardId, StreamsError};
use crate::clock::Clock;
use crate::gap::{Gap, GapPolicy};
use crate::retry::{Backoff, Retries};
use crate::transport::{ServiceClock, Transport};

/// The assumed maximum difference of the service's clocks, in milliseconds: of the machine that dates answers and
/// the one that dates changes. AWS keeps its machines within milliseconds of each other and promises nothing.
pub(crate) const HOSTS_APART: u64 = 3_000;

/// The resolution of DynamoDB Local's times of changes, in milliseconds: they are rounded down to the minute.
pub(crate) const LOCAL_TIME_STEP: u64 = 60_000;

/// The least time between two log lines about tasks that are not run in time.
const STARVED_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) type FilterFn = Arc<dyn Fn(&Record) -> bool + Send + Sync>;
pub(crate) type GapFn = Arc<dyn Fn(&Gap) + Send + Sync>;

/// An order of a worker to the tasks of shards and of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Run,
    /// Read no more; all other work continues.
    Pause,
    /// Give the lease up as soon as all records handed out are done, or the drain timeout is over.
    Close,
    /// Give the lease up without waiting for records that are handed out.
    CloseNow,
}

impl Order {
    pub(crate) fn closes(self) -> bool {
        match self {
            Self::Close | Self::CloseNow => true,
            Self::Run | Self::Pause => false,
        }
    }
}

/// The stream that is read, and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) arn: String,
    pub(crate) transport: Transport,
}

/// The user's functions that a source calls, where they are set.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) dead_letters: Option<DeadLetterFn>,
    pub(crate) filter: Option<FilterFn>,
    pub(crate) on_gap: Option<GapFn>,
}

/// The context of every task of a source. Its fields are independent: each is a constant, or shared
/// state with an owner and a lock of its own, so no smaller type would hold an invariant.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) settings: StreamsSettings,
    pub(crate) table: String,
    /// The table of the stream.
    pub(crate) source: Transport,
    pub(crate) stream: Mutex<Arc<Stream>>,
    /// The service's clock, used for every time that is compared with one of the service's.
    pub(crate) time: Arc<ServiceClock>,
    pub(crate) leases: LeaseTable,
    pub(crate) counters: Arc<Counters>,
    pub(crate) lags: Arc<Lags>,
    pub(crate) failure_log: Arc<FailureLog>,
    pub(crate) callbacks: Callbacks,
    pub(crate) backoff: Backoff,
    /// The number of shards that this worker reads.
    pub(crate) held: AtomicUsize,
    /// The stream's shards as last listed. Tasks at the end of their shards wait for the next ones.
    pub(crate) graph: watch::Sender<Arc<ShardGraph>>,
    /// The coordination between shards and a snapshot.
    pub(crate) coordinator: Coordinator,
    /// The time of the last log line about tasks that are not run in time.
    pub(crate) starved: Mutex<Option<Duration>>,
}

impl Shared {
    /// Returns each shard's part of the buffer, in bytes.
    pub(crate) fn part(&self) -> usize {
        self.settings.get_buffer_bytes() / self.held.load(Ordering::Relaxed).max(1)
    }

    /// Returns the bytes below which a shard reads another page: half of its part.
    ///
    /// No [`Level`](crate::admission::Level): a page's size is known only once it is read, it may be
    /// about as large as the part, and it is freed as a whole. Read below half of the part, it takes
    /// the shard above its part by about half of it at most.
    pub(crate) fn read_below(&self) -> usize {
        self.part() / 2
    }

    pub(crate) fn graph(&self) -> Arc<ShardGraph> {
        Arc::clone(&self.graph.borrow())
    }

    pub(crate) fn set_graph(&self, graph: Arc<ShardGraph>) {
        self.graph.send_replace(graph);
    }

    pub(crate) fn stream(&self) -> Arc<Stream> {
        Arc::clone(&self.stream.lock())
    }

    pub(crate) fn set_stream(&self, stream: Stream) {
        *self.stream.lock() = Arc::new(stream);
    }

    /// Returns retries with the source's delays.
    pub(crate) fn retries(&self, rng: &mut fastrand::Rng) -> Retries {
        Retries::new(self.backoff.clone(), rng.fork())
    }

    /// Returns whether the user's filter, if there is one, accepts a record.
    ///
    /// # Errors
    ///
    /// [`StreamsError::CallbackPanicked`] if the filter panicked.
    pub(crate) fn accepts(&self, record: &Record) -> Result<bool, StreamsError> {
        match &self.callbacks.filter {
            Some(filter) => guarded("filter", || filter(record)),
            None => Ok(true),
        }
    }

    /// Counts and logs a gap, and calls the handler of gaps.
    ///
    /// # Errors
    ///
    /// [`StreamsError::Gap`] under [`GapPolicy::Fail`], and [`StreamsError::CallbackPanicked`] if the handler panicked.
    pub(crate) fn gap(&self, gap: Gap) -> Result<(), StreamsError> {
        self.counters.gap();
        tracing::warn!(table = self.table, %gap, "a gap in the stream");
        if let Some(on_gap) = &self.callbacks.on_gap {
            guarded("on_gap", || on_gap(&gap))?;
        }
        match self.settings.get_on_gap() {
            GapPolicy::Fail => Err(StreamsError::Gap {
                table: self.table.clone(),
                gap,
            }),
            GapPolicy::Report | GapPolicy::Rescan => Ok(()),
        }
    }

    /// Returns whether the server is DynamoDB Local.
    pub(crate) fn is_local(&self) -> bool {
        self.stream().arn.contains(":ddblocal:")
    }

    /// Returns the resolution of the server's times of changes, which it rounds down: a second, or a minute for DynamoDB Local.
    pub(crate) fn time_step(&self) -> Duration {
        Duration::from_millis(if self.is_local() {
            LOCAL_TIME_STEP
        } else {
            1_000
        })
    }

    /// Warns of a shard's task that was woken `late` by a third of the failover time or more: near
    /// the failover time its lease lapses.
    pub(crate) fn woken(&self, shard: &ShardId, late: Duration) {
        if late < self.settings.get_failover() / 3 {
            return;
        }
        let now = self.clock.now();
        let mut last = self.starved.lock();
        if last.is_some_and(|last| now.saturating_sub(last) < STARVED_INTERVAL) {
            return;
        }
        *last = Some(now);
        tracing::warn!(
            %shard,
            late_seconds = late.as_secs_f64(),
            "the runtime did not run a shard's task in time: does a handler block its thread? See `tokio::task::spawn_blocking`"
        );
    }
}

/// Calls a user's function, whose panic is an error and not a defect of this crate.
fn guarded<T>(callback: &'static str, call: impl FnOnce() -> T) -> Result<T, StreamsError> {
    std::panic::catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| StreamsError::CallbackPanicked { callback })
}
