//! The partitions of a member, from their assignment to their end.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use super::GapFn;
use super::clients::Clients;
use super::message::Key;
use super::output::KafkaEvent;
use super::questions::{Answer, Questions};
use super::readings::Readings;
use super::settings::KafkaSourceSettings;
use super::shared::Shared;
use super::start::{Found, Log, Mark, Search, Start, range};
use super::tracker::PartitionTracker;
use crate::error::ErrorKind;
use crate::gap::{Gap, GapCause, GapPolicy};
use crate::kafka::error::{KafkaError, is_fatal};

/// The time between two attempts to find where partitions begin.
const RETRY: Duration = Duration::from_millis(500);

/// The time between two looks at the ids of the topics. In it records of a topic that was made again may
/// be handed out from the old place; they come again from the beginning.
const CHECK: Duration = Duration::from_secs(10);

/// The time after which a partition of which nothing comes is looked at.
const SILENCE: Duration = Duration::from_secs(60);

/// The time between two looks at one that was found to have records of which none comes: a single
/// failure is not reported, since it may be the last.
const STALLED: Duration = Duration::from_secs(10);

/// The partitions that are assigned.
pub(super) struct Partitions {
    shared: Arc<Shared>,
    on_gap: Option<GapFn>,
    policy: GapPolicy,
    next_check: Duration,
    is_checking: bool,
    pub(super) readings: Readings,
    /// The partitions that have records of which none comes, with their positions.
    stalled: HashMap<Key, i64>,
    /// The questions asked about them.
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
            shared: Arc::clone(shared),
            on_gap,
            policy: settings.on_gap,
            next_check: CHECK,
            is_checking: false,
            readings: Readings::new(clients, shared, settings.redelivery_delay),
            stalled: HashMap::new(),
            questions: Questions::new(clients, search),
        }
    }

    /// Takes partitions in: where they begin is looked up.
    pub(super) fn assigned(&mut self, keys: Vec<Key>) {
        // None is read already, unless the group gives what it has not taken.
        self.readings.stop(&keys);
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
        self.questions.starts(&trackers, Duration::ZERO);
    }

    /// Has all open partitions begin anew at the group's offsets, which are asked for: what is out of them comes again, as
    /// far as it is not committed. What is out of those that are to go is given up.
    pub(super) fn rewind(&mut self) {
        let trackers = self.shared.trackers();
        let (open, going): (Vec<_>, Vec<_>) = trackers.into_iter().partition(|at| at.is_open());
        going.iter().for_each(|tracker| tracker.forfeit());
        let keys: Vec<Key> = open.iter().map(|tracker| tracker.key()).collect();
        self.readings.stop(&keys);
        let mut rewound = Vec::with_capacity(open.len());
        for tracker in open {
            let new = tracker.rewind();
            self.shared.track(&new);
            self.shared.output.take_back(&new.topic, new.partition);
            rewound.push(new);
        }
        self.questions.starts(&rewound, Duration::ZERO);
    }

    /// Looks at partitions of which nothing has come for long: one that has records there is stalled.
    pub(super) fn check_silence(&mut self, now: Duration) {
        let stalled = &self.stalled;
        let silent = self
            .readings
            .silent(now, |key| match stalled.contains_key(key) {
                true => STALLED,
                false => SILENCE,
            });
        self.questions.silence(silent);
        let shared = &self.shared;
        let had_stalled = !self.stalled.is_empty();
        self.stalled.retain(|key, position| {
            let tracker = shared.tracker(key);
            tracker.is_some_and(|tracker| tracker.is_open() && tracker.position() == *position)
        });
        if had_stalled && self.stalled.is_empty() {
            self.shared.silence.succeeded();
        }
        if self.questions.is_empty() {
            self.shared.lookups.succeeded();
        }
    }

    /// Reports a partition that has records, of which none comes.
    fn note_silence(&mut self, tracker: &Arc<PartitionTracker>, log: &Log) {
        let position = tracker.position();
        if !self.is_tracked(tracker) || log.high <= position || tracker.is_full() {
            return;
        }
        let (topic, partition) = tracker.key();
        self.shared.silence.failed(format!(
            "{topic}-{partition}: nothing came for more than {} s although the log goes on from {position} to {}; a \
             transaction may be open, or the broker does not answer",
            SILENCE.as_secs(),
            log.high
        ));
        self.stalled.insert((topic, partition), position);
    }

    /// Asks from time to time whether the topics are still the same.
    pub(super) fn check_topics(&mut self, now: Duration) {
        if self.is_checking || now < self.next_check || self.readings.is_empty() {
            return;
        }
        (self.is_checking, self.next_check) = (true, now + CHECK);
        let topics = self.readings.topics();
        self.questions.topics(topics);
    }

    /// Goes on with the ids of topics: one that was made again begins anew.
    fn compare(&mut self, topics: &[(Arc<str>, Option<String>)]) {
        let replaced = self.readings.trackers().filter(|tracker| {
            let known = Mark::read(&tracker.mark()).and_then(|mark| mark.topic);
            let current = topics.iter().find(|(name, _)| *name == tracker.topic);
            let current = current.and_then(|(_, id)| id.as_ref());
            known.is_some_and(|known| current.is_some_and(|current| *current != known))
        });
        let replaced: Vec<Key> = replaced.map(|tracker| tracker.key()).collect();
        for tracker in self.readings.stop(&replaced) {
            self.questions.log(tracker, Duration::ZERO);
        }
    }

    /// Goes on with an answer. Returns whether a partition was opened.
    ///
    /// # Errors
    ///
    /// What ends the source.
    pub(super) fn answered(&mut self, answer: Answer) -> Result<bool, KafkaError> {
        let mut has_opened = false;
        match answer {
            Answer::Starts(answers) => {
                let mut unanswered = Vec::new();
                for (tracker, found) in answers {
                    // Not where it went meanwhile, and came back.
                    if !self.is_tracked(&tracker) {
                        continue;
                    }
                    match found {
                        Ok(found) => {
                            self.open(&tracker, found)?;
                            has_opened = true;
                        }
                        Err(error) => {
                            self.refused(&error, &tracker)?;
                            unanswered.push(tracker);
                        }
                    }
                }
                self.questions.starts_again(unanswered, RETRY);
            }
            Answer::Log(tracker, _) if !self.is_tracked(&tracker) => {}
            Answer::Log(tracker, Ok(log)) => {
                self.shared.lookups.succeeded();
                self.reopen(&tracker, &log)?;
            }
            Answer::Log(tracker, Err(error)) => {
                self.refused(&error, &tracker)?;
                self.questions.log(tracker, RETRY);
            }
            Answer::Silent(logs) => {
                for (tracker, log) in &logs {
                    self.note_silence(tracker, log);
                }
            }
            Answer::Topics(topics) => {
                self.is_checking = false;
                self.compare(&topics);
            }
        }
        Ok(has_opened)
    }

    /// Notes a question that failed.
    ///
    /// # Errors
    ///
    /// Where asking again is of no use.
    fn refused(
        &self,
        error: &rdkafka::error::KafkaError,
        tracker: &PartitionTracker,
    ) -> Result<(), KafkaError> {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let reason = Arc::from(code.to_string());
        match code {
            code if is_fatal(code) => Err(KafkaError::fatal(code, reason)),
            RDKafkaErrorCode::TopicAuthorizationFailed => Err(KafkaError::TopicRefused {
                topic: Arc::clone(&tracker.topic),
                reason,
            }),
            _ => {
                self.shared.lookups.failed(error.to_string());
                Ok(())
            }
        }
    }

    fn is_tracked(&self, tracker: &Arc<PartitionTracker>) -> bool {
        let tracked = self.shared.tracker(&tracker.key());
        tracked.is_some_and(|tracked| Arc::ptr_eq(&tracked, tracker)) && tracker.is_open()
    }

    fn open(&mut self, tracker: &Arc<PartitionTracker>, found: Found) -> Result<(), KafkaError> {
        let fallback = tracker.fallback();
        let start = match (found.start, fallback) {
            (Start::Oldest(_) | Start::Newest | Start::Unknown, Some(at)) => Start::Committed(at),
            (start, _) => start,
        };
        let at = match start {
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
        self.readings.begin(tracker, at);
        if fallback.is_none() {
            self.shared.output.opened(tracker.key());
        }
        Ok(())
    }

    /// Goes on with a partition whose next offset was not there, or whose topic is another.
    fn reopen(&mut self, tracker: &Arc<PartitionTracker>, log: &Log) -> Result<(), KafkaError> {
        let mut mark = Mark::read(&tracker.mark()).unwrap_or_default();
        let is_another = mark.topic.is_some() && log.topic.is_some() && mark.topic != log.topic;
        // An id that is not known now may be later.
        mark.topic = log.topic.clone().or(mark.topic);
        let start = range(tracker.position(), log.low, log.high, is_another);
        let Start::Gap { cause, wanted, at } = start else {
            // It was there all the same: the broker that was asked had been behind.
            self.readings.begin(tracker, tracker.position());
            return Ok(());
        };
        self.gap(tracker, cause, wanted)?;
        if cause == GapCause::Trimmed {
            tracker.advance(at);
            self.readings.begin(tracker, at);
            return Ok(());
        }
        // Another log begins: what is out is of the one that is gone.
        let new = tracker.renew_at(at, mark.to_string().into());
        self.shared.track(&new);
        self.shared.output.take_back(&new.topic, new.partition);
        self.readings.begin(&new, at);
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
        if let Some(on_gap) = &self.on_gap
            && catch_unwind(AssertUnwindSafe(|| on_gap(&gap))).is_err()
        {
            return Err(KafkaError::Fatal {
                kind: ErrorKind::Handler,
                reason: "the handler of gaps panicked".into(),
            });
        }
        match self.policy {
            GapPolicy::Fail => Err(KafkaError::Gap { gap }),
            // `validate` refuses to rescan.
            GapPolicy::Report | GapPolicy::Rescan => Ok(()),
        }
    }

    /// Stops reading partitions that are to go, and returns those that were open.
    pub(super) fn close(&mut self, keys: &[Key]) -> Vec<Arc<PartitionTracker>> {
        self.readings.stop(keys);
        let mut open = Vec::new();
        for key in keys {
            match self.shared.tracker(key) {
                // Also one that is not read now, since its log is looked at.
                Some(tracker) if tracker.resume().is_some() => open.push(tracker),
                // Its start is not known, so nothing of it is out.
                _ => self.end(key),
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
        self.readings.stop(keys);
        keys.iter().for_each(|key| self.end(key));
    }

    /// Ends a partition, and says so where its opening was taken.
    fn end(&self, key: &Key) {
        let output = &self.shared.output;
        let (topic, partition) = key.clone();
        let was_new = output.withdraw(&topic, partition);
        let lost = self.shared.untrack(key);
        if lost.is_some_and(|lost| lost.was_opened()) && !was_new {
            output.closing(KafkaEvent::Lost { topic, partition });
        }
    }

    /// Takes records of each partition that has room for them. Returns whether there may be more.
    ///
    /// # Errors
    ///
    /// What ends the source.
    pub(super) fn read(&mut self) -> Result<bool, KafkaError> {
        let (has_more, out_of_range) = self.readings.read()?;
        for tracker in self.readings.stop(&out_of_range) {
            self.questions.log(tracker, Duration::ZERO);
        }
        Ok(has_more)
    }
}

#[cfg(all(test, feature = "embedded"))]
#[path = "silence_tests.rs"]
mod tests;
