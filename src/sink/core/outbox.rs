//! The outbox: outcomes, dead letters and flushes that the worker has yet to pass on.

use super::entry::Write;
use super::lane::Ticket;
use super::submission::{DeadLettered, Settled};
use crate::progress::FlushEpochs;
use crate::retry::ServiceError;
use crate::sink::outcome::Outcome;
use crate::transport::Operation;

/// The counters of the state machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) retried: u64,
    pub(crate) throttled_items: u64,
}

/// The results for the worker. `C` completes a write, `F` a flush.
#[derive(Debug)]
pub(super) struct Outbox<C, F> {
    settled: Vec<Settled<C>>,
    dead_letters: Vec<DeadLettered>,
    flushed: Vec<F>,
    /// The actions that were closed.
    closed: Vec<(Operation, ServiceError)>,
    epochs: FlushEpochs<F>,
    /// Set once no batch waits to fill any more, as if a flush waited.
    draining: bool,
    pub(super) counts: Counts,
}

impl<C, F> Outbox<C, F> {
    pub(super) fn new() -> Self {
        Self {
            settled: Vec::new(),
            dead_letters: Vec::new(),
            flushed: Vec::new(),
            closed: Vec::new(),
            epochs: FlushEpochs::new(),
            draining: false,
            counts: Counts::default(),
        }
    }

    /// Counts a write in. Returns its epoch.
    pub(super) fn enter(&mut self) -> u64 {
        self.epochs.enter()
    }

    /// Registers a flush of all writes that were counted in.
    pub(super) fn flush(&mut self, flush: F) {
        self.epochs.flush(flush, &mut self.flushed);
    }

    /// Forgets flushes that were given up.
    pub(super) fn forget_flushes(&mut self, is_given_up: impl Fn(&F) -> bool) {
        self.epochs.forget(is_given_up);
    }

    /// Lets no batch wait to fill, from now on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Returns whether no batch is to wait to fill: a flush waits, or all is drained.
    pub(super) fn is_flushing(&self) -> bool {
        self.draining || self.epochs.is_flushing()
    }

    /// Gives a write its outcome.
    pub(super) fn complete(&mut self, write: Write<C>, outcome: Outcome) {
        self.settled.push(Settled {
            number: write.number,
            completion: write.completion,
            outcome,
            accepted_at: write.accepted_at,
            handled: false,
        });
        self.epochs.leave(write.epoch, &mut self.flushed);
    }

    /// Notes whether the dead-letter handler has taken the write of the last outcome.
    pub(super) fn set_handled(&mut self, handled: bool) {
        if let Some(settled) = self.settled.last_mut() {
            settled.handled = handled;
        }
    }

    /// Gives a write to the dead-letter handler.
    pub(super) fn dead_letter(&mut self, ticket: Ticket, outcome: Outcome) {
        self.dead_letters.push(DeadLettered {
            ticket: (ticket.at, ticket.seq),
            outcome,
        });
    }

    /// Notes that an action was closed.
    pub(super) fn close(&mut self, operation: Operation, error: ServiceError) {
        self.closed.push((operation, error));
    }

    /// Returns the number of outcomes that were not taken.
    pub(super) fn settled(&self) -> usize {
        self.settled.len()
    }

    /// Puts the outcomes after the first `kept` in the order of submission.
    pub(super) fn sort_after(&mut self, kept: usize) {
        if let Some(settled) = self.settled.get_mut(kept..) {
            settled.sort_unstable_by_key(|settled| settled.number);
        }
    }

    pub(super) fn take_settled(&mut self, into: &mut Vec<Settled<C>>) {
        into.append(&mut self.settled);
    }

    pub(super) fn take_dead_letters(&mut self) -> Vec<DeadLettered> {
        std::mem::take(&mut self.dead_letters)
    }

    pub(super) fn take_flushed(&mut self) -> Vec<F> {
        std::mem::take(&mut self.flushed)
    }

    pub(super) fn take_closed(&mut self) -> Vec<(Operation, ServiceError)> {
        std::mem::take(&mut self.closed)
    }

    /// Gives memory back that is not in use.
    pub(super) fn shrink(&mut self) {
        self.settled.shrink_to_fit();
    }
}
