//! The pure state machine of one table: queue, keys, batches, retries, outcomes.
//!
//! No I/O, no clock, no ambient randomness: every call takes `now` (time since the sink was
//! opened), and the generator that jitters delays is handed in. The worker around it drives it:
//!
//! ```text
//!            submit ─▶ ┌───────────────────────────────────────────┐
//!                      │ keys: one line per key, only heads go on  │
//!                      │   └▶ lane (batched / single) ─▶ request ──┼─▶ next_request
//!  on_batch, on_call ─▶│ answer: written / retry later / bisect    │
//!                      │   └▶ settled: one outcome per write ──────┼─▶ take_settled
//!                      └───────────────────────────────────────────┘
//! ```
//!
//! Flink puts failed writes back at the head of one buffer. With several requests in flight, that
//! lets an old value land after a newer one. Here a write's successors on the same key are not
//! sendable until it has its outcome.
//!
//! [`Core`] only moves writes between the owners of its state:
//!
//! | owner | state | its files |
//! |---|---|---|
//! | [`Queue`] | the writes, their keys' lines, lanes, delays and deadlines | `queue`, `entry`, `keys`, `lane`, `list`, `deadlines` |
//! | [`Throttle`] | concurrency and budgets, and until when to wait for them | `throttle`, `parked`, `feedback` |
//! | [`Isolation`] | batches under bisection, descriptions that prove the table | `isolation`, `description` |
//! | [`Access`] | refusals that no record causes | `access`, `refusals` |
//! | [`Requests`] | requests in flight | `request`, `answer`, `buffer_pool` |
//! | [`PaidRetries`] | delays, and the budget that pays for retries | `requeue` |
//! | [`Outbox`] | outcomes, dead letters, flushes | `outbox`, `settle`, `supersede`, `submission`, `snapshot` |
//!
//! **Circles.** Parts of [`Core`] are `impl Core` in files of their own (`deadlines`,
//! `description`, `requeue`), so these and the owners use each other. `entry` and `lane` do: a
//! lane's line links entries, and an entry knows its place in it.

mod access;
mod answer;
mod buffer_pool;
mod deadlines;
mod description;
mod entry;
mod feedback;
mod isolation;
mod keys;
mod lane;
mod list;
mod outbox;
mod parked;
mod queue;
mod refusals;
mod request;
mod requeue;
mod settle;
mod snapshot;
mod submission;
mod supersede;
#[cfg(test)]
mod tests;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use crate::capacity::{Budgets, ConcurrencyLimit};
use crate::retry::{Backoff, RetryBudget, ServiceError};
use crate::sink::outcome::{Outcome, RejectReason};
use crate::sink::payload::Bodies;
use crate::transport::Operation;

use access::Access;
#[cfg(test)]
pub(crate) use access::REFUSAL_GRACE;
pub(crate) use answer::BatchOutcome;
pub(crate) use buffer_pool::BufferPool;
pub(crate) use description::Described;
use entry::{Attempts, State, Write};
use isolation::Isolation;
use lane::Ticket;
pub(crate) use outbox::Counts;
use outbox::Outbox;
use queue::Queue;
pub(crate) use request::Request;
use request::Requests;
use requeue::PaidRetries;
pub(crate) use snapshot::Saved;
pub(crate) use submission::{DeadLettered, Settled, Submission, SubmissionKeys};
use throttle::Throttle;

/// The settings that the state machine needs.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) max_batch_items: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) linger: Duration,
    pub(crate) coalesce: bool,
    /// Set if the service is asked what each request consumed.
    pub(crate) consumed_capacity: bool,
    pub(crate) max_attempts: Option<u32>,
    /// The time after its first sending for which a transaction's token may be used again.
    pub(crate) token_lifetime: Duration,
    /// Set if rejected writes wait for a dead-letter handler's answer ([`Core::dead_lettered`]).
    pub(crate) dead_letters: bool,
}

/// The state of one table; see the module's documentation. `C` completes a write, `F` a flush.
#[derive(Debug)]
pub(crate) struct Core<C, F> {
    table: Arc<str>,
    rules: Rules,
    bodies: Bodies,
    buffer_pool: BufferPool,
    queue: Queue<C>,
    throttle: Throttle,
    isolation: Isolation,
    access: Access,
    requests: Requests,
    retries: PaidRetries,
    outbox: Outbox<C, F>,
    failed: Option<ServiceError>,
}

