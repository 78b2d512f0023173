//! A table's changes: opened, then given to a handler or taken as a stream.

use std::fmt;
use std::future::Future;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::error::StreamsError;
use super::gap::{Gap, GapPolicy};
use super::graph::ShardGraph;
use super::lease::{Begin, LeaseTable};
use super::listing::Lister;
use super::policy::{Batch, BatchError, DeadLetter, DeadLetterFn, erase};
use super::record::Record;
use super::record_stream::{Letters, RecordStream};
use super::settings::StreamSettings;
use super::shared::{Destination, FilterFn, GapFn, Order, Shared, Stream, millis};
use super::snapshot::{Junction, SnapshotTable, Snapshots};
use super::stats::{Counters, StreamStats};
use super::troubles::Troubles;
use super::worker::Worker;
use crate::clock::Clock;
use crate::health::Health;
use crate::random::entropy;
use crate::retry::{Backoff, Retries, RetryPolicy};
use crate::transport::{ServiceClock, Transport, TransportKind};

/// How many pages wait, read and not yet taken, in a source that is taken as a stream.
const CHUNKS: usize = 16;

/// The number of times that the table is described before opening gives up.
const MAX_DESCRIBE_ATTEMPTS: u32 = 6;

/// Where an application that has no leases yet begins. One that has goes on from its checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartPosition {
    /// The oldest change that the stream still holds, up to 24 hours back. The default.
    #[default]
    TrimHorizon,
    /// What changes from now on: from before [`open`](StreamSourceBuilder::open) returns.
    Latest,
    /// What changed at this time or later. DynamoDB Streams can't seek by time: the shards are read from their oldest change, and what is earlier
    /// is passed over.
    AtTimestamp(SystemTime),
    /// Every item of the table once, as an [`EventKind::Snapshot`](super::EventKind::Snapshot), and every change since
    /// [`open`](StreamSourceBuilder::open): the table is scanned while its stream is read, and the two are merged.
    ///
    /// No change is lost, and no item is seen as it was before a change that was seen: an item that changes while it is scanned is given by
    /// its changes alone, so that there are items without a snapshot record. After a crash before a shard's first checkpoint, changes of the
    /// last seconds before the start may be given too. The stream's view must hold new images. After a crash the scan goes on from the last
    /// page with every item done and every change before it behind its shard's checkpoint.
    ///
    /// While it is taken, which [`StreamStats::snapshot_items`] shows, one worker reads all shards and the others wait; pages of it and
    /// changes of the stream are handed out in turn, never at the same time. How fast, and with how much memory:
    /// [`SnapshotSettings`](super::SnapshotSettings). Every worker of the application must be opened with this position. Its state is in a
    /// table of its own, `<lease table>-snapshot`, made on demand: deleted together with the lease table, the application is fresh again.
    Snapshot,
}

/// Gathers what a [`StreamSource`] is made of.
#[must_use = "nothing is opened until `open` is called"]
pub struct StreamSourceBuilder {
    dynamodb: aws_sdk_dynamodb::Client,
    streams: aws_sdk_dynamodbstreams::Client,
    table: String,
    lease_table: Option<String>,
    in_memory: bool,
    worker: Option<String>,
    start: StartPosition,
    settings: StreamSettings,
    transport: TransportKind,
    filter: Option<FilterFn>,
    dead_letters: Option<DeadLetterFn>,
    on_gap: Option<GapFn>,
    seed: Option<u64>,
}

