//! Looks at the lease table: what follows from its rows, and the leases that are taken and given back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};

use super::super::StreamsError;
use super::super::lease::{LeaseRow, LookError, Manner, Observed};
use super::super::shared::Shared;
use super::{AT_ONCE, Worker};
use crate::retry::{Decision, Retries};

/// The most leases that a worker takes in one look, before it handles anything else.
const TAKEN_AT_ONCE: usize = 128;

/// The lease table as it was last seen, and the times of the looks at it.
pub(super) struct Looks {
    pub(super) observed: Observed,
    pub(super) next: Duration,
    /// The time of the last look that succeeded.
    pub(super) last: Duration,
    pub(super) retries: Retries,
    /// The number of workers of another library that the log has a warning of.
    strangers: usize,
}

impl Looks {
    /// Returns the state before the first look. `stream` is the ARN of the stream that is read.
    pub(super) fn new(stream: &str, retries: Retries) -> Self {
        let mut observed = Observed::default();
        observed.follow(stream);
        Self {
            observed,
            next: Duration::ZERO,
            last: Duration::ZERO,
            retries,
            strangers: 0,
        }
    }
}

impl Worker {
    pub(super) fn saw_all(&mut self, rows: Vec<LeaseRow>) {
        let seen = self.shared.clock.now();
        self.looks.last = seen;
        if self.looks.observed.scanned(rows, seen) {
            let table = self.shared.leases.name();
            tracing::warn!(
                table,
                "the row of an unfinished shard was deleted: it is made again"
            );
            self.discovery.list_soon(seen);
        }
        self.discovery.saw(self.looks.observed.rows());
        let strangers = self.looks.observed.strangers();
        if strangers.len() > self.looks.strangers {
            self.looks.strangers = strangers.len();
            let table = self.shared.leases.name();
            tracing::warn!(
                table,
                ?strangers,
                "workers of the Kinesis Client Library live beside this one: stop them first, or shards may be read twice"
            );
        }
    }

    /// Reads the lease table and takes this worker's part of the leases.
    pub(super) async fn look(&mut self) -> Result<(), StreamsError> {
        let shared = Arc::clone(&self.shared);
        let (clock, failover) = (shared.clock, shared.settings.get_failover());
        // Also on errors: a worker that has failed keeps this pace while its other tasks finish.
        self.looks.next = clock.now() + failover / 10;
        shared.failure_log.advance();
        shared.lags.measure();
        let rows = match shared.leases.scan().await {
            Ok(rows) => rows,
            Err(LookError::Service(error)) if !error.is_fatal() => {
                let pause = self.looks.retries.failed();
                shared.failure_log.failed("Scan", None, &error);
                self.looks.next = clock.now() + pause.min(failover / 10);
                self.count_ready();
                return Ok(());
            }
            Err(error) => return Err(self.look_error(error)),
        };
        self.looks.retries.succeeded();
        shared.failure_log.succeeded("Scan", None);
        self.saw_all(rows);
        self.look_at_snapshot().await?;
        let more = self.course.runs() && self.may_take() && self.take().await?;
        self.take_back().await;
        self.hand_on().await;
        self.count_ready();
        let now = clock.now();
        // A lease that is handed over is not read until this worker sees it: look twice as often.
        let often = if self.looks.observed.is_waiting(shared.leases.me()) {
            20
        } else {
            10
        };
        let next = now + failover / often;
        self.looks.next = match self.looks.observed.next_lapse(shared.leases.me(), failover) {
            _ if more => now,
            Some(lapse) if lapse > now => next.min(lapse),
            _ => next,
        };
        Ok(())
    }

    /// Keeps the leases that a worker has asked for and that died before they were handed to it.
    async fn take_back(&mut self) {
        let (me, now) = (self.shared.leases.me(), self.shared.clock.now());
        let failover = self.shared.settings.get_failover();
        let asked = self.looks.observed.asked_for_by_the_dead(me, now, failover);
        let leases = &self.shared.leases;
        let mut taking = stream::iter(asked)
            .map(|row| async move { (leases.take_back(&row).await, row) })
            .buffer_unordered(AT_ONCE);
        while let Some((taken, mut row)) = taking.next().await {
            match taken {
                // It was handed over, or withdrawn.
                Ok(false) => {}
                Ok(true) => {
                    let asker = row.owner.take();
                    tracing::info!(shard = %row.shard, asker, "a lease that a dead worker had asked for is kept");
                    row.owner = row.checkpoint_owner.take();
                    self.looks.observed.saw(row, now);
                }
                // The next look shows it again.
                Err(error) => {
                    self.shared.failure_log.failed("UpdateItem", None, &error);
                }
            }
        }
    }

