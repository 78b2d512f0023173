//! The records of one partition, from acceptance to settlement, in their order.
//!
//! The queue here is the truth; librdkafka has copies of a part of it. So whatever becomes of a client, each record is
//! still known, with its place. Pure but for its mutex: which record may be handed over, and what a report means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::error::{Failure, KafkaError};
use super::Pending;
use super::rules::TopicRules;
use crate::progress::NumberedQueue;
use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

/// A partition of a topic, for as long as the sink lives.
pub(in super::super) struct Partition {
    pub(in super::super) topic: Arc<str>,
    pub(in super::super) id: i32,
    /// Its topic's.
    pub(super) rules: Arc<TopicRules>,
    pub(super) flow: Mutex<Flow<Pending>>,
    /// A client found that the topic does not have it: its partitions are to be counted again.
    missing: AtomicBool,
}

impl Partition {
    pub(in super::super) fn new(topic: Arc<str>, id: i32, rules: Arc<TopicRules>) -> Self {
        Self {
            topic,
            id,
            rules,
            flow: Mutex::default(),
            missing: AtomicBool::new(false),
        }
    }

    pub(in super::super) fn is_missing(&self) -> bool {
        self.missing.load(Ordering::Relaxed)
    }

    pub(in super::super) fn set_missing(&self, missing: bool) {
        self.missing.store(missing, Ordering::Relaxed);
    }
}

/// The time for which an idle partition's client counts as known to the brokers. They forget it after
/// `producer.id.expiration.ms`, by default a day; the least that makes sense there is a few minutes.
const PROOF_LASTS: Duration = Duration::from_secs(10 * 60);

/// The client that a record goes to next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientKind {
    /// The client that fills batches.
    Batching,
    /// The client whose batches have one record.
    Single,
}

/// The extent to which a client may be trusted with a partition's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The brokers know nothing of this client on this partition. They would accept its second batch although the first
    /// was refused, so a single record goes first.
    #[default]
    Unproven,
    /// That record is out.
    Proving,
    /// The brokers refuse whatever is behind a refused batch.
    Proven,
    /// Records go one by one.
    Alone,
}

/// A queue of records, the oldest first: some are with a client, those behind are not yet.
pub(super) struct Flow<R> {
    entries: NumberedQueue<Entry<R>>,
    /// The number of the first entry that was not handed over.
    unsent: u64,
    /// The number of those handed over that have no report yet.
    out: usize,
    phase: Phase,
    generation: u64,
    /// A record failed, and the records are to be put in order before another is handed over.
    stopped: bool,
    /// The time at which the last record was accepted.
    last: Duration,
}

struct Entry<R> {
    /// `None` once settled, where one before it is not.
    record: Option<R>,
    accepted: Duration,
    /// It goes alone, as one that was in a refused batch does.
    alone: bool,
    /// The failure that the client reported, where that does not settle it.
    failure: Option<Failure>,
}

/// The consequence of a report for a record.
pub(super) enum Verdict<R> {
    Settled(R, Result<(), Failure>),
    /// Nothing is believed of it yet: the partition's records are put in order first.
    Undecided,
}

impl<R> Default for Flow<R> {
    fn default() -> Self {
        Self {
            entries: NumberedQueue::new(),
            unsent: 0,
            out: 0,
            phase: Phase::default(),
            generation: 0,
            stopped: false,
            last: Duration::ZERO,
        }
    }
}

impl<R> Flow<R> {
    /// Appends a record, which may have to go alone, and returns its number.
    pub(super) fn push(&mut self, record: R, accepted: Duration, alone: bool) -> u64 {
        let idle = accepted.saturating_sub(self.last) >= PROOF_LASTS;
        if idle && self.entries.is_empty() && self.phase == Phase::Proven {
            self.phase = Phase::Unproven;
        }
        self.last = accepted;
        self.entries.push(Entry {
            record: Some(record),
            accepted,
            alone,
            failure: None,
        })
    }

