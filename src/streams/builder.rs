//! A source, set up and opened.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::dispatcher::Destination;
use super::error::StreamsError;
use super::events::News;
use super::failure_log::FailureLog;
use super::graph::ShardGraph;
use super::lag::Lags;
use super::lease::{Begin, LeaseTable};
use super::listing::Lister;
use super::policy::FailedChange;
use super::record::Record;
use super::settings::StreamsSettings;
use super::shared::{Callbacks, Order, Shared, Stream};
use super::snapshot::{Coordinator, SnapshotTable, Snapshots};
use super::source::StreamsSource;
use super::start::StartPosition;
use super::stats::Counters;
use super::time::millis;
use super::worker::Worker;
use crate::clock::Clock;
use crate::error::text;
use crate::gap::{Gap, GapPolicy};
use crate::random::entropy;
use crate::retry::{Backoff, Retries, RetryPolicy};
use crate::settings::{ConfigError, SettingsPlace};
use crate::transport::{ServiceClock, Transport, TransportKind};

/// The number of pages that wait, read and not yet taken, in a source that is taken as a stream.
const CHUNKS: usize = 16;

/// The number of times that the table is described before opening gives up.
const MAX_DESCRIBE_ATTEMPTS: u32 = 6;

/// A builder of a [`StreamsSource`].
#[must_use = "nothing is opened until `open` is called"]
pub struct StreamsSourceBuilder {
    dynamodb: aws_sdk_dynamodb::Client,
    streams: aws_sdk_dynamodbstreams::Client,
    table: String,
    in_memory: bool,
    settings: StreamsSettings,
    /// These three go over the settings, whatever the order of the calls.
    lease_table: Option<String>,
    worker: Option<String>,
    start: Option<StartPosition>,
    transport: TransportKind,
    callbacks: Callbacks,
    seed: Option<u64>,
}

