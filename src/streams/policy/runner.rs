//! The handling of a shard's records in batches, by the policy.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::JoinSet;

use super::dead_letters::DeadLetters;
use super::handler::{DeadReason, HandleFn, Handled};
use super::scheduler::{Ending, Rules, ScheduledBatch, Scheduler};

use crate::clock::Clock;
use crate::progress::Acknowledge;
use crate::retry::Backoff;
use crate::streams::ShardId;
use crate::streams::ack_tracker::AckTracker;
use crate::streams::error::StreamsError;
use crate::streams::failure_log::{FailureLog, HANDLER};
use crate::streams::key::key_hash;
use crate::streams::page::Entry;
use crate::streams::record::Record;
use crate::streams::shared::Shared;
use crate::streams::stats::Counters;
use crate::transport::ServiceClock;

/// The runner of one shard's batches and dead letters. Batches, their order and their retries are in
/// [`Scheduler`]; the rest are its shard's components.
pub(crate) struct Runner {
    shard: ShardId,
    clock: Clock,
    age_limit: AgeLimit,
    handle: HandleFn,
    dead_letters: DeadLetters,
    counters: Arc<Counters>,
    failing: FailingGroups,
    scheduler: Scheduler<Numbered>,
    acks: Arc<AckTracker>,
    running: JoinSet<Ran>,
    rng: fastrand::Rng,
}

/// The age from which records are given up.
struct AgeLimit {
    /// The service's clock, from which the ages of records are computed.
    time: Arc<ServiceClock>,
    max: Option<Duration>,
}

impl AgeLimit {
    /// Returns the index of the first record that must not be given to the handler, and the reason.
    fn first_unfit(&self, records: &[Numbered]) -> Option<(usize, DeadReason)> {
        let oldest = self.max.map(|max| (self.time.now(), max));
        records.iter().enumerate().find_map(|(at, record)| {
            let Ok(entry) = &record.entry else {
                return Some((at, DeadReason::Malformed));
            };
            let (now, max) = oldest?;
            let created = entry.approximate_creation_time();
            let age = now.duration_since(created).unwrap_or_default();
            (age > max).then_some((at, DeadReason::TooOld(age)))
        })
    }
}

/// The groups whose last batch failed. The handler counts as failing while there is one.
struct FailingGroups {
    shard: ShardId,
    log: Arc<FailureLog>,
    groups: BTreeSet<usize>,
}

impl FailingGroups {
    fn failed(&mut self, group: usize, reason: &DeadReason) {
        self.groups.insert(group);
        self.log.handler_failed(&self.shard, &reason.to_string());
    }

    /// Notes that a group does not fail any more. Another one may.
    fn recovered(&mut self, group: usize) {
        self.groups.remove(&group);
        if self.groups.is_empty() {
            self.log.succeeded(HANDLER, Some(&self.shard));
        }
    }
}

#[derive(Clone, Debug)]
struct Numbered {
    entry: Entry,
    number: u64,
}

impl AsRef<Entry> for Numbered {
    fn as_ref(&self) -> &Entry {
        &self.entry
    }
}

enum Ran {
    Handled(usize, ScheduledBatch<Numbered>, Handled),
    DeadLettered(usize, Vec<Numbered>),
}

impl Runner {
    pub(crate) fn new(
        shard: ShardId,
        shared: &Shared,
        handle: HandleFn,
        acks: Arc<AckTracker>,
        rng: fastrand::Rng,
    ) -> Self {
        let settings = &shared.settings;
        let backoff = Backoff::new(settings.get_retry());
        let rules = Rules {
            batch_records: settings.get_batch_records(),
            batch_window: settings.get_batch_window(),
            max_attempts: settings.get_retry().get_max_attempts(),
            bisect: settings.get_bisect(),
            backoff: backoff.clone(),
        };
        Self {
            clock: shared.clock,
            age_limit: AgeLimit {
                time: Arc::clone(&shared.time),
                max: settings.get_max_age(),
            },
            handle,
            dead_letters: DeadLetters::new(shard.clone(), shared, backoff),
            counters: Arc::clone(&shared.counters),
            failing: FailingGroups {
                shard: shard.clone(),
                log: Arc::clone(&shared.failure_log),
                groups: BTreeSet::new(),
            },
            scheduler: Scheduler::new(settings.get_parallelism(), rules),
            acks,
            running: JoinSet::new(),
            rng,
            shard,
        }
    }

    /// Adds records with their numbers.
    pub(crate) fn push(&mut self, entries: Vec<(Entry, u64)>, now: Duration) {
        for (entry, number) in entries {
            let hash = match &entry {
                Ok(record) if self.scheduler.is_parallel() => key_hash(record),
                _ => 0,
            };
            self.scheduler.push(Numbered { entry, number }, hash, now);
        }
    }