impl fmt::Debug for StreamSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSourceBuilder")
            .field("table", &self.table)
            .field("lease_table", &self.lease_table)
            .field("start", &self.start)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl StreamSourceBuilder {
    /// The table that holds the leases, and with them the checkpoints: the application's name, as the KCL has it. Every worker of one
    /// application names the same, and two applications never do. It is made where it is missing, on demand. Default: the table's
    /// name and `-leases`.
    pub fn lease_table(mut self, name: impl Into<String>) -> Self {
        self.lease_table = Some(name.into());
        self
    }

    /// Keeps leases and checkpoints in this process alone, for a reader that shares its shards with no other and begins anew each time: to look at
    /// changes, for a cache. No table is made, and no right on one is needed.
    ///
    /// Two such sources read all shards each. Once dropped, nothing is left of how far it was.
    pub fn leases_in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Names this worker in the lease table, before a suffix of its own that tells it from others of its name. Default: the host's name and
    /// the process's number.
    pub fn worker(mut self, name: impl Into<String>) -> Self {
        self.worker = Some(name.into());
        self
    }

    /// Where an application without leases begins. Default: [`StartPosition::TrimHorizon`].
    pub fn start(mut self, position: StartPosition) -> Self {
        self.start = position;
        self
    }

    /// How changes are read and handled.
    pub fn settings(mut self, settings: StreamSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Which way requests go out. Default: [`TransportKind::Auto`].
    pub fn transport(mut self, kind: TransportKind) -> Self {
        self.transport = kind;
        self
    }

    /// Keeps back the records for which this says `false`: they count as done.
    pub fn filter(mut self, filter: impl Fn(&Record) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Takes the records that are given up. The checkpoint passes them once this has returned `Ok`; an error has it called again, after
    /// the delays of [`StreamSettings::retry`].
    pub fn dead_letters<H, F, E>(mut self, handler: H) -> Self
    where
        H: Fn(DeadLetter) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.dead_letters = Some(Arc::new(move |letter| {
            let taking = handler(letter);
            Box::pin(async move { taking.await.map_err(|error| error.to_string()) })
        }));
        self
    }

    /// Is told of every gap, whatever [`StreamSettings::on_gap`] says of going on. Must not block.
    pub fn on_gap(mut self, handler: impl Fn(&Gap) + Send + Sync + 'static) -> Self {
        self.on_gap = Some(Arc::new(handler));
        self
    }

    /// Fixes the delays and the order in which leases are taken, for tests. Two sources of one seed are two workers all the same.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Finds the table's stream, makes the lease table if need be, and sees to it that every shard has a lease.
    ///
    /// When it returns, the start position is settled: what changes from now on is given. Nothing is read before
    /// [`run`](StreamSource::run) or [`into_stream`](StreamSource::into_stream).
    ///
    /// # Errors
    ///
    /// [`StreamsError::NoStream`] where the table has none, [`StreamsError::Config`] for settings out of range or that need a handler
    /// which is missing, and whatever keeps the tables from being read.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, a lease table and rows may have been made; opening again goes on from there.
    pub async fn open(self) -> Result<StreamSource, StreamsError> {
        let settings = self.settings;
        settings.validate()?;
        let takes_letters = self.dead_letters.is_some();
        settings.check_handlers(takes_letters, self.on_gap.is_some())?;
        if self.in_memory {
            let stored = [
                (self.lease_table.is_some(), "lease_table"),
                (
                    self.start == StartPosition::Snapshot,
                    "StartPosition::Snapshot",
                ),
                (
                    settings.get_on_gap() == GapPolicy::Rescan,
                    "on_gap = \"rescan\"",
                ),
            ];
            if let Some((_, setting)) = stored.into_iter().find(|(is, _)| *is) {
                return Err(StreamsError::LeasesInMemory { setting });
            }
        }
        let clock = Clock::start();
        let mut rng = fastrand::Rng::with_seed(self.seed.unwrap_or_else(entropy));
        let timeout = settings.get_request_timeout();
        let table = Transport::new(&self.dynamodb, self.transport, &self.table, timeout);
        let mut retries = Retries::new(Backoff::new(&RetryPolicy::default()), rng.fork());
        let (stream_arn, keys) = stream_of(&table, &self.table, &mut retries).await?;

        let name = self.worker.unwrap_or_else(this_process);
        // Nobody else ever writes under this name: a row that names it is this worker's own doing. Two sources of one seed are two.
        let me = format!("{name}-{:016x}", entropy());
        let leases = self
            .lease_table
            .unwrap_or_else(|| format!("{}-leases", self.table));
        let with_snapshots = (self.start == StartPosition::Snapshot
            || settings.get_on_gap() == GapPolicy::Rescan)
            .then(|| Snapshots {
                table: SnapshotTable::new(&self.dynamodb, self.transport, &leases, &me, timeout),
                source: table.clone(),
                keys,
            });
        let lease_timeout = settings.lease_timeout();
        let leases = LeaseTable::new(&self.dynamodb, self.transport, &leases, &me, lease_timeout);
        let leases = if self.in_memory {
            leases.in_memory()
        } else {
            leases
        };
        leases.ensure().await?;
        let time = Arc::new(ServiceClock::new());
        let transport =
            Transport::streams(&self.streams, self.transport, &stream_arn, timeout, &time);
        let stream = Arc::new(Stream {
            arn: stream_arn,
            transport,
        });
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let delay = settings.get_retry().get_max_backoff();
        let longest_gap = timeout.saturating_add(delay);
        let shared = Shared {
            clock,
            backoff: Backoff::new(&RetryPolicy::default()),
            counters: Arc::new(Counters::new(&self.table)),
            troubles: Arc::new(Troubles::new(&self.table, clock, longest_gap)),
            table: self.table,
            source: table,
            stream: Mutex::new(Arc::clone(&stream)),
            time,
            leases,
            settings,
            dead_letters: self.dead_letters,
            filter: self.filter,
            on_gap: self.on_gap,
            held: AtomicUsize::new(0),
            graph: Mutex::new(Arc::new(ShardGraph::default())),
            junction: Junction::new(),
            starved: Mutex::default(),
        };
        let begin = match self.start {
            StartPosition::TrimHorizon => Begin::TrimHorizon,
            // Before the first page of a snapshot is scanned, so that the scan shows all that came before.
            StartPosition::Latest | StartPosition::Snapshot => Begin::Latest,
            StartPosition::AtTimestamp(time) => Begin::AtTimestamp(millis(time)),
        };
        let lister = Lister::new(stream, clock, rng.fork());
        let letters_rng = rng.fork();
        let mut worker = Worker::new(
            Arc::new(shared),
            Destination::Channel(sender),
            begin,
            lister,
            rng,
        );
        if let Some(snapshots) = with_snapshots {
            worker = worker.with_snapshots(snapshots, self.start == StartPosition::Snapshot);
        }
        worker.prepare().await?;
        let (orders, obey) = watch::channel(Order::Run);
        Ok(StreamSource {
            worker,
            receiver,
            orders: Arc::new(orders),
            obey,
            rng: letters_rng,
        })
    }
}

/// A source of a table's changes, open and not yet read.
///
/// Workers in any number of processes share the stream's shards by the lease table; see the [module](super) for what is promised.
pub struct StreamSource {
    worker: Worker,
    receiver: mpsc::Receiver<super::feed::Chunk>,
    orders: Arc<watch::Sender<Order>>,
    obey: watch::Receiver<Order>,
    /// For the delays of dead letters, where records are taken as a stream.
    rng: fastrand::Rng,
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSource")
            .field("stream_arn", &self.worker.shared().stream().arn)
            .finish_non_exhaustive()
    }
}

