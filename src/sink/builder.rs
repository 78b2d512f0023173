//! The builder of a sink.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;

use super::config::TableSettings;
use super::core::BufferPool;
use super::dead_letter::{DeadLetterError, DeadLetterHandler, FailedWrite};
use super::describing;
use super::error::OpenError;
use super::handle::DynamoDbSink;
use super::limits::SinkLimits;
use super::opening;
use super::settings::DynamoDbSinkSettings;
use super::shared_limit::SharedLimit;
use super::start::{Common, Opening};
use super::table::TableSink;
use super::worker::Account;
use crate::item::{KeySchema, TableShape};
use crate::random::entropy;
use crate::retry::Backoff;
use crate::settings::SettingsPlace;
use crate::transport::{Transport, TransportKind};

/// Builds a [`DynamoDbSink`].
///
/// ```
/// # async fn example(client: aws_sdk_dynamodb::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use dynamodb_connector::sink::{DynamoDbSink, TableSettings};
///
/// let sink = DynamoDbSink::builder(&client)
///     .table("decisions", TableSettings::default().concurrency(1..=64))
///     .table("checks", TableSettings::default().concurrency(4).coalesce(true))
///     .dead_letters(|letter| async move {
///         eprintln!("{letter}");
///         Ok(())
///     })
///     .open()
///     .await?;
/// let decisions = sink.table("decisions")?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `open`"]
pub struct DynamoDbSinkBuilder {
    pub(super) client: Client,
    settings: DynamoDbSinkSettings,
    /// Values that are set here go over the settings, whatever the order of the calls.
    pub(super) tables: Vec<(String, TableSettings)>,
    pub(super) limits: SinkLimits,
    pub(super) shapes: Vec<(String, TableShape)>,
    pub(super) transport: TransportKind,
    pub(super) dead_letters: Option<DeadLetterHandler>,
    pub(super) seed: Option<u64>,
    pub(super) show_service_messages: bool,
}

impl DynamoDbSink {
    /// Returns a builder of a sink that sends through this client's configuration (credentials,
    /// region, endpoint, HTTP client, time-outs). The client's own retries are not used: the sink
    /// has its own.
    pub fn builder(client: &Client) -> DynamoDbSinkBuilder {
        DynamoDbSinkBuilder {
            client: client.clone(),
            settings: DynamoDbSinkSettings::default(),
            tables: Vec::new(),
            limits: SinkLimits::default(),
            shapes: Vec::new(),
            transport: TransportKind::Auto,
            dead_letters: None,
            seed: None,
            show_service_messages: false,
        }
    }
}

impl TableSink {
    /// Opens one table with default settings: describes it to learn its keys, and starts its
    /// worker on the current runtime.
    ///
    /// For settings, several tables or a dead-letter handler see [`DynamoDbSink::builder`].
    ///
    /// # Errors
    ///
    /// [`OpenError::Describe`] where the table can't be described.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, nothing was started.
    pub async fn open(client: &Client, table: impl Into<String>) -> Result<Self, OpenError> {
        let table = table.into();
        let sink = DynamoDbSink::builder(client)
            .table(table.clone(), TableSettings::default())
            .open()
            .await?;
        sink.into_table(&table)
    }
}

impl DynamoDbSinkBuilder {
    /// Adds a table, by its name or its ARN. These settings go over those that
    /// [`settings`](Self::settings) has for it, whichever is called first, if both name it in the
    /// same form: `open` refuses a table's name beside its ARN.
    pub fn table(mut self, name: impl Into<String>, settings: TableSettings) -> Self {
        self.tables.push((name.into(), settings));
        self
    }

    /// Sets the most requests that all tables together may have in flight, as
    /// [`DynamoDbSinkSettings::max_requests`] does, and over it.
    pub fn max_requests(mut self, requests: usize) -> Self {
        self.limits.max_requests = Some(requests);
        self
    }

