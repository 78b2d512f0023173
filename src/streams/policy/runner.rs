//! The handling of a shard's records in batches, by the policy.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::JoinSet;

use super::handler::{
    DeadLetterFn, DeadReason, FailedChange, HandleFn, Handled, write_dead_letter,
};
use super::lanes::{Ending, Lanes, Piece, Rules};
use crate::clock::Clock;
use crate::progress::Acknowledge;
use crate::retry::{Backoff, Retries};
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
/// [`Lanes`]; the rest are its shard's components.
pub(crate) struct Runner {
    shard: ShardId,
    clock: Clock,
    /// The service's clock, from which the ages of records are computed.
    time: Arc<ServiceClock>,
    handle: HandleFn,
    dead_letters: Option<DeadLetterFn>,
    counters: Arc<Counters>,
    failure_log: Arc<FailureLog>,
    /// The lanes whose last batch failed.
    failing: BTreeSet<usize>,
    lanes: Lanes<Numbered>,
    parallel: bool,
    max_age: Option<Duration>,
    backoff: Backoff,
    acks: Arc<AckTracker>,
    running: JoinSet<Ran>,
    rng: fastrand::Rng,
}

#[derive(Clone, Debug)]
struct Numbered {
    entry: Entry,
    number: u64,
}

enum Ran {
    Handled(usize, Piece<Numbered>, Handled),
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
            shard,
            clock: shared.clock,
            time: Arc::clone(&shared.time),
            handle,
            dead_letters: shared.callbacks.dead_letters.clone(),
            counters: Arc::clone(&shared.counters),
            failure_log: Arc::clone(&shared.failure_log),
            failing: BTreeSet::new(),
            lanes: Lanes::new(settings.get_parallelism(), rules),
            parallel: settings.get_parallelism() > 1,
            max_age: settings.get_max_age(),
            backoff,
            acks,
            running: JoinSet::new(),
            rng,
        }
    }

    /// Adds records with their numbers.
    pub(crate) fn push(&mut self, entries: Vec<(Entry, u64)>, now: Duration) {
        for (entry, number) in entries {
            let hash = match &entry {
                Ok(record) if self.parallel => key_hash(record),
                _ => 0,
            };
            self.lanes.push(Numbered { entry, number }, hash, now);
        }
    }

    /// Sets whether batches leave without waiting to be full or for their window.
    pub(crate) fn flush(&mut self, flushing: bool) {
        self.lanes.flush(flushing);
    }

    /// Returns when the next batch may be started, if nothing happens before.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.lanes.due()
    }

    /// Returns whether nothing is being handled.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.lanes.is_busy()
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
        while let Some((lane, piece)) = self.lanes.next(now) {
            self.start_piece(lane, piece)?;
        }
        Ok(())
    }

    fn start_piece(&mut self, lane: usize, piece: Piece<Numbered>) -> Result<(), StreamsError> {
        let Some((at, reason)) = self.unfit(&piece) else {
            self.spawn(lane, piece);
            return Ok(());
        };
        if at == 0 {
            let handled = Handled {
                ending: Ending::Refused { at: 0 },
                reason: Some(reason),
            };
            return self.settle(lane, piece, handled);
        }
        // The records before it are handled first. After that it is at the head of the rest.
        let piece = self.lanes.put_back(lane, piece, at);
        self.spawn(lane, piece);
        Ok(())
    }

    /// Returns the index of the first record that must not be given to the handler, and the reason.
    fn unfit(&self, piece: &Piece<Numbered>) -> Option<(usize, DeadReason)> {
        let oldest = self.max_age.map(|age| (self.time.now(), age));
        piece.records.iter().enumerate().find_map(|(at, record)| {
            let Ok(entry) = &record.entry else {
                return Some((at, DeadReason::Malformed));
            };
            let (now, most) = oldest?;
            let created = entry.approximate_creation_time();
            let age = now.duration_since(created).unwrap_or_default();
            (age > most).then_some((at, DeadReason::TooOld(age)))
        })
    }

    fn spawn(&mut self, lane: usize, piece: Piece<Numbered>) {
        let records: Vec<Record> = piece
            .records
            .iter()
            .filter_map(|record| record.entry.clone().ok())
            .collect();
        let (shard, failures) = (self.shard.clone(), piece.failures);
        let handle = Arc::clone(&self.handle);
        self.running.spawn(async move {
            let handling = async move { handle(shard, records, failures).await };
            // A panic of the handler counts as a failure of its batch, and ends nothing else.
            let handled = AssertUnwindSafe(handling).catch_unwind().await;
            let handled = handled.unwrap_or_else(|_| Handled {
                ending: Ending::Again { from: 0 },
                reason: Some(DeadReason::Handler("it panicked".to_owned())),
            });
            Ran::Handled(lane, piece, handled)
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
            Some(Ok(Ran::Handled(lane, piece, handled))) => self.settle(lane, piece, handled),
            Some(Ok(Ran::DeadLettered(lane, records))) => {
                self.recovered(lane);
                self.finish(records);
                self.lanes.free(lane);
                Ok(())
            }
            Some(Err(error)) if error.is_panic() => Err(StreamsError::Panicked),
            // It was aborted.
            Some(Err(_)) => Ok(()),
        }
    }

    fn settle(
        &mut self,
        lane: usize,
        piece: Piece<Numbered>,
        handled: Handled,
    ) -> Result<(), StreamsError> {
        let now = self.clock.now();
        let after = self
            .lanes
            .ended(lane, piece, &handled.ending, now, &mut self.rng);
        self.counters.handled(after.done.len());
        self.finish(after.done);
        let Some(reason) = handled.reason else {
            self.recovered(lane);
            return Ok(());
        };
        self.counters.failed_batch();
        self.failing.insert(lane);
        self.failure_log
            .handler_failed(&self.shard, &reason.to_string());
        if after.given_up.is_empty() {
            return Ok(());
        }
        let failures = match reason {
            DeadReason::Handler(_) => after.failures,
            // The handler was not called with the record this time.
            _ => after.failures.saturating_sub(1),
        };
        self.give_up(lane, after.given_up, &reason, failures)
    }

    /// Notes that a lane does not fail any more. Another one may.
    fn recovered(&mut self, lane: usize) {
        self.failing.remove(&lane);
        if self.failing.is_empty() {
            self.failure_log.succeeded(HANDLER, Some(&self.shard));
        }
    }

    fn finish(&self, records: Vec<Numbered>) {
        for record in records {
            self.acks.done(record.number);
        }
    }

    fn give_up(
        &mut self,
        lane: usize,
        records: Vec<Numbered>,
        reason: &DeadReason,
        failures: u32,
    ) -> Result<(), StreamsError> {
        let Some(dead_letters) = self.dead_letters.clone() else {
            return Err(self.unwanted(&records, reason));
        };
        self.counters.dead_lettered(records.len());
        let (shard, reason) = (self.shard.clone(), reason.clone());
        let mut retries = Retries::new(self.backoff.clone(), self.rng.fork());
        let failure_log = Arc::clone(&self.failure_log);
        self.running.spawn(async move {
            for record in &records {
                let letter = FailedChange {
                    shard: shard.clone(),
                    record: record.entry.clone(),
                    reason: reason.clone(),
                    attempts: failures,
                };
                // This task is aborted once the shard is given up.
                write_dead_letter(&dead_letters, letter, &mut retries, &failure_log, || true).await;
            }
            Ran::DeadLettered(lane, records)
        });
        Ok(())
    }

    /// Returns the error for records that have to be given up without a dead-letter handler.
    fn unwanted(&self, records: &[Numbered], reason: &DeadReason) -> StreamsError {
        let shard = self.shard.clone();
        let first = records.first().map(|record| &record.entry);
        match (reason, first) {
            (DeadReason::Undecodable(error), Some(Ok(record))) => StreamsError::Undecodable {
                shard,
                sequence: record.sequence_number().copied(),
                error: error.clone(),
            },
            (_, Some(Err(malformed))) => StreamsError::Malformed {
                shard,
                problem: malformed.problem().to_owned(),
            },
            (reason, _) => StreamsError::Refused {
                shard,
                problem: reason.to_string(),
            },
        }
    }
}
