//! The partitions that are read.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::super::error::KafkaError;
use super::clients::Clients;
use super::message::Key;
use super::reading::{ReadOutcome, Reading};
use super::shared::Shared;
use super::tracker::PartitionTracker;

/// A seek is local but for the wait on librdkafka's thread.
const SEEK: Duration = Duration::from_secs(5);
/// The time between two attempts to go back.
const RETRY: Duration = Duration::from_millis(500);

/// The partitions whose start is known, with their places in the reader.
pub(super) struct Readings {
    clients: Arc<Clients>,
    shared: Arc<Shared>,
    redelivery_delay: Duration,
    readings: HashMap<Key, Reading>,
    /// Partitions that librdkafka did not take at the first attempt.
    refused: Vec<(Arc<PartitionTracker>, i64)>,
}

impl Readings {
    pub(super) fn new(
        clients: &Arc<Clients>,
        shared: &Arc<Shared>,
        redelivery_delay: Duration,
    ) -> Self {
        Self {
            clients: Arc::clone(clients),
            shared: Arc::clone(shared),
            redelivery_delay,
            readings: HashMap::new(),
            refused: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Begins to read a partition at this offset.
    pub(super) fn begin(&mut self, tracker: &Arc<PartitionTracker>, at: i64) {
        let Some(reading) = Reading::new(&self.clients, &self.shared, Arc::clone(tracker)) else {
            tracing::error!(
                topic = &*tracker.topic,
                "kafka consumer: the topic has an impossible name"
            );
            return;
        };
        let list = one(&tracker.key(), Offset::Offset(at));
        if let Err(error) = self.clients.reader.incremental_assign(&list) {
            self.shared.lookups.failed(error.to_string());
            self.refused.push((Arc::clone(tracker), at));
            return;
        }
        self.readings.insert(tracker.key(), reading);
        self.count();
    }

    /// Tries again what librdkafka did not take.
    pub(super) fn retry(&mut self) {
        for (tracker, at) in std::mem::take(&mut self.refused) {
            if tracker.is_open() {
                self.begin(&tracker, at);
            }
        }
    }

    /// Stops reading partitions, and returns their trackers.
    pub(super) fn stop(&mut self, keys: &[Key]) -> Vec<Arc<PartitionTracker>> {
        let mut list = TopicPartitionList::new();
        let mut stopped = Vec::new();
        for key in keys {
            if let Some(reading) = self.readings.remove(key) {
                list.add_partition(&key.0, key.1);
                stopped.push(reading.tracker);
            }
        }
        if list.count() > 0
            && let Err(error) = self.clients.reader.incremental_unassign(&list)
        {
            // Nothing is taken of their queues any more, so nothing is handed out.
            tracing::warn!(%error, "kafka consumer: partitions are fetched further on");
        }
        self.count();
        stopped
    }

    fn count(&self) {
        self.shared.open.store(self.readings.len(), SeqCst);
    }

    /// Takes records of each partition that has room for them. Returns whether there may be more, and the
    /// partitions whose next offset is not there.
    ///
    /// # Errors
    ///
    /// What ends the source.
    pub(super) fn read(&mut self) -> Result<(bool, Vec<Key>), KafkaError> {
        let mut has_more = false;
        let mut out_of_range = Vec::new();
        for (key, reading) in &mut self.readings {
            match reading.read(&self.shared)? {
                ReadOutcome::Over => {}
                ReadOutcome::More => has_more = true,
                ReadOutcome::AtEnd => {
                    has_more = true;
                    self.shared.output.idle(key);
                }
                ReadOutcome::OutOfRange => out_of_range.push(key.clone()),
            }
        }
        Ok((has_more, out_of_range))
    }

    /// Notes how far partitions were handed out, past what has no record.
    pub(super) fn advance(&mut self) {
        if self.readings.is_empty() {
            return;
        }
        let Ok(positions) = self.clients.reader.position() else {
            return;
        };
        for element in positions.elements() {
            let Offset::Offset(offset) = element.offset() else {
                continue;
            };
            let key = (Arc::from(element.topic()), element.partition());
            let reading = self.readings.get(&key).filter(|reading| reading.has_come());
            if let Some(reading) = reading
                && reading.tracker.advance(offset)
            {
                self.shared.output.advanced(&key, offset);
            }
        }
    }

    /// Takes partitions with a dropped acknowledgement back to their first record that is not done,
    /// once they have rested. Not where a transaction commits: it is aborted then, and its driver rewinds all, to offsets that
    /// may be others.
    pub(super) fn go_back(&mut self, now: Duration) {
        if self.shared.by_transaction.load(SeqCst) {
            return;
        }
        for reading in self.readings.values_mut() {
            if !reading.tracker.has_failed() {
                continue;
            }
            let until = now + self.redelivery_delay;
            if *reading.rests_until.get_or_insert(until) > now {
                continue;
            }
            let (topic, partition) = reading.tracker.key();
            let Some(offset) = reading.tracker.resume() else {
                continue;
            };
            let seek = Offset::Offset(offset);
            // Before the tracker is renewed, so that nothing of before the seek gets into the new one.
            match self.clients.reader.seek(&topic, partition, seek, SEEK) {
                Ok(()) => {
                    let new = reading.tracker.renew();
                    self.shared.track(&new);
                    self.shared.output.take_back(&topic, partition);
                    self.shared.meter.redelivered.add(1);
                    reading.moved(new);
                }
                Err(error) => {
                    tracing::warn!(%error, topic = &*topic, partition,
                        "kafka consumer: cannot go back yet");
                    reading.rests_until = Some(now + self.redelivery_delay.max(RETRY));
                    // The others would wait as long.
                    return;
                }
            }
        }
    }

    /// Returns the time at which a partition has rested.
    pub(super) fn next_time(&self) -> Option<Duration> {
        let rests = self
            .readings
            .values()
            .filter_map(|reading| reading.rests_until);
        rests.min()
    }

    /// Returns the partitions of which nothing has come for as long as is given for each.
    pub(super) fn silent(
        &mut self,
        now: Duration,
        for_long: impl Fn(&Key) -> Duration,
    ) -> Vec<Arc<PartitionTracker>> {
        let silent = self.readings.iter_mut().filter_map(|(key, reading)| {
            let is_silent = reading.is_silent(now, for_long(key));
            is_silent.then(|| Arc::clone(&reading.tracker))
        });
        silent.collect()
    }

    /// Returns the topics that are read, each once.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        let topics = self.readings.keys().map(|(topic, _)| Arc::clone(topic));
        let mut topics: Vec<Arc<str>> = topics.collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Returns the partitions that are read.
    pub(super) fn trackers(&self) -> impl Iterator<Item = &Arc<PartitionTracker>> {
        self.readings.values().map(|reading| &reading.tracker)
    }
}

/// Returns a list of one partition.
fn one((topic, partition): &Key, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    // Only an offset below zero can't be set.
    let _ = list.add_partition_offset(topic, *partition, offset);
    list
}
