//! Which partitions this member has, and librdkafka's callbacks about them, all on the source's thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::super::connection::Connection;
use super::super::error::{KafkaError, is_fatal};
use super::super::producer::log;
use super::super::stats::SourceMeter;
use super::lane::{Lane, Outstanding};
use super::outlet::Outlet;

type Lanes = HashMap<Arc<str>, HashMap<i32, Arc<Lane>>>;

/// What the source's handle, its thread and its acknowledgements share.
pub(super) struct Shared {
    pub(super) outlet: Outlet,
    pub(super) outstanding: Arc<Outstanding>,
    pub(super) meter: SourceMeter,
    pub(super) connection: Connection,
    /// No more is taken in.
    pub(super) stopped: AtomicBool,
    lanes: Mutex<Lanes>,
    /// The assignment changed since the thread last looked.
    changed: AtomicBool,
    failure: Mutex<Option<KafkaError>>,
}

/// librdkafka's callbacks.
pub(super) struct Callbacks(pub(super) Arc<Shared>);

impl Shared {
    pub(super) fn new(outstanding: Outstanding, meter: SourceMeter) -> Arc<Self> {
        Arc::new(Self {
            outlet: Outlet::default(),
            outstanding: Arc::new(outstanding),
            meter,
            connection: Connection::new("kafka consumer"),
            stopped: AtomicBool::new(false),
            lanes: Mutex::default(),
            changed: AtomicBool::new(false),
            failure: Mutex::default(),
        })
    }

    pub(super) fn lane(&self, topic: &str, partition: i32) -> Option<Arc<Lane>> {
        self.lock().get(topic)?.get(&partition).cloned()
    }

    pub(super) fn lanes(&self) -> Vec<Arc<Lane>> {
        self.lock()
            .values()
            .flat_map(|partitions| partitions.values().cloned())
            .collect()
    }

    /// Whether the assignment changed since this was last asked.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.swap(false, SeqCst)
    }

    /// Why the client works no more.
    pub(super) fn failure(&self) -> Option<KafkaError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes why the client works no more. The first reason counts.
    pub(super) fn fail(&self, error: &KafkaError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| error.clone());
    }

    fn assign(&self, topic: &str, partition: i32) {
        let mut lanes = self.lock();
        let topic: Arc<str> = lanes
            .get_key_value(topic)
            .map_or_else(|| topic.into(), |(topic, _)| topic.clone());
        let lane = Lane::new(topic.clone(), partition, self.outstanding.clone(), None);
        lanes.entry(topic).or_default().insert(partition, lane);
    }

    /// Ends a lane: what was handed out of it and is not done is void, what was not yet taken is taken back.
    fn revoke(&self, topic: &str, partition: i32) -> Option<Arc<Lane>> {
        let lane = self.lock().get_mut(topic)?.remove(&partition)?;
        lane.retire();
        self.outlet.withdraw(&lane.topic, partition);
        Some(lane)
    }

    /// A lane in the place of one with a dropped acknowledgement, beginning where that is not done.
    pub(super) fn renew(&self, lane: &Lane) {
        lane.retire();
        self.outlet.withdraw(&lane.topic, lane.partition);
        let new = Lane::new(
            lane.topic.clone(),
            lane.partition,
            self.outstanding.clone(),
            lane.resume(),
        );
        let mut lanes = self.lock();
        if let Some(partitions) = lanes.get_mut(&lane.topic) {
            partitions.insert(lane.partition, new);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // No code that runs under the lock can leave the map half changed.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of these lanes is to be committed.
pub(super) fn to_commit<'a>(
    lanes: impl IntoIterator<Item = &'a Arc<Lane>>,
) -> Option<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for lane in lanes {
        if let Some(offset) = lane.take_commit() {
            // Only an offset below zero cannot be set.
            let _ = list.add_partition_offset(&lane.topic, lane.partition, Offset::Offset(offset));
        }
    }
    (list.count() > 0).then_some(list)
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.0.meter.errors.add(1);
        match error.rdkafka_error_code() {
            Some(code) if is_fatal(code) => {
                self.0.fail(&KafkaError::Fatal {
                    reason: reason.into(),
                });
                self.0.outstanding.wake.notify_one();
            }
            code => self.0.connection.failed(code, reason),
        }
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.0.changed.store(true, SeqCst);
        match rebalance {
            Rebalance::Assign(list) => {
                for element in list.elements() {
                    self.0.assign(element.topic(), element.partition());
                }
            }
            Rebalance::Revoke(list) => {
                let lanes: Vec<_> = list
                    .elements()
                    .iter()
                    .filter_map(|element| self.0.revoke(element.topic(), element.partition()))
                    .collect();
                if consumer.assignment_lost() {
                    // Others have them already, and go on from the last commit.
                    return;
                }
                if let Some(list) = to_commit(&lanes)
                    && let Err(error) = consumer.commit(&list, CommitMode::Sync)
                {
                    tracing::warn!(%error, "kafka consumer: the offsets of revoked partitions are not committed");
                }
            }
            Rebalance::Error(error) => {
                tracing::warn!(%error, "kafka consumer: a rebalance failed");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let Err(error) = result else {
            self.0.connection.succeeded();
            return;
        };
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) {
            return;
        }
        self.0.meter.errors.add(1);
        tracing::warn!(%error, "kafka consumer: offsets are not committed; they are at the next time");
        for element in offsets.elements() {
            if let Some(lane) = self.0.lane(element.topic(), element.partition()) {
                lane.not_committed();
            }
        }
    }
}
