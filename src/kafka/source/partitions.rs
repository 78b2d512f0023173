//! The partitions of a member, from their assignment to their end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::GapFn;
use super::clients::Clients;
use super::output::KafkaEvent;
use super::questions::{Answer, Questions};
use super::reading::{Reading, Turn};
use super::settings::KafkaSourceSettings;
use super::shared::{Key, Shared};
use super::start::{Found, Log, Mark, Search, Start, range};
use super::tracker::PartitionTracker;
use crate::gap::{Gap, GapCause, GapPolicy};
use crate::kafka::error::{KafkaError, is_fatal};

/// A seek is local but for the wait on librdkafka's thread.
const SEEK: Duration = Duration::from_secs(5);
/// The time between two attempts to find where partitions begin, or to go back.
const RETRY: Duration = Duration::from_millis(500);

/// The time between two looks at the ids of the topics. In it records of a topic that was made again may
/// be handed out from the old place; they come again from the beginning.
const CHECK: Duration = Duration::from_secs(10);

/// The time after which a partition of which nothing comes is looked at.
const SILENCE: Duration = Duration::from_secs(60);

/// The partitions that are assigned.
pub(super) struct Partitions {
    clients: Arc<Clients>,
    shared: Arc<Shared>,
    on_gap: Option<GapFn>,
    policy: GapPolicy,
    redelivery_delay: Duration,
    next_check: Duration,
    /// Those whose start is known.
    readings: HashMap<Key, Reading>,
    /// What is asked about them.
    pub(super) questions: Questions,
}

impl Partitions {
    pub(super) fn new(
        clients: &Arc<Clients>,
        shared: &Arc<Shared>,
        settings: &KafkaSourceSettings,
        search: Search,
        on_gap: Option<GapFn>,
    ) -> Self {
        Self {
            clients: Arc::clone(clients),
            shared: Arc::clone(shared),
            on_gap,
            policy: settings.on_gap,
            redelivery_delay: settings.redelivery_delay,
            next_check: CHECK,
            readings: HashMap::new(),
            questions: Questions::new(clients, search),
        }
    }

    /// Takes partitions in: where they begin is looked up.
    pub(super) fn assigned(&mut self, keys: Vec<Key>) {
        let admission = &self.shared.admission;
        let trackers: Vec<_> = keys
            .into_iter()
            .map(|(topic, partition)| {
                PartitionTracker::new(topic, partition, Arc::clone(admission))
            })
            .collect();
        for tracker in &trackers {
            self.shared.track(tracker);
        }
        self.questions.starts(trackers, Duration::ZERO);
    }

    /// Looks at partitions of which nothing has come for long: one that has records there is stalled.
    pub(super) fn check_silence(&mut self, now: Duration) {
        let silent = self.readings.values_mut().filter_map(|reading| {
            let is_silent = reading.is_silent(now, SILENCE);
            is_silent.then(|| Arc::clone(&reading.tracker))
        });
        for tracker in silent.collect::<Vec<_>>() {
            self.questions.silence(tracker);
        }
    }

    /// Reports a partition that has records, of which none comes.
    fn note_silence(&self, tracker: &Arc<PartitionTracker>, log: &Log) {
        let position = tracker.position();
        if !self.is_tracked(tracker) || log.high <= position || tracker.is_full() {
            return self.shared.silence.succeeded();
        }
        let (topic, partition) = tracker.key();
        self.shared.silence.failed(format!(
            "{topic}-{partition}: nothing came for {} s although the log goes on from {position} to {}; a \
             transaction may be open, or the broker does not answer",
            SILENCE.as_secs(),
            log.high
        ));
    }

    /// Asks from time to time whether the topics are still the same.
    pub(super) fn check_topics(&mut self, now: Duration) {
        if now < self.next_check || self.readings.is_empty() {
            return;
        }
        self.next_check = now + CHECK;
        let mut topics: Vec<Arc<str>> = self
            .readings
            .keys()
            .map(|(topic, _)| Arc::clone(topic))
            .collect();
        topics.sort_unstable();
        topics.dedup();
        self.questions.topics(topics);
    }

    /// Goes on with the ids of topics: one that was made again begins anew.
    fn compare(&mut self, topics: &[(Arc<str>, Option<String>)]) {
        let replaced = self.readings.iter().filter(|((topic, _), reading)| {
            let known = Mark::read(&reading.tracker.mark()).and_then(|mark| mark.topic);
            let current = topics.iter().find(|(name, _)| name == topic);
            let current = current.and_then(|(_, id)| id.as_ref());
            known.is_some_and(|known| current.is_some_and(|current| *current != known))
        });
        let replaced: Vec<Key> = replaced.map(|(key, _)| key.clone()).collect();
        for tracker in self.stop_reading(&replaced) {
            self.questions.log(tracker, Duration::ZERO);
        }
    }