impl StreamSource {
    /// Begins to gather what a source is made of: the clients of DynamoDB and DynamoDB Streams, and a table's name or ARN.
    pub fn builder(
        dynamodb: &aws_sdk_dynamodb::Client,
        streams: &aws_sdk_dynamodbstreams::Client,
        table: impl Into<String>,
    ) -> StreamSourceBuilder {
        StreamSourceBuilder {
            dynamodb: dynamodb.clone(),
            streams: streams.clone(),
            table: table.into(),
            lease_table: None,
            in_memory: false,
            worker: None,
            start: StartPosition::default(),
            settings: StreamSettings::default(),
            transport: TransportKind::default(),
            filter: None,
            dead_letters: None,
            on_gap: None,
            seed: None,
        }
    }

    /// A handle that stops the source and tells its numbers, for while it runs.
    pub fn control(&self) -> StreamControl {
        StreamControl {
            orders: Arc::clone(&self.orders),
            counters: Arc::clone(&self.worker.shared().counters),
            troubles: Arc::clone(&self.worker.shared().troubles),
        }
    }

    /// Gives every change to a handler, until the source is stopped by its [`control`](Self::control) or fails.
    ///
    /// A batch holds changes of one shard, in order; batches of different shards, and with
    /// [`parallelism`](StreamSettings::parallelism) of different items, are handled at the same time. The checkpoint passes a change
    /// once the handler has returned `Ok` for its batch, so every effect must be durable by then. A change may be given again after a
    /// crash or a lost lease. An error, or a panic, has the batch given again, as the settings say. When its lease is lost while a handler
    /// works, the handler is dropped at its next `await`.
    ///
    /// # Errors
    ///
    /// What keeps the source from going on: a [gap](StreamsError::Gap), a record that nobody takes, a stream that was switched off, a
    /// service that refuses for good. The leases are given up before it returns.
    ///
    /// # Cancel safety
    ///
    /// Dropped, everything stops where it is. The leases lapse after the failover time; stop by the [`control`](Self::control) to have them
    /// given up at once.
    pub async fn run<T, H, F, E>(mut self, handler: H) -> Result<(), StreamsError>
    where
        T: DeserializeOwned + Send + 'static,
        H: Fn(Batch<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BatchError> + Send + 'static,
    {
        self.worker
            .set_destination(Destination::Handler(erase(handler)));
        drop(self.receiver);
        let running = Running(tokio::spawn(self.worker.run(self.obey)));
        running.ended().await
    }

    /// Gives every change as a stream of records, each with an [`Ack`](crate::progress::Ack).
    ///
    /// Must be called within a tokio runtime.
    pub fn into_stream(self) -> RecordStream {
        let control = self.control();
        let shared = self.worker.shared();
        let letters = Letters {
            handler: shared.dead_letters.clone(),
            backoff: Backoff::new(shared.settings.get_retry()),
            rng: self.rng,
            troubles: Arc::clone(&shared.troubles),
        };
        let running = Running(tokio::spawn(self.worker.run(self.obey)));
        RecordStream::new(self.receiver, running, control, letters)
    }
}

/// Stops a source and tells its numbers. Cheap to clone.
#[derive(Clone)]
pub struct StreamControl {
    orders: Arc<watch::Sender<Order>>,
    counters: Arc<Counters>,
    troubles: Arc<Troubles>,
}

impl fmt::Debug for StreamControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamControl").finish_non_exhaustive()
    }
}

