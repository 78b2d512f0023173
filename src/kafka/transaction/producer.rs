//! The handle of a transactional producer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use super::super::error::KafkaError;
use super::super::record::ProducerRecord;
use super::super::settings::KafkaSettings;
use super::super::source::GroupOffsets;
use super::super::topic_partition::TopicPartition;
use super::client::{CallFailure, Client};
use super::facts::ClientFacts;
use super::failures::{CallError, ended, failed, no_answer, not_open};
use super::generation::Generation;
use super::opening;
use super::phase::Phase;
use super::settings::TransactionSettings;
use super::sort::{Call, Verdict};
use super::topics::{Check, KnownTopics, ask};
use super::wear::{Baseline, WearTimes};
use crate::clock::Clock;

/// The time for which a call may be unanswered beyond that of a transaction.
const GRACE: Duration = Duration::from_secs(2);
/// The least time that brokers have to let a producer begin: they may be ending what one that was killed had open.
const OPENING: Duration = Duration::from_secs(30);
/// The longest that a close waits for the abort, or for the next producer, which ends what is open.
const CLOSE: Duration = Duration::from_secs(5);
/// The time between two tries of a close.
const CLOSE_RETRY: Duration = Duration::from_millis(50);

/// A producer whose records are published together with the offsets of what they were made of, or not at all.
///
/// One transaction at a time: [`begin`](Self::begin), [`produce`](Self::produce), [`delivered`](Self::delivered),
/// [`send_offsets`](Self::send_offsets), [`commit`](Self::commit). An error has a [`Verdict`], which says what follows. Where
/// [`is_worn`](Self::is_worn), a [`renew`](Self::renew) must come before the next begin, which refuses otherwise.
///
/// # Cancel safety
/// Of all calls: dropped before it resolves, its outcome is not known, and the producer must be renewed. Dropped itself, it
/// aborts nothing: the brokers do, after the transaction's time.
pub(crate) struct TransactionalProducer {
    id: Arc<str>,
    timeout: Duration,
    clock: Clock,
    config: ClientConfig,
    facts: ClientFacts,
    generation: Generation,
    phase: Phase,
    /// Something of this producer's may be late.
    is_worn: bool,
    /// The error events that say nothing of its transactions.
    errors: Baseline,
    topics: KnownTopics,
    /// The first try of the call under way that is tried again.
    tried_since: Option<Duration>,
}

/// The reason for which a record was not taken.
#[derive(Debug)]
#[must_use]
pub(crate) enum NotTaken {
    /// Not yet: [`TransactionalProducer::room`] says when.
    Full,
    /// Never, for this reason.
    Refused(KafkaError),
    /// There is no transaction, or it has failed: its commit or abort says how.
    Ended,
}

impl TransactionalProducer {
    /// Makes a producer for this group, a number within the process, and ends what the one of the same id before it left open.
    /// Waits for brokers for 30 s at most, or for twice the transaction's time where that is more.
    ///
    /// # Errors
    /// A part that can't be used: a setting; librdkafka's mock, which only seems to have transactions; a broker without them; a
    /// missing right. [`Unreachable`](KafkaError::Unreachable) where no broker answered.
    pub(crate) async fn open(
        kafka: &KafkaSettings,
        settings: &TransactionSettings,
        group: u32,
    ) -> Result<Self, KafkaError> {
        let id: Arc<str> = settings.id(group).into();
        let config = settings.client(kafka, &id)?;
        let facts = ClientFacts::of(&config)?;
        let timeout = settings.timeout();
        let clock = Clock::start();
        let generation = Generation::start(&config)?;
        opening::refuse_mock(&generation, opening_time(timeout)).await?;
        let started =
            opening::start(&generation, &id, opening_time(timeout), timeout + GRACE).await;
        started.map_err(|(_, error)| error)?;
        Ok(Self {
            id,
            timeout,
            clock,
            config,
            facts,
            generation,
            phase: Phase::Ready,
            is_worn: false,
            errors: Baseline::default(),
            topics: KnownTopics::default(),
            tried_since: None,
        })
    }

    /// Returns the `transactional.id`.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Where the producer is to be renewed, and where it is in a transaction.
    pub(crate) async fn begin(&mut self) -> Result<(), CallError> {
        if self.is_worn() || self.phase != Phase::Ready {
            return Err(not_open(Call::Begin, "the producer is to be renewed first"));
        }
        self.errors.begun(&self.generation.reports().errors);
        self.tried_since = None;
        self.call(Call::Begin, Client::begin).await?;
        self.phase = Phase::Open;
        Ok(())
    }