    /// Goes on with an answer.
    ///
    /// # Errors
    ///
    /// What ends the source.
    pub(super) fn answered(&mut self, answer: Answer) -> Result<(), KafkaError> {
        match answer {
            Answer::Starts(trackers, Ok(found)) => {
                self.shared.lookups.succeeded();
                for found in found {
                    let tracker = trackers.iter().find(|tracker| tracker.key() == found.key);
                    // Not where it went meanwhile, and came back.
                    if let Some(tracker) = tracker.filter(|tracker| self.is_tracked(tracker)) {
                        self.open(tracker, found)?;
                    }
                }
                Ok(())
            }
            Answer::Starts(mut trackers, Err(error)) => {
                self.refused(&error, trackers.first())?;
                trackers.retain(|tracker| self.is_tracked(tracker));
                self.questions.starts(trackers, RETRY);
                Ok(())
            }
            Answer::Log(tracker, _) if !self.is_tracked(&tracker) => Ok(()),
            Answer::Log(tracker, Ok(log)) => {
                self.shared.lookups.succeeded();
                self.reopen(&tracker, &log)
            }
            Answer::Log(tracker, Err(error)) => {
                self.refused(&error, Some(&tracker))?;
                self.questions.log(tracker, RETRY);
                Ok(())
            }
            Answer::Silent(tracker, Ok(log)) => {
                self.note_silence(&tracker, &log);
                Ok(())
            }
            // That no broker answers is reported by the connection.
            Answer::Silent(_, Err(_)) => Ok(()),
            Answer::Topics(Ok(topics)) => {
                self.compare(&topics);
                Ok(())
            }
            // It may be on its way out; it is asked for again.
            Answer::Topics(Err(error)) => {
                tracing::debug!(%error, "kafka consumer: topics are not described");
                Ok(())
            }
        }
    }

    /// Notes a question that failed.
    ///
    /// # Errors
    ///
    /// Where asking again is of no use.
    fn refused(
        &self,
        error: &rdkafka::error::KafkaError,
        tracker: Option<&Arc<PartitionTracker>>,
    ) -> Result<(), KafkaError> {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let reason = Arc::from(code.to_string());
        match (code, tracker) {
            (code, _) if is_fatal(code) => Err(KafkaError::Fatal { reason }),
            (RDKafkaErrorCode::TopicAuthorizationFailed, Some(tracker)) => {
                Err(KafkaError::TopicRefused {
                    topic: Arc::clone(&tracker.topic),
                    reason,
                })
            }
            _ => {
                self.shared.lookups.failed(error.to_string());
                Ok(())
            }
        }
    }

    fn is_tracked(&self, tracker: &Arc<PartitionTracker>) -> bool {
        let tracked = self.shared.tracker(&tracker.key());
        tracked.is_some_and(|tracked| Arc::ptr_eq(&tracked, tracker))
    }

    fn open(&mut self, tracker: &Arc<PartitionTracker>, found: Found) -> Result<(), KafkaError> {
        let at = match found.start {
            Start::Committed(at) | Start::Oldest(at) => at,
            Start::Newest => found.end,
            Start::Unknown => {
                return Err(KafkaError::NoOffset {
                    topic: Arc::clone(&tracker.topic),
                    partition: tracker.partition,
                });
            }
            Start::Gap { cause, wanted, at } => {
                self.gap(tracker, cause, wanted)?;
                at
            }
        };
        tracker.start(at, found.mark);
        self.read(tracker, at);
        self.shared.output.event(KafkaEvent::Opened {
            topic: Arc::clone(&tracker.topic),
            partition: tracker.partition,
        });
        Ok(())
    }

    /// Goes on with a partition whose next offset was not there, or whose topic is another.
    fn reopen(&mut self, tracker: &Arc<PartitionTracker>, log: &Log) -> Result<(), KafkaError> {
        let mut mark = Mark::read(&tracker.mark()).unwrap_or_default();
        let known = std::mem::replace(&mut mark.topic, log.topic.clone());
        let is_another =
            known.is_some_and(|known| log.topic.as_ref().is_some_and(|is| *is != known));
        let start = range(tracker.position(), log.low, log.high, is_another);
        let Start::Gap { cause, wanted, at } = start else {
            // It was there all the same: the broker that was asked had been behind.
            self.read(tracker, tracker.position());
            return Ok(());
        };
        self.gap(tracker, cause, wanted)?;
        if cause == GapCause::Trimmed {
            tracker.advance(at);
            self.read(tracker, at);
            return Ok(());
        }
        // Another log begins: what is out is of the one that is gone.
        let new = tracker.renew_at(at, mark.to_string().into());
        self.shared.track(&new);
        self.shared.output.take_back(&new.topic, new.partition);
        self.read(&new, at);
        Ok(())
    }