    /// Sets whether batches leave without waiting to be full or for their window.
    pub(crate) fn flush(&mut self, flushing: bool) {
        self.scheduler.flush(flushing);
    }

    /// Returns when the next batch may be started, if nothing happens before.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.scheduler.due()
    }

    /// Returns whether nothing is being handled.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.scheduler.is_busy()
    }

    /// Returns whether no handler runs and no dead letter is being taken.
    pub(crate) fn is_stopped(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts every batch that may be handled now.
    ///
    /// # Errors
    ///
    /// If a record has to be dead-lettered and there is no dead-letter handler.
    pub(crate) fn start(&mut self, now: Duration) -> Result<(), StreamsError> {
        while let Some((group, batch)) = self.scheduler.next_batch(now) {
            self.start_batch(group, batch)?;
        }
        Ok(())
    }

    fn start_batch(
        &mut self,
        group: usize,
        batch: ScheduledBatch<Numbered>,
    ) -> Result<(), StreamsError> {
        let Some((at, reason)) = self.age_limit.first_unfit(&batch.records) else {
            self.spawn(group, batch);
            return Ok(());
        };
        if at == 0 {
            let handled = Handled {
                ending: Ending::Refused { at: 0 },
                reason: Some(reason),
            };
            return self.settle(group, batch, handled);
        }
        // The records before it are handled first. After that it is at the head of the rest.
        let batch = self.scheduler.put_back(group, batch, at);
        self.spawn(group, batch);
        Ok(())
    }

    fn spawn(&mut self, group: usize, batch: ScheduledBatch<Numbered>) {
        let records: Vec<Record> = batch
            .records
            .iter()
            .filter_map(|record| record.entry.clone().ok())
            .collect();
        let (shard, failures) = (self.shard.clone(), batch.failures);
        let handle = Arc::clone(&self.handle);
        self.running.spawn(async move {
            let handling = async move { handle(shard, records, failures).await };
            // A panic of the handler counts as a failure of its batch, and ends nothing else.
            let handled = AssertUnwindSafe(handling).catch_unwind().await;
            let handled = handled.unwrap_or_else(|_| Handled {
                ending: Ending::Retry { from: 0 },
                reason: Some(DeadReason::Handler("it panicked".to_owned())),
            });
            Ran::Handled(group, batch, handled)
        });
    }

    /// Stops every handler at its next `await`.
    pub(crate) fn abort(&mut self) {
        self.running.abort_all();
    }

    /// Stops every handler at its next `await`, and waits until they have stopped.
    pub(crate) async fn stop(&mut self) {
        self.running.shutdown().await;
    }

    /// Resolves when a batch was handled or a dead letter was taken. Never resolves if nothing is
    /// running.
    ///
    /// # Errors
    ///
    /// If a record has to be dead-lettered and there is no dead-letter handler.
    ///
    /// # Cancel safety
    ///
    /// Harmless to drop.
    pub(crate) async fn event(&mut self) -> Result<(), StreamsError> {
        match self.running.join_next().await {
            None => std::future::pending().await,
            Some(Ok(Ran::Handled(group, batch, handled))) => self.settle(group, batch, handled),
            Some(Ok(Ran::DeadLettered(group, records))) => {
                self.failing.recovered(group);
                self.finish(records);
                self.scheduler.free(group);
                Ok(())
            }
            Some(Err(error)) if error.is_panic() => Err(StreamsError::Panicked),
            // It was aborted.
            Some(Err(_)) => Ok(()),
        }
    }

    fn settle(
        &mut self,
        group: usize,
        batch: ScheduledBatch<Numbered>,
        handled: Handled,
    ) -> Result<(), StreamsError> {
        let now = self.clock.now();
        let after = self
            .scheduler
            .ended(group, batch, &handled.ending, now, &mut self.rng);
        self.counters.handled(after.done.len());
        self.finish(after.done);
        let Some(reason) = handled.reason else {
            self.failing.recovered(group);
            return Ok(());
        };
        self.counters.failed_batch();
        self.failing.failed(group, &reason);
        if after.given_up.is_empty() {
            return Ok(());
        }
        let failures = match reason {
            DeadReason::Handler(_) => after.failures,
            // The handler was not called with the record this time.
            _ => after.failures.saturating_sub(1),
        };
        self.give_up(group, after.given_up, &reason, failures)
    }

    fn finish(&self, records: Vec<Numbered>) {
        for record in records {
            self.acks.done(record.number);
        }
    }

    fn give_up(
        &mut self,
        group: usize,
        records: Vec<Numbered>,
        reason: &DeadReason,
        failures: u32,
    ) -> Result<(), StreamsError> {
        let rng = self.rng.fork();
        let written = self.dead_letters.write(records, reason, failures, rng)?;
        // This task is aborted once the shard is given up.
        self.running
            .spawn(async move { Ran::DeadLettered(group, written.await) });
        Ok(())
    }
}