    /// Adds a record, which librdkafka copies. Never blocks.
    ///
    /// # Errors
    /// Where it was not taken: nothing else is changed.
    pub(crate) fn produce(&mut self, record: &ProducerRecord) -> Result<(), NotTaken> {
        if self.phase != Phase::Open {
            return Err(NotTaken::Ended);
        }
        let topic_partition = || TopicPartition::new(record.topic.clone(), record.partition);
        let refused = |reason: &str| {
            NotTaken::Refused(KafkaError::Refused {
                topic_partition: topic_partition(),
                reason: reason.into(),
            })
        };
        let Ok(timestamp) = record.millis() else {
            return Err(refused("its time is before 1970, or too late for Kafka"));
        };
        match self.topics.check(record, self.clock.now()) {
            Check::Goes => {}
            Check::Unknown => return Err(NotTaken::Full),
            Check::Refused(error) => return Err(NotTaken::Refused(error)),
        }
        let sent = self.generation.client().send(record, timestamp);
        sent.map_err(|code| match code {
            None => refused("its topic's name holds a NUL"),
            Some(RDKafkaErrorCode::QueueFull) => NotTaken::Full,
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::State) => NotTaken::Ended,
            Some(code) => NotTaken::Refused(KafkaError::of_record(
                code,
                topic_partition(),
                record.size_bytes(),
                self.facts.max_bytes,
            )),
        })
    }

    /// Resolves once a record that was not taken may be: librdkafka has room, and its topic is looked up.
    ///
    /// # Cancel safety
    /// Dropped, nothing changes.
    pub(crate) async fn room(&mut self) {
        while let Some(topic) = self.topics.wanted() {
            let client = self.generation.client().clone();
            // A part of the transaction's time, in which this may be.
            let longest = self.timeout / 2;
            let found = ask(
                &client,
                &self.config,
                &topic,
                longest,
                !self.facts.compresses,
            );
            let found = found.await;
            self.topics.found(&topic, found, self.clock.now());
            // This producer's batches may be larger than the topic takes; the next one's are not.
            self.is_worn |=
                self.topics.batch_bytes(self.facts.batch_bytes) < self.facts.batch_bytes;
        }
        // librdkafka's own count follows the report that wakes this.
        tokio::task::yield_now().await;
        self.generation.reports().deliveries.room().await;
    }

    /// Resolves once every record of this transaction is delivered or failed.
    ///
    /// # Cancel safety
    /// Dropped, nothing changes.
    pub(crate) async fn delivered(&self) {
        self.generation.reports().deliveries.complete().await;
    }

    /// Takes the failures of this transaction's records whose delivery failed, for a reason that may be their own. Not those that were
    /// given back by an abort, nor those that failed with the producer.
    pub(crate) fn failures(&self) -> Vec<KafkaError> {
        self.generation.reports().deliveries.take_failures()
    }

    /// Sends the offsets that are committed with the transaction. Each transaction that writes needs them, moved or not:
    /// brokers fence a member by nothing else.
    ///
    /// # Errors
    /// With the verdict. For an empty list too, to which librdkafka would answer without asking a broker.
    pub(crate) async fn send_offsets(&mut self, offsets: GroupOffsets) -> Result<(), CallError> {
        self.phase.require_open(Call::SendOffsets)?;
        if offsets.positions().is_empty() {
            let reason = "no partition is this member's".to_owned();
            return Err(failed(Verdict::Abort, Call::SendOffsets, &reason));
        }
        let longest = self.timeout;
        let began = self.tried_since.unwrap_or_else(|| self.clock.now());
        let sent = self.call(Call::SendOffsets, move |client| {
            client.send_offsets(&offsets, longest)
        });
        let sent = sent.await;
        self.is_worn |= WearTimes::are_offsets_worn(self.clock.now().saturating_sub(began));
        sent
    }

    /// Commits, once all records are [delivered](Self::delivered).
    ///
    /// # Errors
    /// With the verdict. Where it is [`Verdict::Renew`] or [`Verdict::Fenced`], the transaction may be committed all the same: the
    /// group's offsets say so.
    pub(crate) async fn commit(&mut self) -> Result<(), CallError> {
        self.phase.require_open(Call::Commit)?;
        // librdkafka would look at those alone that have failed by now.
        if let Err(reason) = self.generation.reports().deliveries.check() {
            return Err(failed(Verdict::Abort, Call::Commit, &reason));
        }
        self.end(Call::Commit, Client::commit).await
    }

    /// Aborts. Records that librdkafka still has are given back.
    ///
    /// # Errors
    /// With the verdict, which is never [`Verdict::Abort`].
    pub(crate) async fn abort(&mut self) -> Result<(), CallError> {
        self.phase.require_open(Call::Abort)?;
        // After a record that was refused the next one's number is out of order, which fails the next transaction. Those
        // that the abort itself takes back leave no such hole.
        self.is_worn |= self.generation.reports().deliveries.has_unsent();
        self.end(Call::Abort, Client::abort).await?;
        self.is_worn |= self.generation.reports().deliveries.has_failed();
        Ok(())
    }

    /// Returns whether a [`renew`](Self::renew) must come before the next begin: a request of the last transaction may have been
    /// sent twice (see [`wear`](super::wear)), a record was not delivered, or a call's outcome is not known. It may become so
    /// between two transactions too.
    pub(crate) fn is_worn(&self) -> bool {
        self.is_worn
            || self.phase.is_over()
            || self.errors.has_errors(&self.generation.reports().errors)
    }

    /// Puts a new client with the same id in the place of this one, which ends whatever it has open, and leaves the old one
    /// to its threads. Waits for brokers for 30 s at most, or for twice the transaction's time where that is more.
    ///
    /// # Errors
    /// With the verdict, of which [`Verdict::Again`] and [`Verdict::Renew`] both mean another renewal.
    pub(crate) async fn renew(&mut self) -> Result<(), CallError> {
        self.phase = Phase::Lost;
        let batch_bytes = self.topics.batch_bytes(self.facts.batch_bytes);
        if batch_bytes < self.facts.batch_bytes {
            self.config.set("batch.size", batch_bytes.to_string());
            self.facts.batch_bytes = batch_bytes;
        }
        // After their limits were taken over: batches stay as small.
        for topic in self.generation.reports().deliveries.take_too_large() {
            self.topics.forget(&topic);
        }
        let generation = Generation::start(&self.config);
        let generation = generation.map_err(|error| (Verdict::Again, error))?;
        let (longest, watchdog) = (opening_time(self.timeout), self.timeout + GRACE);
        let started = opening::start(&generation, &self.id, longest, watchdog).await;
        if matches!(started, Err((Verdict::Fenced, _))) {
            self.phase = Phase::Fenced;
        }
        started?;
        self.generation = generation;
        (self.phase, self.is_worn) = (Phase::Ready, false);
        self.errors = Baseline::default();
        self.tried_since = None;
        Ok(())
    }

    /// Aborts an open transaction, within 5 s, and lets the client go. Where it is not known whether one is open, a new client
    /// ends it.
    ///
    /// # Errors
    /// Where that failed or was not answered: readers wait until the brokers abort it.
    pub(crate) async fn close(mut self) -> Result<(), KafkaError> {
        let call = match self.phase {
            Phase::Ready | Phase::Fenced => return Ok(()),
            Phase::Open => Call::Abort,
            Phase::Lost => Call::Init,
        };
        let ended = tokio::time::timeout(CLOSE, self.end_all()).await;
        let ended = ended.unwrap_or_else(|_| Err(no_answer(call, CLOSE)));
        ended.map_err(|(_, error)| error)
    }

    /// Ends what is open.
    async fn end_all(&mut self) -> Result<(), CallError> {
        while self.phase == Phase::Open {
            match self.abort().await {
                Err((Verdict::Again, _)) => tokio::time::sleep(CLOSE_RETRY).await,
                // The next client ends it.
                Err((Verdict::Renew, _)) => {}
                aborted => return aborted,
            }
        }
        match self.phase {
            Phase::Lost => self.renew().await,
            Phase::Ready | Phase::Open | Phase::Fenced => Ok(()),
        }
    }

    /// Ends the transaction.
    async fn end(
        &mut self,
        call: Call,
        job: impl FnOnce(&Client) -> Result<(), CallFailure> + Send + 'static,
    ) -> Result<(), CallError> {
        let began = self.tried_since.unwrap_or_else(|| self.clock.now());
        let ended = self.call(call, job).await;
        // An error may be that of a second try, of which the first is under way.
        let took = self.clock.now().saturating_sub(began);
        self.is_worn |= ended.is_err() || self.facts.wear.is_end_worn(took);
        ended?;
        self.phase = Phase::Ready;
        Ok(())
    }

    /// Makes a call, with a watchdog: librdkafka's own time-outs don't cover all of them.
    async fn call(
        &mut self,
        call: Call,
        job: impl FnOnce(&Client) -> Result<(), CallFailure> + Send + 'static,
    ) -> Result<(), CallError> {
        // Until it is answered the outcome is not known, also where this is dropped.
        let before = std::mem::replace(&mut self.phase, Phase::Lost);
        let (began, watchdog) = (self.clock.now(), self.timeout + GRACE);
        let Some(answer) = self.generation.call(watchdog, job).await else {
            return Err(no_answer(call, watchdog));
        };
        let Err(mut failure) = answer else {
            self.tried_since = None;
            self.phase = before;
            return Ok(());
        };
        let since = *self.tried_since.get_or_insert(began);
        if failure.verdict == Verdict::Again && self.clock.now().saturating_sub(since) > watchdog {
            // It is not left to the caller to count.
            failure.verdict = Verdict::Renew;
        }
        match failure.verdict {
            Verdict::Again => self.phase = before,
            Verdict::Abort => {
                self.tried_since = None;
                self.phase = before;
            }
            Verdict::Fenced => self.phase = Phase::Fenced,
            Verdict::Renew | Verdict::Stop => {}
        }
        Err(ended(call, &self.id, &failure))
    }
}

fn opening_time(timeout: Duration) -> Duration {
    OPENING.max(timeout * 2)
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("id", &self.id)
            .field("phase", &self.phase)
            .field("is_worn", &self.is_worn)
            .finish_non_exhaustive()
    }
}