    /// Sets the most bytes that all tables together may have buffered, as
    /// [`DynamoDbSinkSettings::buffer_bytes`] does, and over it.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.limits.set_buffer_bytes(bytes);
        self
    }

    /// Sets the sink's settings, all of them: the tables that have settings of their own, and the
    /// limits over all. Replaces those that were set before by this method.
    ///
    /// What [`table`](Self::table), [`max_requests`](Self::max_requests) and
    /// [`buffer_bytes`](Self::buffer_bytes) set goes over them, whatever the order of the calls.
    /// Default: [`DynamoDbSinkSettings::default`], without a table.
    pub fn settings(mut self, settings: DynamoDbSinkSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets a table's keys, so that the table is not described when it is opened: for offline use,
    /// and where the credentials don't allow it to be described.
    pub fn keys(self, table: impl Into<String>, keys: KeySchema) -> Self {
        self.shape(table, TableShape::new(keys))
    }

    /// Sets a table's keys and indexes, as [`keys`](Self::keys) does, so that the types of the
    /// indexes' keys are checked at submit too.
    pub fn shape(mut self, table: impl Into<String>, shape: TableShape) -> Self {
        self.shapes.push((table.into(), shape));
        self
    }

    /// Sets the way in which requests are sent. Default: [`TransportKind::Auto`].
    pub fn transport(mut self, transport: TransportKind) -> Self {
        self.transport = transport;
        self
    }

    /// Passes every write that failed for good to `handler`, with the reason.
    /// [`FailedWrite::to_json_line`] makes it a line of a file.
    ///
    /// A record that can't be made a write is an error of `put`, and goes to the handler only by
    /// [`put_or_dead_letter`](super::TableSink::put_or_dead_letter) and
    /// [`records`](super::TableSink::records).
    ///
    /// The write has its outcome once the handler is done: until then it counts against the buffer,
    /// `flush` and `close` wait for it, later writes of its key wait, and a snapshot holds it, so
    /// that a crash between hands it over again (at least once). A handler that fails stops the
    /// table: it takes no further writes, and `flush` and `close` report it. The handler has to
    /// retry by itself.
    ///
    /// Handlers of different keys run at the same time, as many as there are letters: an outage that
    /// outlasts the [`deadline`](TableSettings::deadline) of a full buffer calls one for each record.
    /// A handler that calls another service limits itself how many calls are made at once.
    pub fn dead_letters<H, R>(mut self, handler: H) -> Self
    where
        H: Fn(FailedWrite) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), DeadLetterError>> + Send + 'static,
    {
        self.dead_letters = Some(DeadLetterHandler::new(handler));
        self
    }

    /// Sets whether errors show the service's own messages whatever they may quote. Default:
    /// `false`.
    ///
    /// For development. Messages that name expressions, placeholders, rights and limits are shown
    /// in any case; of others, which may quote keys and values of an item, errors and log lines say
    /// that they are withheld.
    pub fn show_service_messages(mut self, show: bool) -> Self {
        self.show_service_messages = show;
        self
    }

    /// Seeds the generator that spreads retries, for tests that must repeat. Default: random.
    ///
    /// A seeded sink also takes the time of its opening as midnight. Sinks that share a table probe
    /// its capacity in the same moments of the day, so those in use should not be seeded.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings, describes the tables whose keys were not given, and starts a worker
    /// for each on the current runtime.
    ///
    /// A description that the service throttles or fails is tried again for 10 s, one to which
    /// nothing of DynamoDB answers for 2 s. A table that is being created is waited for, for up to
    /// 5 minutes.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was started then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, nothing was started.
    pub async fn open(self) -> Result<DynamoDbSink, OpenError> {
        let Self {
            client,
            settings,
            mut tables,
            limits,
            mut shapes,
            transport,
            dead_letters,
            seed,
            show_service_messages,
        } = self;
        let mut names = std::collections::HashSet::new();
        if let Some((table, _)) = tables.iter().find(|(name, _)| !names.insert(name.clone())) {
            return Err(OpenError::Duplicate {
                table: table.clone(),
            });
        }
        let limits = limits.or(settings.limits());
        let others = settings.into_tables();
        tables.extend(others.filter(|(name, _)| names.insert(name.clone())));
        if tables.is_empty() {
            return Err(OpenError::NoTable);
        }
        let arns = tables.iter().filter(|(name, _)| name.starts_with("arn:"));
        let mut within = arns.filter_map(|(arn, _)| Some((arn, arn.rsplit_once(":table/")?.1)));
        if let Some((arn, table)) = within.find(|(_, table)| names.contains(*table)) {
            return Err(OpenError::NameAndArn {
                table: table.to_owned(),
                arn: arn.clone(),
            });
        }
        for (name, settings) in &tables {
            settings.check_within(&SettingsPlace::Table(name.clone()))?;
        }
        let named = tables.iter();
        limits.check(named.map(|(name, settings)| (format!("table {name:?}"), settings)))?;
        let mut keyed = std::collections::HashSet::new();
        if let Some((table, _)) = shapes
            .iter()
            .find(|(table, _)| !keyed.insert(table.clone()))
        {
            return Err(OpenError::KeysTwice {
                table: table.clone(),
            });
        }
        if let Some((table, _)) = shapes.iter().find(|(table, _)| !names.contains(table)) {
            return Err(OpenError::KeysWithoutTable {
                table: table.clone(),
            });
        }
        let mut rng = fastrand::Rng::with_seed(seed.unwrap_or_else(entropy));
        let max_requests = limits.requests(tables.iter().map(|(_, settings)| settings));
        let opening = tables.into_iter().map(|(name, settings)| {
            let known = shapes.iter().position(|(table, _)| *table == name);
            let known = known.map(|place| shapes.swap_remove(place).1);
            let rng = rng.fork();
            let transport =
                Transport::new(&client, transport, &name, settings.get_request_timeout());
            transport.show_messages(show_service_messages);
            async move {
                let backoff = Backoff::new(settings.get_retry());
                let mut rng = rng;
                let (shape, capacity) = match known {
                    Some(shape) => (shape, None),
                    None => {
                        let description =
                            opening::describe(&transport, &name, &backoff, &mut rng).await?;
                        let capacity = describing::table_capacity(&description, &description.shape);
                        (description.shape, Some(capacity))
                    }
                };
                Ok::<_, OpenError>(Opening {
                    name,
                    settings,
                    transport,
                    shape,
                    capacity,
                    backoff,
                    rng,
                    opened: seed.map(|_| Duration::ZERO),
                })
            }
        });
        // Descriptions are requests too, and each at a time needs a connection.
        let opened: Vec<Opening> = stream::iter(opening)
            .buffered(max_requests)
            .try_collect()
            .await?;
        let settings = || opened.iter().map(|opening| &opening.settings);
        let common = Common {
            requests: SharedLimit::of_requests(max_requests),
            descriptions: Arc::new(Semaphore::new(max_requests.div_ceil(8))),
            bytes: SharedLimit::of_bytes(limits.bytes(settings())),
            account: Account::default(),
            buffers: BufferPool::default(),
            dead_letters,
        };
        let tables = opened
            .into_iter()
            .map(|opening| (opening.name.clone(), opening.start(&common)))
            .collect();
        Ok(DynamoDbSink {
            tables: Arc::new(tables),
        })
    }
}

impl fmt::Debug for DynamoDbSinkBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbSinkBuilder")
            .field("settings", &self.settings)
            .field("tables", &self.tables)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