impl<C, F> Core<C, F> {
    pub(crate) fn new(
        table: &Arc<str>,
        rules: Rules,
        limit: ConcurrencyLimit,
        budgets: Budgets,
        backoff: Backoff,
        budget: RetryBudget,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            table: Arc::clone(table),
            bodies: Bodies::new(table, rules.consumed_capacity || budgets.needs_consumed()),
            rules,
            buffer_pool: BufferPool::default(),
            queue: Queue::default(),
            throttle: Throttle::new(limit, budgets),
            isolation: Isolation::default(),
            access: Access::new(backoff.longest()),
            requests: Requests::default(),
            retries: PaidRetries {
                backoff,
                budget,
                rng,
            },
            outbox: Outbox::new(),
            failed: None,
        }
    }

    /// Takes buffers from a pool that other tables take from too.
    pub(crate) fn share_buffers(&mut self, pool: &BufferPool) {
        self.buffer_pool = pool.clone();
    }

    /// Queues a write. It ends in exactly one [`Settled`].
    pub(crate) fn submit(&mut self, now: Duration, submission: Submission<C>) {
        let Submission {
            payload,
            keys,
            deadline,
            completion,
            may_have_applied,
            cost,
            partition,
        } = submission;
        let write = Write {
            number: self.queue.number(),
            epoch: self.outbox.enter(),
            batch_len: payload.batch_len(),
            cost: cost.for_budgets(partition),
            payload,
            completion,
            accepted_at: now,
            deadline: deadline.map(|deadline| now.saturating_add(deadline)),
            attempts: Attempts {
                may_have_applied,
                first_sent: may_have_applied.then_some(now),
                ..Attempts::default()
            },
            group: None,
        };
        let closed = self.access.closed(now, write.payload.operation());
        if let Some(cause) = self.failed.as_ref().or(closed) {
            let outcome = Outcome::Unwritten {
                may_have_applied,
                record: Some(write.to_record(&self.table)),
                cause: Some(cause.clone()),
            };
            return self.outbox.complete(write, outcome);
        }
        if self.rules.coalesce
            && write.payload.is_plain()
            && let SubmissionKeys::One(key) = &keys
            && let Some(older) = self.queue.superseded_by(key)
        {
            return self.queue.supersede(older, write);
        }
        self.queue.enter(now, write, keys);
    }

    /// Registers a flush: it is done when every write submitted before it has its outcome.
    pub(crate) fn flush(&mut self, flush: F) {
        self.outbox.flush(flush);
    }

    /// Forgets flushes that were given up. They wait for no write any more.
    pub(crate) fn forget_flushes(&mut self, is_given_up: impl Fn(&F) -> bool) {
        self.outbox.forget_flushes(is_given_up);
    }

    /// Lets no batch wait to fill, from now on.
    pub(crate) fn drain(&mut self) {
        self.outbox.drain();
    }

    /// Returns whether nothing is outstanding.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.throttle.limit.limit()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.outbox.counts
    }

    pub(crate) fn failure(&self) -> Option<&ServiceError> {
        self.failed.as_ref()
    }

    /// Returns the actions that were closed since the last call.
    pub(crate) fn take_closed(&mut self) -> Vec<(Operation, ServiceError)> {
        self.outbox.take_closed()
    }

    /// Returns the time since which the oldest write waits that can be sent.
    pub(crate) fn oldest_ready(&self) -> Option<Duration> {
        let heads = self.queue.heads().into_iter().flatten();
        heads.map(|(_, since)| since).min()
    }

    /// Moves the outcomes out.
    pub(crate) fn take_settled(&mut self, into: &mut Vec<Settled<C>>) {
        self.outbox.take_settled(into);
    }

    /// Moves the writes for the dead-letter handler out. Each must come back by
    /// [`dead_lettered`](Self::dead_lettered).
    pub(crate) fn take_dead_letters(&mut self) -> Vec<DeadLettered> {
        self.outbox.take_dead_letters()
    }

    /// Moves the flushes out that are done.
    pub(crate) fn take_flushed(&mut self) -> Vec<F> {
        self.outbox.take_flushed()
    }

    /// Notes that the dead-letter handler is done with a record, and has taken it if `handled`: its
    /// write is settled, its key is free.
    pub(crate) fn dead_lettered(&mut self, now: Duration, (at, seq): (usize, u64), handled: bool) {
        let ticket = Ticket { seq, at };
        // The table may have been aborted since.
        let Some(entry) = self.queue.get_mut(ticket) else {
            return;
        };
        if let State::DeadLettered(outcome) = &mut entry.state {
            let outcome = std::mem::replace(&mut **outcome, Outcome::Written);
            self.remove(now, ticket, outcome);
            self.outbox.set_handled(handled);
        }
        self.check(now);
    }

    /// Gives memory back, at a time without a write.
    pub(crate) fn shrink(&mut self) {
        self.queue.shrink();
        self.outbox.shrink();
    }

    /// Ends the table if its state is one that cannot be: its writes are handed back, with the
    /// fault as the cause.
    fn check(&mut self, now: Duration) {
        if let Some(fault) = self.queue.take_fault() {
            self.fail(now, ServiceError::internal(fault));
        }
    }
}
