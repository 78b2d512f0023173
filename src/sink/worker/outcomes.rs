//! Outcomes on their way to receipts, flushes and numbers.

use std::sync::Arc;
use std::time::Duration;

use super::Running;
use crate::health::Health;
use crate::sink::core::Settled;
use crate::sink::error::{DrainError, StopReason, SubmitError};
use crate::sink::message::{Reply, UNREPORTED};
use crate::sink::outcome::Outcome;
use crate::sink::receipt::Completion;
use crate::sink::stats::Budgeted;
use crate::transport::Operation;

/// The longest time by which the numbers of a busy table are behind.
///
/// Chosen: below the time of a request, and so long that a table at full speed publishes once in
/// ten answers.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(1);

impl Running {
    /// Passes the outcomes on and frees their room.
    pub(super) fn pass_on(&mut self, now: Duration) {
        let reporter = &mut self.worker.reporter;
        if self.worker.core.take_resolved() {
            reporter.dismissed(Operation::DescribeTable.name());
        }
        reporter.advance(now);
        for (operation, error) in self.worker.core.take_closed() {
            reporter.closed(operation.name(), &error);
        }
        self.pass_on_failure();
        self.worker.core.take_settled(&mut self.settled);
        let mut settled = std::mem::take(&mut self.settled);
        for settled in settled.drain(..) {
            self.complete(now, settled, true);
        }
        self.settled = settled;
        if !self.freed.is_empty() && self.worker.core.is_idle() {
            self.idle_since = Some(now);
        }
        // A flush, or a caller that was let in, finds the numbers of all writes before it.
        let flushed = self.worker.core.take_flushed();
        if self.worker.core.is_idle() || !flushed.is_empty() {
            self.publish(now);
        } else {
            self.unpublished_since.get_or_insert(now);
        }
        self.free();
        for flush in flushed {
            self.report(flush);
        }
        if self.publish_at().is_some_and(|time| time <= now) {
            self.publish(now);
        }
    }

    /// Closes admission to a table that has failed.
    fn pass_on_failure(&mut self) {
        let Some(error) = self.worker.core.failure() else {
            return;
        };
        if !std::mem::replace(&mut self.failed, true) {
            let table = &*self.worker.table;
            tracing::error!(
                table,
                %error,
                "table {table:?} has failed: its writes are handed back"
            );
        }
        self.worker.admission.close(SubmitError::Failed {
            table: self.worker.table.to_string(),
            error: error.clone(),
        });
    }

    /// Has the numbers published with the next outcomes: after a refusal or a failure, which change how
    /// fast the table goes on.
    pub(super) fn publish_soon(&mut self) {
        self.unpublished_since = Some(Duration::ZERO);
    }

    /// Returns the time by which the numbers are to be published.
    pub(super) fn publish_at(&self) -> Option<Duration> {
        let since = self.unpublished_since?;
        Some(since.saturating_add(PUBLISH_INTERVAL))
    }

    /// Brings the numbers that callers see up to date.
    pub(super) fn publish(&mut self, now: Duration) {
        self.unpublished_since = None;
        let core = &self.worker.core;
        let counts = core.counts();
        let meter = &mut self.worker.meter;
        meter.retries(counts.retried, counts.throttled_items);
        let load = (core.in_flight(), core.concurrency());
        let waits = core.oldest_ready().map(|since| now.saturating_sub(since));
        meter.level(
            load,
            self.worker.admission.level(),
            waits.unwrap_or_default(),
        );
        let (hot_keys, held) = core.hot_keys();
        meter.budgeted(&Budgeted {
            mode: core.mode(),
            rate: core.rate(now),
            hot_keys,
            held,
        });
        let limit = self.worker.core.limited_by(now);
        let health = match (self.worker.core.failure(), &self.stopped) {
            (Some(error), _) => Health::Ended {
                cause: error.to_string(),
            },
            (None, Some(reason)) => Health::Ended {
                cause: reason.to_string(),
            },
            (None, None) => self.worker.reporter.health(now),
        };
        let mut published = self.worker.stats.lock();
        published.stats.clone_from(&meter.stats);
        published.limit = limit;
        published.health = health;
    }

    pub(super) fn complete(&mut self, now: Duration, settled: Settled<Completion>, keep: bool) {
        let Settled {
            completion,
            outcome,
            accepted_at,
            handled,
            ..
        } = settled;
        self.worker
            .meter
            .settled(&outcome, now.saturating_sub(accepted_at));
        self.freed.push(completion.charge);
        // A failure must not vanish with its receipt, whether that was dropped or will be.
        let keep = keep && !handled && outcome.record().is_some();
        let unobserved = keep.then(|| Arc::clone(&self.worker.admission));
        if let Err(outcome) = completion.complete(outcome, handled, unobserved)
            && keep
        {
            self.keep_unobserved(outcome);
        }
    }

    /// Keeps a failed write for the next flush or close to report. Too many of them stop the table.
    pub(super) fn keep_unobserved(&mut self, outcome: Outcome) {
        let bytes = outcome.held_bytes();
        self.unobserved.keep(outcome, bytes);
        if self.unobserved.is_full() {
            self.stop(StopReason::Unobserved(self.unobserved.len()));
        }
    }

    /// Logs the number of failed writes that are left, at the end of the table.
    pub(super) fn log_unreported(&mut self) {
        let writes = self.unobserved.take().len();
        if writes > 0 {
            tracing::error!(table = &*self.worker.table, writes, "{UNREPORTED}");
        }
    }

    /// Answers a flush or a close. Outcomes that can't be delivered are left to the next one.
    pub(super) fn report(&mut self, reply: Reply) {
        if reply.is_closed() {
            return;
        }
        if let Err(Err(undelivered)) = reply.send(self.drained()) {
            for outcome in undelivered.into_outcomes() {
                self.keep_unobserved(outcome);
            }
        }
    }

    /// Frees the room of the writes that have their outcome.
    pub(super) fn free(&mut self) {
        if !self.freed.is_empty() {
            self.worker.admission.release(self.freed.drain(..));
        }
    }

    /// Stops the table: it takes no more writes, and accepted ones are carried out.
    pub(super) fn stop(&mut self, reason: StopReason) {
        if self.stopped.is_some() || self.worker.core.failure().is_some() {
            return;
        }
        tracing::error!(table = &*self.worker.table, %reason, "the table's sink has stopped");
        let admission = &self.worker.admission;
        admission.close(SubmitError::Stopped(reason.clone()));
        self.stopped = Some(reason);
    }

    /// Returns the result of a flush or a close that is done.
    fn drained(&mut self) -> Result<(), DrainError> {
        let table = self.worker.table.to_string();
        let outcomes = self.unobserved.take();
        if let Some(error) = self.worker.core.failure() {
            return Err(DrainError::Failed {
                table,
                error: error.clone(),
                outcomes,
            });
        }
        if let Some(reason) = &self.stopped {
            return Err(DrainError::Stopped {
                table,
                reason: reason.clone(),
                outcomes,
            });
        }
        if outcomes.is_empty() {
            return Ok(());
        }
        Err(DrainError::Unobserved { table, outcomes })
    }
}