    /// Notes which clients there are: after a change nothing is proven.
    pub(super) fn enter_generation(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.phase = Phase::Unproven;
        }
    }

    /// Returns the next record that may be handed over, and to which client.
    pub(super) fn next(&self, all_alone: bool) -> Option<(ClientKind, u64, &R)> {
        if self.stopped {
            return None;
        }
        let entry = self.entries.get(self.unsent)?;
        let idle = self.out == 0;
        let kind = match (entry.alone || all_alone, self.phase) {
            // One at a time: with a second one accepted, librdkafka would take a first one that the
            // broker refused for now as delivered too.
            (true, _) if idle => ClientKind::Single,
            (false, Phase::Proven) => ClientKind::Batching,
            (false, Phase::Unproven | Phase::Alone) if idle => ClientKind::Batching,
            _ => return None,
        };
        let record = entry.record.as_ref()?;
        Some((kind, self.unsent, record))
    }

    /// Notes that the next record was handed over.
    pub(super) fn handed_over(&mut self, kind: ClientKind) {
        if let Some(entry) = self.entries.get_mut(self.unsent) {
            entry.alone = kind == ClientKind::Single;
        }
        self.unsent += 1;
        self.out += 1;
        self.phase = match (kind, self.phase) {
            (ClientKind::Single, _) => Phase::Alone,
            (ClientKind::Batching, Phase::Proven) => Phase::Proven,
            (ClientKind::Batching, _) => Phase::Proving,
        };
    }

    /// Takes the next record out, which no client takes.
    pub(super) fn take_next(&mut self) -> Option<R> {
        let record = self.entries.get_mut(self.unsent)?.record.take();
        self.unsent += 1;
        self.drop_settled();
        record
    }

    /// Notes that the next record failed before any client had it: those behind it wait.
    pub(super) fn fail_next(&mut self, failure: Failure) {
        if let Some(entry) = self.entries.get_mut(self.unsent) {
            entry.failure = Some(failure);
            self.stopped = true;
        }
    }

    fn drop_settled(&mut self) {
        while self
            .entries
            .pop_front_if(|entry| entry.record.is_none())
            .is_some()
        {}
    }

    /// Takes a client's report of a record.
    pub(super) fn report(
        &mut self,
        number: u64,
        result: Result<(), Failure>,
    ) -> Option<Verdict<R>> {
        self.out = self.out.saturating_sub(1);
        let proving = self.phase == Phase::Proving;
        let entry = self.entries.get_mut(number)?;
        let settled = match result {
            Ok(()) => Ok(()),
            // It was alone in its batch: the fault is its own.
            Err(failure @ Failure::Batch { .. }) if entry.alone || proving => Err(failure),
            // Each one that goes alone finds out for itself whether the topic is of use.
            Err(failure @ Failure::Topic(_)) if entry.alone => Err(failure),
            // Those behind it do not depend on it.
            Err(failure @ Failure::Record(_)) => Err(failure),
            Err(failure) => {
                entry.failure = Some(failure);
                self.stopped = true;
                return Some(Verdict::Undecided);
            }
        };
        if proving {
            self.phase = match settled {
                Ok(()) => Phase::Proven,
                Err(_) => Phase::Unproven,
            };
        }
        let record = entry.record.take()?;
        self.drop_settled();
        Some(Verdict::Settled(record, settled))
    }

    /// Returns when the oldest record was accepted.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.entries.iter().next().map(|entry| entry.accepted)
    }

    /// Puts the records in order again, once no client has any: gives those that failed, with why. Records up to the last
    /// one of a refused batch go alone from here on; those behind a record that an outage failed, fail with it.
    pub(super) fn resolve(&mut self, overdue: Option<&KafkaError>) -> Vec<(R, Option<KafkaError>)> {
        debug_assert_eq!(self.out, 0, "a client has records");
        self.unsent = self.entries.first();
        self.stopped = false;
        self.phase = Phase::Unproven;
        let entries = self.entries.entries_mut();
        entries.retain(|entry| entry.record.is_some());
        let failed = entries.iter().position(|entry| {
            overdue.is_some() || matches!(entry.failure, Some(Failure::Outage(_)))
        });
        let behind = entries.split_off(failed.unwrap_or(entries.len()));
        let mut alone = false;
        for entry in entries.iter_mut().rev() {
            alone |= matches!(entry.failure.take(), Some(Failure::Batch { .. }));
            entry.alone |= alone;
        }
        let mut overdue = overdue.cloned();
        let failures = behind.into_iter().filter_map(|entry| {
            // Only the oldest: those behind it may have time left.
            let overdue = overdue.take();
            let own = match entry.failure {
                Some(Failure::Outage(error)) => Some(error),
                _ => overdue,
            };
            entry.record.map(|record| (record, own))
        });
        failures.collect()
    }

    /// Returns the error of the topic that a record failed with, if any did.
    pub(super) fn topic_error(&self) -> Option<KafkaError> {
        self.entries.iter().find_map(|entry| match &entry.failure {
            Some(Failure::Topic(error)) => Some(error.clone()),
            _ => None,
        })
    }

    /// Returns the error of a refused batch, if one was: where the broker says it by record, that of a record at fault.
    pub(super) fn refusal(&self) -> Option<KafkaError> {
        let refused = || {
            self.entries
                .iter()
                .filter_map(|entry| match &entry.failure {
                    Some(Failure::Batch { code, error }) => Some((*code, error)),
                    _ => None,
                })
        };
        let of_another = RDKafkaErrorCode::InvalidDifferentRecord;
        let own = refused().find(|(code, _)| *code != of_another);
        let (_, error) = own.or_else(|| refused().next())?;
        Some(error.clone())
    }

    /// Returns whether a record failed, and is not settled yet.
    pub(super) fn has_failed(&self) -> bool {
        self.entries.iter().any(|entry| entry.failure.is_some())
    }

    /// Returns how many records were refused for the size of their batch, and their size.
    pub(super) fn too_large(&self) -> (usize, usize) {
        let sizes = self
            .entries
            .iter()
            .filter_map(|entry| match &entry.failure {
                Some(Failure::Batch {
                    error: KafkaError::TooLarge { size, .. },
                    ..
                }) => Some(*size),
                _ => None,
            });
        sizes.fold((0, 0), |(records, bytes), size| (records + 1, bytes + size))
    }

    /// Takes all records, once no client has any.
    pub(super) fn take_all(&mut self) -> Vec<R> {
        let entries = self.entries.take();
        self.unsent = self.entries.first();
        self.stopped = false;
        entries
            .into_iter()
            .filter_map(|entry| entry.record)
            .collect()
    }
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
