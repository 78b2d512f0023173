//! The view of a source from outside: how far it is, and its end.

use std::fmt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};

use rdkafka::consumer::Consumer as _;

use super::super::error::KafkaError;
use super::super::stats::KafkaSourceStats;
use super::clients::Clients;
use super::shared::Shared;
use super::start::QUERY_TIMEOUT;
use crate::health::Health;

/// A handle to a [`KafkaSource`](super::KafkaSource) that has gone elsewhere, such as into a pipeline.
/// Cheap to clone. It does not keep the source open.
#[derive(Clone)]
pub struct KafkaSourceControl {
    pub(super) shared: Arc<Shared>,
    pub(super) clients: Weak<Clients>,
}

/// The distance of a partition from its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLag {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offsets between the first record that is not done and the end of the log. Markers of
    /// transactions count until they are passed; records of open transactions count too.
    pub lag: u64,
}

impl KafkaSourceControl {
    /// Asks the brokers how far each partition is behind, of those whose start is known; also sent to
    /// the metrics.
    ///
    /// # Errors
    /// [`Unreachable`](KafkaError::Unreachable) where they do not answer; [`Closed`](KafkaError::Closed)
    /// once the source is closed.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn lag(&self) -> Result<Vec<PartitionLag>, KafkaError> {
        let (shared, clients) = (Arc::clone(&self.shared), self.clients.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let clients = clients.upgrade().ok_or(KafkaError::Closed)?;
            let mut lags = Vec::new();
            for tracker in shared.trackers() {
                // The member leaves only once nothing has it any more.
                if clients.is_leaving() {
                    return Err(KafkaError::Closed);
                }
                let Some(resume) = tracker.resume() else {
                    continue;
                };
                let (topic, partition) = tracker.key();
                let range = clients
                    .member
                    .fetch_watermarks(&topic, partition, QUERY_TIMEOUT);
                let (low, high) = range.map_err(|error| KafkaError::Unreachable {
                    waited: QUERY_TIMEOUT,
                    reason: error.to_string().into(),
                })?;
                // Another member's by now, which has its lag.
                if shared.tracker(&(Arc::clone(&topic), partition)).is_none() {
                    continue;
                }
                let lag = u64::try_from(high.saturating_sub(resume.max(low))).unwrap_or(0);
                shared.meter.lag(&topic, partition, lag);
                lags.push(PartitionLag {
                    topic,
                    partition,
                    lag,
                });
            }
            Ok(lags)
        });
        asked.await.unwrap_or(Err(KafkaError::Closed))
    }

    /// Returns whether the place is known at which each partition is read, and there is one.
    #[cfg(feature = "pipeline")]
    pub(crate) fn has_opened_all(&self) -> bool {
        let trackers = self.shared.trackers();
        !trackers.is_empty() && trackers.iter().all(|tracker| tracker.resume().is_some())
    }

    /// Returns whether brokers are reached at present, whether offsets are found and committed, and
    /// whether the source is of use.
    #[must_use]
    pub fn health(&self) -> Health {
        let shared = &self.shared;
        if let Some(failure) = shared.failure() {
            return Health::Ended {
                cause: failure.to_string(),
            };
        }
        let all = [
            shared.connection.health(),
            shared.lookups.health(),
            shared.commits.health(),
            shared.silence.health(),
        ];
        let unhealthy = all.into_iter().find(|health| !health.is_healthy());
        unhealthy.unwrap_or_default()
    }

    /// Returns the numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> KafkaSourceStats {
        let level = self.shared.admission.level();
        let partitions = self.shared.open.load(SeqCst);
        self.shared
            .meter
            .stats(level.records, level.bytes, partitions)
    }

    /// Ends the stream of records: nothing more is handed out. What was handed out may still be
    /// acknowledged, until the source is closed.
    pub fn stop(&self) {
        self.shared.stopped.store(true, SeqCst);
        self.shared.output.end(None);
        self.shared.wake.notify_one();
    }
}

impl fmt::Debug for KafkaSourceControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSourceControl")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
