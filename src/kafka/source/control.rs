//! The view of a source from outside: how far it is, and its end.

use std::fmt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};

use kafka_topic_id::group_generation;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer as _;

use super::super::error::KafkaError;
use super::super::stats::KafkaSourceStats;
use super::clients::Clients;
use super::group_offsets::{GroupOffsets, GroupPosition};
use super::shared::Shared;
use super::start::QUERY_TIMEOUT;
use crate::health::Health;

/// A handle to a [`KafkaSource`](super::KafkaSource) that has gone elsewhere, such as into a pipeline.
/// Cheap to clone. It does not keep the source open.
#[derive(Clone)]
pub struct KafkaSourceControl {
    pub(super) shared: Arc<Shared>,
    pub(super) clients: Weak<Clients>,
    pub(super) reads_committed: bool,
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

    /// Has all open partitions begin anew at the group's offsets, once those are stable. Resolves when nothing that was handed
    /// out before is current any more.
    ///
    /// # Cancel safety
    /// Dropped, the partitions begin anew all the same.
    #[cfg(feature = "pipeline")]
    pub(crate) async fn rewind(&self) {
        self.shared.rewind().await;
    }

    /// Returns whether this is a member in good order of which all partitions are others'. In an outage they may be its own again.
    #[cfg(feature = "pipeline")]
    pub(crate) fn is_spare(&self) -> bool {
        let clients = self.clients.upgrade();
        clients.is_some_and(|clients| !clients.is_leaving())
            && self.shared.trackers().is_empty()
            && self.health().is_healthy()
    }

    /// Returns whether the place is known at which each partition is read, and there is one.
    #[cfg(feature = "pipeline")]
    pub(crate) fn has_opened_all(&self) -> bool {
        let trackers = self.shared.trackers();
        !trackers.is_empty() && trackers.iter().all(|tracker| tracker.resume().is_some())
    }

    /// Has the source commit nothing itself from now on: not by interval, not while a partition is kept for its
    /// records, and not at its end, which then waits for no commit. To be called before the first event is taken.
    #[cfg_attr(
        not(any(test, feature = "pipeline")),
        expect(dead_code, reason = "for exactly-once pipelines")
    )]
    pub(crate) fn commit_by_transaction(&self) {
        self.shared.by_transaction.store(true, SeqCst);
    }

    /// Returns whether the source waits for open transactions: with its records, and with the offsets at which
    /// partitions begin. Without that, a partition could begin at an offset that an open transaction replaces.
    #[cfg_attr(
        not(any(test, feature = "pipeline")),
        expect(dead_code, reason = "for exactly-once pipelines")
    )]
    pub(crate) fn reads_committed(&self) -> bool {
        self.reads_committed
    }

    /// Returns the first offset that is not done of each partition that is this member's, with the group's
    /// metadata of the same moment; `None` where this is no member, or the generation changed meanwhile.
    ///
    /// A guard of a partition that goes must not be released before the offsets are committed: brokers check
    /// the member and its generation, and not which member has a partition.
    #[cfg_attr(
        not(any(test, feature = "pipeline")),
        expect(dead_code, reason = "for exactly-once pipelines")
    )]
    pub(crate) fn group_offsets(&self) -> Option<GroupOffsets> {
        let clients = self.clients.upgrade()?;
        if clients.is_leaving() {
            return None;
        }
        let member = &clients.member;
        let generation = || group_generation(member.client());
        let before = generation()?;
        let positions = self.positions();
        let metadata = member.group_metadata()?;
        // Metadata of another generation would pass the brokers' check for partitions that are gone.
        let is_same = generation() == Some(before) && !clients.has_losses();
        is_same.then(|| GroupOffsets::new(metadata, positions))
    }

    /// Returns the first offset that is not done of each partition that is this member's.
    pub(crate) fn positions(&self) -> Vec<GroupPosition> {
        let owned = self.shared.trackers().into_iter().filter_map(|tracker| {
            let (offset, mark) = tracker.owned()?;
            let (topic, partition) = tracker.key();
            Some(GroupPosition {
                topic,
                partition,
                offset,
                mark,
            })
        });
        owned.collect()
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

/// Returns whether a client reads neither records nor offsets of transactions that are open, which is
/// librdkafka's default.
pub(super) fn reads_committed(client: &ClientConfig) -> bool {
    let level = client.get("isolation.level");
    level.is_none_or(|level| level.eq_ignore_ascii_case("read_committed"))
}

impl fmt::Debug for KafkaSourceControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSourceControl")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