impl StreamControl {
    /// Ends the source: nothing more is read or handed out, what is being handled is waited for as long as
    /// [`drain_timeout`](StreamSettings::drain_timeout) allows, checkpoints are stored, and the leases are given up, so that
    /// other workers go on at once.
    pub fn stop(&self) {
        self.orders.send_replace(Order::Close);
    }

    /// Reads no more, but keeps the leases, so that what was handed out can still be acknowledged. After it comes [`stop`](Self::stop).
    pub fn pause(&self) {
        self.orders.send_if_modified(|order| {
            *order == Order::Run && std::mem::replace(order, Order::Pause) == Order::Run
        });
    }

    /// The source's numbers now.
    pub fn stats(&self) -> StreamStats {
        StreamStats {
            last_error: self.troubles.last_error(),
            ..self.counters.stats()
        }
    }

    /// Returns whether shards are read and handled at present.
    ///
    /// It fails once an operation has failed for a second for one shard, or a handler has, without a success for that shard between;
    /// at once where time alone cannot help. It has ended once the source has, by an error.
    #[must_use]
    pub fn health(&self) -> Health {
        self.troubles.health()
    }
}

/// The worker's task, which ends with whoever waits for it.
#[derive(Debug)]
pub(crate) struct Running(JoinHandle<Result<(), StreamsError>>);

impl Running {
    pub(crate) async fn ended(mut self) -> Result<(), StreamsError> {
        self.wait().await
    }

    /// # Cancel safety
    ///
    /// Harmless to drop; not to be called again once it resolved.
    pub(crate) async fn wait(&mut self) -> Result<(), StreamsError> {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(StreamsError::Panicked),
            // The runtime is going: there is nobody left to fail to.
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns the ARN of a table's stream, and the names of the table's key attributes.
async fn stream_of(
    transport: &Transport,
    table: &str,
    retries: &mut Retries,
) -> Result<(String, Arc<[String]>), StreamsError> {
    let described = transport
        .describe_patiently(MAX_DESCRIBE_ATTEMPTS, retries)
        .await;
    let described =
        described.map_err(|error| StreamsError::service("DescribeTable", table, error))?;
    let keys = described.shape.keys();
    let names = std::iter::once(keys.partition()).chain(keys.sort());
    let keys = names.map(|key| key.name().to_owned()).collect();
    let stream_arn = described.stream_arn.ok_or_else(|| StreamsError::NoStream {
        table: table.to_owned(),
    })?;
    Ok((stream_arn, keys))
}

/// The name of this process: the host's, and its number there.
fn this_process() -> String {
    let host = ["HOSTNAME", "COMPUTERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host = host.as_deref().map_or("host", str::trim);
    format!("{host}-{}", std::process::id())
}

impl StreamSettings {
    /// Refuses settings that would lose records for want of somebody who takes them.
    fn check_handlers(&self, dead_letters: bool, on_gap: bool) -> Result<(), StreamsError> {
        let needs = if !dead_letters && self.get_max_age().is_some() {
            Some(("max_age", "dead_letters"))
        } else if !dead_letters && self.get_retry().get_max_attempts().is_some() {
            Some(("retry.max_attempts", "dead_letters"))
        } else if !on_gap && self.get_on_gap() == GapPolicy::Report {
            Some(("on_gap = \"report\"", "on_gap"))
        } else {
            None
        };
        match needs {
            Some((setting, handler)) => Err(StreamsError::HandlerMissing { setting, handler }),
            None => Ok(()),
        }
    }
}
