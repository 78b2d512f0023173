//! The thread that owns librdkafka's consumer.
//!
//! librdkafka's callbacks block (a commit before a partition goes), and so does freeing a consumer. So it lives on a thread of its
//! own, with a runtime of its own that waits for records, acknowledgements and times at once, without polling.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use tokio::sync::oneshot;

use super::super::error::{KafkaError, is_fatal};
use super::super::receipt::TopicPartition;
use super::super::topics::{Waits, look_up};
use super::assigned::{Callbacks, Shared, to_commit};
use super::lane::Lane;
use super::message::Message;
use super::settings::KafkaSourceSettings;
use crate::clock::Clock;
use crate::progress::Ack;

/// How long the source just reads nothing when too much is out, before it pauses the partitions: a pause throws away what
/// librdkafka has fetched ahead, and reading nothing for long would cost the membership.
const PATIENCE: Duration = Duration::from_secs(1);
/// A seek is local but for the wait on librdkafka's thread.
const SEEK: Duration = Duration::from_secs(5);
/// How long the last commit waits for a rebalance to end, and how long it serves its callbacks between two tries.
const SETTLED: Duration = Duration::from_secs(10);
const SERVE: Duration = Duration::from_millis(50);
/// Records taken in before times and acknowledgements are looked at again.
const STRIDE: usize = 256;

pub(super) type Consumer = StreamConsumer<Callbacks>;
type Close = oneshot::Receiver<oneshot::Sender<Result<(), KafkaError>>>;

/// Runs the thread's life: opens, reads until told to close, leaves the group.
pub(super) async fn run(
    config: ClientConfig,
    settings: KafkaSourceSettings,
    shared: Arc<Shared>,
    opened: oneshot::Sender<Result<std::sync::Weak<Consumer>, KafkaError>>,
    close: Close,
) {
    let consumer = match open(&config, &settings, &shared).await {
        Ok(consumer) => consumer,
        Err(error) => {
            // Whoever opened it may have gone.
            let _ = opened.send(Err(error));
            return;
        }
    };
    if opened.send(Ok(Arc::downgrade(&consumer))).is_err() {
        return;
    }
    let mut reader = Reader {
        consumer: &consumer,
        shared: &shared,
        settings: &settings,
        clock: Clock::start(),
        next_commit: settings.commit_interval,
        rests: HashMap::new(),
        full_since: None,
        paused: false,
        changed: false,
    };
    let asked = reader.read(close).await;
    // What is done is committed before the partitions go, so that the caller hears if that fails; leaving commits what is done
    // meanwhile.
    let committed = reader.last_commit().await;
    shared.outlet.end(None);
    drop(consumer);
    if let Some(closed) = asked {
        let _ = closed.send(committed);
    }
}

async fn open(
    config: &ClientConfig,
    settings: &KafkaSourceSettings,
    shared: &Arc<Shared>,
) -> Result<Arc<Consumer>, KafkaError> {
    let consumer: Consumer = config
        .create_with_context(Callbacks(shared.clone()))
        .map_err(KafkaError::of_settings)?;
    let consumer = Arc::new(consumer);
    let waits = Waits {
        unknown: settings.topic_timeout,
        unreachable: settings.topic_timeout,
    };
    let look_all_up = async {
        for topic in &settings.topics {
            let asked = consumer.clone();
            let ask = move |topic: &str, longest| asked.fetch_metadata(Some(topic), longest);
            look_up(&topic.as_str().into(), waits, ask, || shared.failure()).await?;
        }
        Ok::<_, KafkaError>(())
    };
    // Nothing is subscribed to yet, so no record comes; but errors do, and are noted by the callbacks.
    let mut events = consumer.stream();
    let serve = async { while events.next().await.is_some() {} };
    tokio::select! {
        looked_up = look_all_up => looked_up?,
        () = serve => return Err(KafkaError::Closed),
    }
    drop(events);
    let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
    consumer
        .subscribe(&topics)
        .map_err(|error| KafkaError::Settings {
            problem: error.to_string(),
        })?;
    Ok(consumer)
}

struct Reader<'a> {
    consumer: &'a Consumer,
    shared: &'a Arc<Shared>,
    settings: &'a KafkaSourceSettings,
    clock: Clock,
    next_commit: Duration,
    /// When the partitions with a dropped acknowledgement go back.
    rests: HashMap<(Arc<str>, i32), Duration>,
    full_since: Option<Duration>,
    paused: bool,
    /// Set where partitions were assigned since they were last paused or resumed.
    changed: bool,
}