impl fmt::Debug for StreamsSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamsSourceBuilder")
            .field("table", &self.table)
            .field("settings", &self.settings)
            .field("lease_table", &self.lease_table)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl StreamsSourceBuilder {
    pub(super) fn new(
        dynamodb: &aws_sdk_dynamodb::Client,
        streams: &aws_sdk_dynamodbstreams::Client,
        table: String,
    ) -> Self {
        Self {
            dynamodb: dynamodb.clone(),
            streams: streams.clone(),
            table,
            in_memory: false,
            settings: StreamsSettings::default(),
            lease_table: None,
            worker: None,
            start: None,
            transport: TransportKind::default(),
            callbacks: Callbacks::default(),
            seed: None,
        }
    }

    /// Sets the table that holds the leases, as [`StreamsSettings::lease_table`] does, and over it.
    pub fn lease_table(mut self, name: impl Into<String>) -> Self {
        self.lease_table = Some(name.into());
        self
    }

    /// Keeps leases and checkpoints in this process alone, for a reader that shares its shards with no other and starts
    /// anew each time, such as an inspection tool or a cache. No table is created, and no permission for one is needed.
    ///
    /// Two such sources read all shards each. The position is lost when the source is dropped. The settings'
    /// [`lease_table`](StreamsSettings::lease_table) is not used, so that one file serves this reader too; a
    /// [`lease_table`](Self::lease_table) of the builder's is refused beside it, as are a start by snapshot and
    /// [`GapPolicy::Rescan`], which need a table.
    pub fn leases_in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Sets this worker's name, as [`StreamsSettings::worker`] does, and over it.
    pub fn worker(mut self, name: impl Into<String>) -> Self {
        self.worker = Some(name.into());
        self
    }

    /// Sets the position at which an application without leases begins, as [`StreamsSettings::start`] does, and over it.
    pub fn start(mut self, position: StartPosition) -> Self {
        self.start = Some(position);
        self
    }

    /// Sets the source's settings, all of them. What [`lease_table`](Self::lease_table), [`worker`](Self::worker) and
    /// [`start`](Self::start) set goes over them, whatever the order of the calls. Default: [`StreamsSettings::default`].
    pub fn settings(mut self, settings: StreamsSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the transport of requests. Default: [`TransportKind::Auto`].
    pub fn transport(mut self, kind: TransportKind) -> Self {
        self.transport = kind;
        self
    }

    /// Sets the filter of records. Those for which it returns `false` are not handed out and count as done.
    pub fn filter(mut self, filter: impl Fn(&Record) -> bool + Send + Sync + 'static) -> Self {
        self.callbacks.filter = Some(Arc::new(filter));
        self
    }

    /// Sets the handler of records that are given up. The checkpoint passes a record once the handler has
    /// returned `Ok`; after an error it is called again, with the delays of [`StreamsSettings::retry`].
    pub fn dead_letters<H, F, E>(mut self, handler: H) -> Self
    where
        H: Fn(FailedChange) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.callbacks.dead_letters = Some(Arc::new(move |letter| {
            let taking = handler(letter);
            Box::pin(async move { taking.await.map_err(|error| text(&*error.into())) })
        }));
        self
    }

    /// Sets the handler that is called for every gap, whatever [`StreamsSettings::on_gap`] is. It must not block.
    pub fn on_gap(mut self, handler: impl Fn(&Gap) + Send + Sync + 'static) -> Self {
        self.callbacks.on_gap = Some(Arc::new(handler));
        self
    }

    /// Sets the seed of the delays and of the order in which leases are taken, for tests. Two sources of one seed are still two workers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Finds the table's stream, creates the lease table if it is missing, and ensures that every shard has a lease.
    ///
    /// The start position is settled before it returns: every change from then on is given. Nothing
    /// is read before [`run`](StreamsSource::run) or [`into_stream`](StreamsSource::into_stream). An application
    /// that begins at the latest change, or with a snapshot, waits for up to 2 minutes while the stream lists
    /// no shard, as when it has just been switched on.
    ///
    /// # Errors
    ///
    /// [`StreamsError::NoStream`] if the table has none, [`StreamsError::Config`] for settings out of range
    /// and for those that lack their handler, [`StreamsError::InconsistentShards`] if the
    /// stream's shards can't be made out, and any error that keeps the tables from being read.
    ///
    /// # Cancel safety
    ///
    /// If dropped before it resolves, a lease table and rows may have been created; opening again continues from there.
    pub async fn open(self) -> Result<StreamsSource, StreamsError> {
        let settings = self.settings;
        let names_lease_table = self.lease_table.is_some();
        let settings = match self.lease_table {
            Some(name) => settings.lease_table(name),
            None => settings,
        };
        let settings = match self.worker {
            Some(name) => settings.worker(name),
            None => settings,
        };
        let start = self.start.unwrap_or_else(|| settings.get_start());
        settings.validate()?;
        settings.check_handlers(&self.callbacks)?;
        if self.in_memory {
            let stored = [
                (names_lease_table, "lease_table"),
                (start == StartPosition::Snapshot, "start = \"snapshot\""),
                (
                    settings.get_on_gap() == GapPolicy::Rescan,
                    "on_gap = \"rescan\"",
                ),
            ];
            if let Some((_, setting)) = stored.into_iter().find(|(is, _)| *is) {
                let conflict = ConfigError::Conflict {
                    place: SettingsPlace::Streams,
                    setting,
                    with: "leases_in_memory",
                };
                return Err(conflict.into());
            }
        }
        let clock = Clock::start();
        let mut rng = fastrand::Rng::with_seed(self.seed.unwrap_or_else(entropy));
        let timeout = settings.get_request_timeout();
        let table = Transport::new(&self.dynamodb, self.transport, &self.table, timeout);
        let mut retries = Retries::new(Backoff::new(&RetryPolicy::default()), rng.fork());
        let (stream_arn, keys) = stream_of(&table, &self.table, &mut retries).await?;

        let name = settings.get_worker();
        let name = name.map_or_else(this_process, str::to_owned);
        // No other worker writes under this name: a row with it was written by this one. The suffix
        // does not depend on the seed, so two sources of one seed have two names.
        let me = format!("{name}-{:016x}", entropy());
        let leases = settings.lease_table_of(&self.table);
        let with_snapshots = (start == StartPosition::Snapshot
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
        let (news, news_receiver) = News::channel();
        let delay = settings.get_retry().get_max_backoff();
        let longest_gap = timeout.saturating_add(delay);
        let shared = Shared {
            clock,
            backoff: Backoff::new(&RetryPolicy::default()),
            counters: Arc::new(Counters::new(&self.table)),
            lags: Arc::new(Lags::new(&self.table, &time)),
            failure_log: Arc::new(FailureLog::new(&self.table, clock, longest_gap)),
            table: self.table,
            source: table,
            stream: Mutex::new(Arc::clone(&stream)),
            time,
            leases,
            settings,
            callbacks: self.callbacks,
            held: AtomicUsize::new(0),
            graph: watch::channel(Arc::new(ShardGraph::default())).0,
            coordinator: Coordinator::new(),
            starved: Mutex::default(),
        };
        let begin = match start {
            StartPosition::TrimHorizon => Begin::TrimHorizon,
            // Set before the first page of a snapshot is scanned, so that the scan shows all earlier changes.
            StartPosition::Latest | StartPosition::Snapshot => Begin::Latest,
            StartPosition::AtTimestamp(time) => Begin::AtTimestamp(millis(time)),
        };
        let lister = Lister::new(stream, clock, rng.fork());
        let letters_rng = rng.fork();
        let mut worker = Worker::new(
            Arc::new(shared),
            Destination::Channel(sender, news),
            begin,
            lister,
            rng,
        );
        if let Some(snapshots) = with_snapshots {
            worker = worker.with_snapshots(snapshots, start == StartPosition::Snapshot);
        }
        worker.prepare().await?;
        let (orders, received_orders) = watch::channel(Order::Run);
        Ok(StreamsSource {
            worker,
            receiver: (receiver, news_receiver),
            orders: Arc::new(orders),
            received_orders,
            rng: letters_rng,
        })
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

/// Returns the name of this process: the host's name, and the process ID.
fn this_process() -> String {
    let host = ["HOSTNAME", "COMPUTERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host = host.as_deref().map_or("host", str::trim);
    format!("{host}-{}", std::process::id())
}

impl StreamsSettings {
    /// Refuses settings that would lose records because no handler takes them.
    fn check_handlers(&self, callbacks: &Callbacks) -> Result<(), ConfigError> {
        let (dead_letters, on_gap) = (callbacks.dead_letters.is_some(), callbacks.on_gap.is_some());
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
            Some((setting, handler)) => Err(ConfigError::NeedsHandler {
                place: SettingsPlace::Streams,
                setting,
                handler,
            }),
            None => Ok(()),
        }
    }
}