    /// Reports a gap.
    ///
    /// # Errors
    ///
    /// [`KafkaError::Gap`] under [`GapPolicy::Fail`].
    fn gap(
        &self,
        tracker: &PartitionTracker,
        cause: GapCause,
        wanted: i64,
    ) -> Result<(), KafkaError> {
        let partition = format!("{}-{}", tracker.topic, tracker.partition);
        let after = (wanted > 0).then(|| Arc::from((wanted - 1).to_string()));
        let gap = Gap::new(Some(partition.into()), after, cause);
        self.shared.meter.gaps.add(1);
        tracing::warn!(%gap, "kafka consumer: a gap in a partition");
        if let Some(on_gap) = &self.on_gap {
            on_gap(&gap);
        }
        match self.policy {
            GapPolicy::Fail => Err(KafkaError::Gap { gap }),
            // `validate` refuses to rescan.
            GapPolicy::Report | GapPolicy::Rescan => Ok(()),
        }
    }

    /// Begins to read at this offset.
    fn read(&mut self, tracker: &Arc<PartitionTracker>, at: i64) {
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
            self.questions.starts(vec![Arc::clone(tracker)], RETRY);
            return;
        }
        self.readings.insert(tracker.key(), reading);
        self.count();
    }

    /// Stops reading partitions that are to go, and returns those that were open.
    pub(super) fn close(&mut self, keys: &[Key]) -> Vec<Arc<PartitionTracker>> {
        let open = self.stop_reading(keys);
        for key in keys {
            // Not open yet: nothing of it is out.
            if !open.iter().any(|tracker| tracker.key() == *key) {
                self.shared.untrack(key);
            }
        }
        for tracker in &open {
            tracker.close();
            let guard = tracker.guard();
            let (topic, partition) = tracker.key();
            if !self.shared.output.withdraw(&topic, partition) {
                self.shared.output.closing(KafkaEvent::Closing {
                    topic,
                    partition,
                    guard,
                });
            }
        }
        open
    }

    /// Ends partitions that are not this member's any more.
    pub(super) fn lost(&mut self, keys: &[Key]) {
        self.stop_reading(keys);
        for key in keys {
            let (topic, partition) = key.clone();
            let was_new = self.shared.output.withdraw(&topic, partition);
            if self.shared.untrack(key).is_some() && !was_new {
                self.shared
                    .output
                    .closing(KafkaEvent::Lost { topic, partition });
            }
        }
    }

    fn stop_reading(&mut self, keys: &[Key]) -> Vec<Arc<PartitionTracker>> {
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

    /// Takes records of each partition that has room for them. Returns whether there may be more.
    ///
    /// # Errors
    ///
    /// What ends the source.
    pub(super) fn turn(&mut self) -> Result<bool, KafkaError> {
        let mut has_more = false;
        let mut out_of_range = Vec::new();
        for (key, reading) in &mut self.readings {
            match reading.turn(&self.shared)? {
                Turn::Over => {}
                Turn::More => has_more = true,
                Turn::AtEnd => {
                    has_more = true;
                    let (topic, partition) = key.clone();
                    let event = KafkaEvent::Idle { topic, partition };
                    self.shared.output.event(event);
                }
                Turn::OutOfRange => out_of_range.push(key.clone()),
            }
        }
        for tracker in self.stop_reading(&out_of_range) {
            self.questions.log(tracker, Duration::ZERO);
        }
        Ok(has_more)
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
                let (topic, partition) = key;
                self.shared.output.event(KafkaEvent::Advanced {
                    topic,
                    partition,
                    offset,
                });
            }
        }
    }

    /// Takes partitions with a dropped acknowledgement back to their first record that is not done,
    /// once they have rested.
    pub(super) fn go_back(&mut self, now: Duration) {
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
}

/// Returns a list of one partition.
fn one((topic, partition): &Key, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    // Only an offset below zero can't be set.
    let _ = list.add_partition_offset(topic, *partition, offset);
    list
}