impl Reader<'_> {
    /// Reads until it is told to close, or an error ends it; gives whoever waits for the close.
    async fn read(&mut self, mut close: Close) -> Option<oneshot::Sender<Result<(), KafkaError>>> {
        let mut stream = self.consumer.stream();
        loop {
            if let Some(failure) = self.shared.failure() {
                self.shared.outlet.end(Some(failure));
                return None;
            }
            let stopped = self.shared.stopped.load(SeqCst);
            let full = stopped || self.shared.outstanding.is_full();
            self.keep_pace(full);
            if !stopped {
                // After a stop nothing comes again, and what is out may still be acknowledged.
                self.go_back();
            }
            if self.clock.now() >= self.next_commit {
                self.next_commit = self.clock.now() + self.settings.commit_interval;
                // Its failure is told by the callback.
                let _ = self.commit(CommitMode::Async);
                self.publish();
            }
            let wake = self.next_time();
            tokio::select! {
                biased;
                asked = &mut close => return asked.ok(),
                () = self.shared.outstanding.wake.notified() => {}
                message = stream.next(), if !full || self.paused => {
                    let mut next = message;
                    let mut taken = 0;
                    // What was received is always taken: it does not come again.
                    while let Some(received) = next.take() {
                        if let Err(error) = self.take(received) {
                            self.shared.fail(&error);
                            self.shared.outlet.end(Some(error));
                            return None;
                        }
                        taken += 1;
                        if taken < STRIDE && !self.shared.outstanding.is_full() {
                            next = stream.next().now_or_never().flatten();
                        }
                    }
                }
                () = self.clock.until(wake) => {}
            }
        }
    }

    fn next_time(&self) -> Duration {
        if self.shared.stopped.load(SeqCst) {
            return self.next_commit.min(self.clock.now() + PATIENCE);
        }
        let patience = self
            .full_since
            .filter(|_| !self.paused)
            .map(|since| since + PATIENCE);
        let rests = self.rests.values().copied();
        rests.chain(patience).fold(self.next_commit, Duration::min)
    }

    /// Hands a record out, or says what ends the source.
    fn take(&mut self, received: KafkaResult<BorrowedMessage<'_>>) -> Result<(), KafkaError> {
        let native = match received {
            Ok(native) => native,
            Err(error) => return self.failed(&error),
        };
        let bytes = native.key_len() + native.payload_len();
        let Some(lane) = self.shared.lane(native.topic(), native.partition()) else {
            // It was taken away while the record was on its way.
            return Ok(());
        };
        // A failed lane goes back anyway: what is behind the record that failed comes again.
        if let Some(number) = lane.push(native.offset(), bytes) {
            self.shared.connection.succeeded();
            self.shared.meter.received.add(1);
            self.shared.meter.received_bytes.add(bytes as u64);
            let topic = lane.topic.clone();
            let message = Message::of(&native, topic, Ack::new(lane, number));
            self.shared.outlet.push(message);
        }
        Ok(())
    }

    fn failed(&self, error: &ClientError) -> Result<(), KafkaError> {
        use RDKafkaErrorCode as Code;
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let reason: Arc<str> = code.to_string().into();
        match (error, code) {
            (ClientError::MessageConsumptionFatal(_), _) => Err(KafkaError::Fatal { reason }),
            (_, code) if is_fatal(code) => Err(KafkaError::Fatal { reason }),
            // librdkafka names no topic here; with several, any of them may be meant.
            (_, Code::AutoOffsetReset | Code::NoOffset) => Err(KafkaError::Refused {
                place: TopicPartition::new(self.settings.topics.join(", ").into(), None),
                reason: "a partition's start is not known: it has no committed offset, or that is \
                         no longer there"
                    .into(),
            }),
            (_, Code::UnknownTopic | Code::UnknownTopicOrPartition) => {
                Err(KafkaError::UnknownTopic {
                    topic: self.settings.topics.join(", ").into(),
                    waited: None,
                })
            }
            (_, Code::TopicAuthorizationFailed) => Err(KafkaError::TopicRefused {
                topic: self.settings.topics.join(", ").into(),
                reason,
            }),
            _ => Ok(()),
        }
    }

    /// Pauses the partitions where too much is out for long, and resumes them.
    fn keep_pace(&mut self, full: bool) {
        // A pause outlives the assignment in librdkafka: a partition that comes back may be paused.
        self.changed |= self.shared.take_changed();
        if !full {
            self.full_since = None;
            if self.paused || self.changed {
                let resumed = self.consumer.assignment();
                match resumed.and_then(|assignment| self.consumer.resume(&assignment)) {
                    Ok(()) => (self.paused, self.changed) = (false, false),
                    Err(error) => {
                        tracing::warn!(%error, "kafka consumer: partitions are not resumed");
                    }
                }
            }
            return;
        }
        let now = self.clock.now();
        let since = *self.full_since.get_or_insert(now);
        let pause = !self.paused && now.saturating_sub(since) >= PATIENCE;
        if (pause || (self.changed && self.paused))
            && let Ok(assignment) = self.consumer.assignment()
        {
            // Where it fails, records come in although too many are out: no harm but memory, and it is tried again.
            self.paused = true;
            match self.consumer.pause(&assignment) {
                Ok(()) => self.changed = false,
                Err(error) => {
                    tracing::warn!(%error, "kafka consumer: partitions are not paused");
                }
            }
        }
    }

    /// Takes partitions with a dropped acknowledgement back to their first record that is not done, once they have rested.
    fn go_back(&mut self) {
        let now = self.clock.now();
        let failed: Vec<Arc<Lane>> = self.shared.lanes();
        let failed: Vec<_> = failed
            .into_iter()
            .filter(|lane| lane.has_failed())
            .collect();
        self.rests.retain(|place, _| {
            failed
                .iter()
                .any(|lane| (&lane.topic, lane.partition) == (&place.0, place.1))
        });
        for lane in failed {
            let place = (lane.topic.clone(), lane.partition);
            let rest = *self
                .rests
                .entry(place.clone())
                .or_insert(now + self.settings.redelivery_delay);
            if rest > now {
                continue;
            }
            let Some(offset) = lane.resume() else {
                continue;
            };
            let seek = Offset::Offset(offset);
            // Done before the lane is renewed, so that nothing of before the seek gets into the new one.
            match self.consumer.seek(&lane.topic, lane.partition, seek, SEEK) {
                Ok(()) => {
                    self.rests.remove(&place);
                    self.commit_before(&lane);
                    self.shared.renew(&lane);
                    self.shared.meter.redelivered.add(1);
                }
                Err(error) => {
                    tracing::warn!(%error, topic = &*lane.topic, partition = lane.partition,
                        "kafka consumer: cannot go back yet");
                    self.rests
                        .insert(place, now + self.settings.redelivery_delay.max(PATIENCE));
                }
            }
        }
    }

    /// Commits what a lane has done before it is replaced, which forgets it.
    fn commit_before(&self, lane: &Arc<Lane>) {
        if let Some(list) = to_commit([lane]) {
            // Its failure is told by the callback, and a later commit says more.
            let _ = self.consumer.commit(&list, CommitMode::Async);
        }
    }

    /// Commits all that is done, also where the group is between two assignments: then once that is over.
    async fn last_commit(&self) -> Result<(), KafkaError> {
        let until = self.clock.now() + SETTLED;
        loop {
            let Err(error) = self.commit(CommitMode::Sync) else {
                return Ok(());
            };
            let passing = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::RebalanceInProgress)
            );
            if !passing || self.clock.now() >= until {
                return Err(KafkaError::NotCommitted {
                    reason: error.to_string().into(),
                });
            }
            // Callbacks of the rebalance are served here. Records that come meanwhile are not handed out, and so not done.
            let mut stream = self.consumer.stream();
            let serve = async { while stream.next().await.is_some() {} };
            let _ = tokio::time::timeout(SERVE, serve).await;
        }
    }

    fn commit(&self, mode: CommitMode) -> KafkaResult<()> {
        let lanes = self.shared.lanes();
        let Some(list) = to_commit(&lanes) else {
            return Ok(());
        };
        self.consumer.commit(&list, mode).inspect_err(|_| {
            lanes.iter().for_each(|lane| lane.not_committed());
        })
    }

    fn publish(&self) {
        let (records, bytes) = self.shared.outstanding.level();
        let partitions = self.shared.lanes().len();
        self.shared.meter.level(records, bytes, partitions);
        self.shared.connection.advance();
    }
}