    /// Hands on the leases that were handed to this worker and that another one has asked for before this one saw it: no task
    /// renews them, and else they would be read only once they have lapsed.
    async fn hand_on(&mut self) {
        let (me, now) = (self.shared.leases.me(), self.shared.clock.now());
        let rows = self.looks.observed.rows().values();
        let failover = self.shared.settings.get_failover();
        let dead = self.looks.observed.asked_for_by_the_dead(me, now, failover);
        let idle: Vec<LeaseRow> = rows
            .filter(|row| self.tasks.may_hand_on(row, me, now) && !dead.contains(row))
            .cloned()
            .collect();
        let leases = &self.shared.leases;
        let mut handing = stream::iter(idle)
            .map(|row| async move { (leases.hand_on(&row).await, row) })
            .buffer_unordered(AT_ONCE);
        while let Some((handed, mut row)) = handing.next().await {
            if handed.is_ok() {
                self.shared.failure_log.succeeded("UpdateItem", None);
            }
            match handed {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(shard = %row.shard, to = row.owner, "a lease that was asked for before it was read is handed on");
                    row.checkpoint_owner = None;
                    row.counter += 1;
                    self.looks.observed.saw(row, now);
                }
                // The next look shows it again.
                Err(error) => {
                    self.shared.failure_log.failed("UpdateItem", None, &error);
                }
            }
        }
    }

    /// Counts the shards that may be read, and finds those that no worker reads.
    fn count_ready(&self) {
        let (clock, lags) = (self.shared.clock, &self.shared.lags);
        let failover = self.shared.settings.get_failover();
        let me = self.shared.leases.me();
        let (now, now_at) = (clock.now(), lags.now());
        let time_of = |since: Duration| {
            let ago = u64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
            now_at.saturating_sub(ago)
        };
        let mut ready = 0;
        let mut unread = BTreeMap::new();
        for row in self.looks.observed.ready(self.discovery.lineage()) {
            ready += 1;
            if self.tasks.holds(&row.shard) {
                continue;
            }
            // As of the last look: while looks fail, others may well read theirs.
            if let Some(since) =
                self.looks
                    .observed
                    .unread_since(row, me, self.looks.last, failover)
            {
                let found = row.created.filter(|_| !row.was_taken());
                unread.insert(row.shard.clone(), found.unwrap_or_else(|| time_of(since)));
            }
        }
        // What comes after a shard's end is not read before it is listed and has its row.
        for (shard, since) in self.discovery.childless() {
            if !self.tasks.holds(shard) {
                unread.insert(shard.clone(), time_of(since));
            }
        }
        let unmade = self
            .making
            .shards()
            .map(|shard| (shard.clone(), time_of(self.making.since())));
        unread.extend(unmade);
        lags.saw(ready, unread);
    }

    /// Schedules a look at once, but not within a hundredth of the failover time after the last:
    /// many shards may end together, and a look reads the whole table.
    pub(super) fn look_soon(&mut self, now: Duration) {
        let pause = self.shared.settings.get_failover() / 100;
        self.looks.next = self.looks.next.min(now.max(self.looks.last + pause));
    }

    /// Takes leases, and returns whether there are more to take.
    async fn take(&mut self) -> Result<bool, StreamsError> {
        let shared = Arc::clone(&self.shared);
        let held = self.tasks.held();
        let mut takes = self.looks.observed.plan(
            shared.leases.me(),
            &held,
            self.discovery.lineage(),
            shared.clock.now(),
            shared.settings.get_failover(),
            &mut self.rng,
        );
        let more = takes.len() > TAKEN_AT_ONCE;
        takes.truncate(TAKEN_AT_ONCE);
        let leases = shared.leases.clone();
        let clock = shared.clock;
        let mut taking = stream::iter(takes)
            .map(|take| {
                let leases = &leases;
                async move {
                    let sent = clock.now();
                    let taken = leases.take(&take).await;
                    (take, sent, taken)
                }
            })
            .buffer_unordered(AT_ONCE);
        // Each is started as soon as it is taken: only its own task renews the lease.
        while let Some((take, sent, taken)) = taking.next().await {
            match taken {
                Ok(Some(row)) => {
                    self.looks.observed.saw(row.clone(), sent);
                    if take.manner != Manner::HandOver {
                        self.start(row, sent);
                    }
                }
                Ok(None) => {}
                Err(error) if error.is_fatal() => {
                    return Err(StreamsError::service("UpdateItem", leases.name(), error));
                }
                // If it was applied, the next look shows it. The others would most likely fail too.
                Err(error) => {
                    self.shared.failure_log.failed("UpdateItem", None, &error);
                    return Ok(false);
                }
            }
        }
        // None could not be taken, but for those that are others' by now.
        self.shared.failure_log.succeeded("UpdateItem", None);
        Ok(more)
    }

    pub(super) fn look_error(&self, error: LookError) -> StreamsError {
        let table = self.shared.leases.name();
        match error {
            LookError::Service(error) => StreamsError::service("Scan", table, error),
            LookError::Malformed(row) => StreamsError::malformed_lease(table, row),
        }
    }
}

/// The number of times that the lease table is scanned for leases to give back.
const RENOUNCE_ATTEMPTS: u32 = 3;

/// Gives back those leases that name this worker and that it has not begun: no other worker takes them before they lapse.
pub(super) async fn renounce(
    shared: &Shared,
    rng: fastrand::Rng,
    which: impl Fn(&LeaseRow) -> bool,
) {
    let leases = &shared.leases;
    let mut retries = Retries::new(shared.backoff.clone(), rng);
    let decide = |error, failures| {
        if failures < RENOUNCE_ATTEMPTS {
            Decision::Retry
        } else {
            Decision::GiveUp(error)
        }
    };
    let rows = match retries.call(|| leases.scan(), decide).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%error, "leases that were asked for could not be given back: they lapse");
            return;
        }
    };
    let me = Some(leases.me());
    stream::iter(rows.into_iter().filter(|row| which(row)))
        .for_each_concurrent(AT_ONCE, |row| async move {
            let given = match row.owner.as_deref() == me {
                true => leases.renounce(&row).await,
                false => leases.hand_on(&row).await.map(drop),
            };
            if let Err(error) = given {
                tracing::debug!(shard = %row.shard, %error, "a lease could not be given up");
            }
        })
        .await;
}
