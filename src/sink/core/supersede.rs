//! Coalescing: a newer write of a key takes the place of one that was not sent yet.
//!
//! The older one has its outcome when the newer one does. `Superseded` is then true: the table
//! holds a later write. If the newer write fails without having been applied, the older one is back
//! in its place, and sent. It does not wait beyond its own deadline (`deadlines`).

use std::time::Duration;

use super::Core;
use super::entry::Write;
use super::lane::Ticket;
use crate::retry::ServiceError;
use crate::sink::outcome::Outcome;

impl<C, F> Core<C, F> {
    /// Settles the writes whose place this one has taken, now that it has its outcome.
    ///
    /// If it failed and was not applied, the newest of them takes its place back, and the write
    /// that failed is returned.
    pub(super) fn settle_older(
        &mut self,
        now: Duration,
        ticket: Ticket,
        outcome: &Outcome,
    ) -> Option<Write<C>> {
        // Sent now, an older write could come after one that may have been applied.
        let over = outcome.may_have_applied() || matches!(outcome, Outcome::Unwritten { .. });
        if over || self.failed.is_some() {
            let failed = self.failed.clone();
            let cause = match outcome {
                Outcome::Unwritten { cause, .. } => cause.as_ref(),
                _ => failed.as_ref(),
            };
            self.end_older(ticket, outcome.is_written(), cause);
            return None;
        }
        // It may have waited for its turn when it failed, or for the dead-letter handler since.
        self.queue.restore_older(now, ticket)
    }

    /// Ends the writes whose place this one has taken: superseded if it was written, else handed
    /// back.
    pub(super) fn end_older(
        &mut self,
        ticket: Ticket,
        written: bool,
        cause: Option<&ServiceError>,
    ) {
        let Some(entry) = self.queue.queued(ticket, "a write that ends is not queued") else {
            return;
        };
        for older in std::mem::take(&mut entry.older).into_values() {
            let outcome = if written {
                Outcome::Superseded
            } else {
                Outcome::Unwritten {
                    may_have_applied: false,
                    record: Some(older.to_record(&self.table)),
                    cause: cause.cloned(),
                }
            };
            self.complete(older, ticket.at, outcome);
        }
    }

    /// Gives a write that has left its place its outcome.
    pub(super) fn complete(&mut self, write: Write<C>, at: usize, outcome: Outcome) {
        self.queue.drop_deadline(&write, at);
        self.outbox.complete(write, outcome);
    }
}
