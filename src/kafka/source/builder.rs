//! Opening a source.

use std::fmt;
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;

use super::super::error::KafkaError;
use super::super::settings::KafkaSettings;
use super::control::reads_committed;
use super::reader::{Setup, run};
use super::settings::KafkaSourceSettings;
use super::shared::Shared;
use super::{GapFn, KafkaSource, KafkaSourceControl};
use crate::admission::Limits;
use crate::gap::{Gap, GapPolicy};
use crate::settings::{ConfigError, SettingsPlace};

/// A [`KafkaSource`] in the making. Made by [`KafkaSource::builder`].
///
/// `S` is `()` until the [`settings`](Self::settings) are given. A group and its topics have no
/// default, so only a builder that has settings can be opened:
///
/// ```compile_fail,E0599
/// # async fn example() -> Result<(), dynamodb_connector::kafka::KafkaError> {
/// use dynamodb_connector::kafka::{KafkaSettings, KafkaSource};
///
/// let source = KafkaSource::builder(&KafkaSettings::new("broker-1:9092")).open().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is opened"]
pub struct KafkaSourceBuilder<S = KafkaSourceSettings> {
    kafka: KafkaSettings,
    settings: S,
    on_gap: Option<GapFn>,
}

impl KafkaSourceBuilder<()> {
    pub(super) fn new(kafka: &KafkaSettings) -> Self {
        Self {
            kafka: kafka.clone(),
            settings: (),
            on_gap: None,
        }
    }
}

impl<S> KafkaSourceBuilder<S> {
    /// Sets the source's settings, all of them, with its group and its topics.
    pub fn settings(self, settings: KafkaSourceSettings) -> KafkaSourceBuilder {
        KafkaSourceBuilder {
            kafka: self.kafka,
            settings,
            on_gap: self.on_gap,
        }
    }

    /// Sets the handler that is called for every gap, whatever
    /// [`KafkaSourceSettings::on_gap`] is. It runs on the source's thread and must not block.
    pub fn on_gap(mut self, handler: impl Fn(&Gap) + Send + Sync + 'static) -> Self {
        self.on_gap = Some(Arc::new(handler));
        self
    }
}

impl KafkaSourceBuilder {
    /// Joins the group. Resolves once the brokers have said that the topics exist; partitions are
    /// assigned later.
    ///
    /// # Errors
    /// A setting that can't be used; a topic that does not exist; no broker that answers within
    /// [`topic_timeout`](KafkaSourceSettings::topic_timeout); a client that is not let in, or that may not use the
    /// group ([`GroupRefused`](KafkaError::GroupRefused)).
    ///
    /// # Cancel safety
    /// Dropped, nothing is left but a thread that ends within seconds.
    pub async fn open(self) -> Result<KafkaSource, KafkaError> {
        let Self {
            kafka,
            settings,
            on_gap,
        } = self;
        let configs = settings.clients(&kafka)?;
        if settings.on_gap == GapPolicy::Report && on_gap.is_none() {
            let needs_handler = ConfigError::NeedsHandler {
                place: SettingsPlace::KafkaSource,
                setting: "on_gap = \"report\"",
                handler: "on_gap",
            };
            return Err(needs_handler.into());
        }
        let reads_committed = reads_committed(&configs.reader);
        let limits = Limits {
            records: settings.max_outstanding_records,
            bytes: settings.max_outstanding_bytes,
        };
        let shared = Shared::new(limits, &settings.group);
        let setup = Setup {
            configs,
            settings,
            on_gap,
            shared: Arc::clone(&shared),
        };
        let (opened, open) = oneshot::channel();
        let (close, closing) = oneshot::channel();
        let no_thread = |error| KafkaError::no_thread(&error);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(no_thread)?;
        thread::Builder::new()
            .name("kafka-source".to_owned())
            .spawn(move || runtime.block_on(run(setup, opened, closing)))
            .map_err(no_thread)?;
        let clients = open.await.unwrap_or(Err(KafkaError::Closed))?;
        let control = KafkaSourceControl {
            shared,
            clients,
            reads_committed,
        };
        Ok(KafkaSource::new(control, close))
    }
}

impl<S: fmt::Debug> fmt::Debug for KafkaSourceBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSourceBuilder")
            .field("kafka", &self.kafka)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
