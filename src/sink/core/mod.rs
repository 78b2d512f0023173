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
//! Why lines per key and not Flink's way, which puts what failed back at the head of one buffer:
//! with several requests in flight that lets an old value land after a newer one. Here a write's
//! successors on the same key are not sendable until it has its outcome.

mod access;
mod answer;
mod buffer_pool;
mod deadlines;
mod description;
mod entry;
mod epochs;
mod feedback;
mod isolate;
mod keys;
mod lane;
mod parked;
mod request;
mod requeue;
mod settle;
mod snapshot;
mod submission;
mod supersede;
#[cfg(test)]
mod tests;
mod verdict;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use crate::capacity::{Budgets, ConcurrencyLimit};
use crate::retry::{Backoff, RetryBudget, ServiceError};
use crate::sink::outcome::{Outcome, RejectReason};
use crate::sink::payload::Bodies;
use crate::transport::Operation;

use access::Access;
#[cfg(test)]
pub(crate) use access::GRACE;
pub(crate) use answer::BatchOutcome;
use buffer_pool::BufferPool;
use deadlines::Due;
pub(crate) use description::Described;
use description::Description;
use entry::{Entry, Lines, State, Write};
use epochs::Epochs;
use feedback::ConsumedAnswer;
use isolate::Groups;
use keys::Keys;
use lane::{Lane, Ticket};
use parked::ParkedWrites;
pub(crate) use request::Request;
use request::{InFlight, Isolated};
use requeue::Delayed;
pub(crate) use snapshot::Saved;
pub(crate) use submission::{DeadLettered, Settled, Submission, SubmissionKeys};

/// The settings that the state machine needs.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) max_batch_items: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) linger: Duration,
    pub(crate) coalesce: bool,
    /// Whether the service is asked what each request consumed.
    pub(crate) consumed_capacity: bool,
    pub(crate) max_attempts: Option<u32>,
    /// How long after its first sending a transaction's token may be used again.
    pub(crate) token_life: Duration,
    /// Whether rejected writes wait for a dead-letter handler's answer ([`Core::dead_lettered`]).
    pub(crate) dead_letters: bool,
}

/// What the state machine counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) retried: u64,
    pub(crate) throttled_items: u64,
}

/// See the module's documentation. `C` completes a write, `F` a flush.
#[derive(Debug)]
pub(crate) struct Core<C, F> {
    table: Arc<str>,
    rules: Rules,
    bodies: Bodies,
    buffer_pool: BufferPool,
    entries: Slab<Entry<C>>,
    next_number: u64,
    keys: Keys,
    batched: Lane,
    single: Lane,
    parked: ParkedWrites,
    delayed: BinaryHeap<Reverse<Delayed>>,
    /// Writes whose delay is over, and whose retry is to be paid for; those of one request have the same time.
    unpaid: VecDeque<(Duration, Ticket)>,
    deadlines: BTreeSet<Due>,
    isolated: VecDeque<Isolated>,
    /// Set if the next retry is for a write that is not under test.
    others_next: bool,
    groups: Groups,
    description: Description,
    access: Access,
    requests: HashMap<u64, InFlight>,
    next_request: u64,
    epochs: Epochs<F>,
    limit: ConcurrencyLimit,
    budgets: Budgets,
    /// The write that is sent alone to obtain a reason: a request that is refused whole bears one.
    cause_probe: Option<Ticket>,
    /// Set where this table met the account's limit.
    account: bool,
    consumed: ConsumedAnswer,
    /// Until when the lanes wait for the table's budget.
    table_until: Option<Duration>,
    backoff: Backoff,
    budget: RetryBudget,
    rng: fastrand::Rng,
    draining: bool,
    failed: Option<ServiceError>,
    /// The actions that were closed, until the worker has asked for them.
    closed: Vec<(Operation, ServiceError)>,
    settled: Vec<Settled<C>>,
    dead_letters: Vec<DeadLettered>,
    flushed: Vec<F>,
    counts: Counts,
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
            entries: Slab::new(),
            next_number: 0,
            keys: Keys::default(),
            batched: Lane::default(),
            single: Lane::default(),
            parked: ParkedWrites::default(),
            delayed: BinaryHeap::new(),
            unpaid: VecDeque::new(),
            deadlines: BTreeSet::new(),
            isolated: VecDeque::new(),
            others_next: false,
            groups: Groups::default(),
            description: Description::default(),
            access: Access::new(backoff.longest()),
            requests: HashMap::new(),
            next_request: 0,
            epochs: Epochs::new(),
            limit,
            budgets,
            cause_probe: None,
            account: false,
            consumed: ConsumedAnswer::default(),
            table_until: None,
            backoff,
            budget,
            rng,
            draining: false,
            failed: None,
            closed: Vec::new(),
            settled: Vec::new(),
            dead_letters: Vec::new(),
            flushed: Vec::new(),
            counts: Counts::default(),
        }
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
        let epoch = self.epochs.enter();
        let number = self.next_number;
        self.next_number += 1;
        let sent = may_have_applied.then_some(now);
        let write = Write {
            number,
            epoch,
            batch_len: payload.batch_len(),
            cost: cost.for_budgets(partition),
            payload,
            completion,
            accepted_at: now,
            deadline: deadline.map(|deadline| now.saturating_add(deadline)),
            attempts: 0,
            last_error: None,
        };
        let at = self.entries.vacant_key();
        let closed = self.access.closed(now, write.payload.operation());
        if let Some(cause) = self.failed.as_ref().or(closed) {
            let outcome = Outcome::Unwritten {
                may_have_applied,
                record: Some(write.to_record(&self.table)),
                cause: Some(cause.clone()),
            };
            return self.complete(write, at, outcome);
        }
        if let SubmissionKeys::One(key) = &keys
            && self.rules.coalesce
            && write.payload.is_plain()
            && let Some(last) = self.keys.last(key)
            && self.entries.get(last).is_some_and(Entry::may_be_superseded)
        {
            return self.supersede(last, write, sent);
        }
        let lines = match keys {
            SubmissionKeys::One(key) => Lines::One(self.keys.enter(key, at)),
            SubmissionKeys::Many(keys) => {
                let lines = keys.into_iter().map(|key| self.keys.enter(key, at));
                Lines::Many(lines.collect())
            }
        };
        self.note_deadline(&write, at);
        let mut entry = Entry::new(write, lines);
        entry.may_have_applied = may_have_applied;
        entry.first_sent = sent;
        self.entries.insert(entry);
        self.make_ready(now, Ticket { seq: number, at }, false);
    }

    /// Registers a flush: it is done when every write submitted before it has its outcome.
    pub(crate) fn flush(&mut self, flush: F) {
        self.epochs.flush(flush, &mut self.flushed);
    }

    /// From now on batches don't wait to fill.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether nothing is outstanding.
    pub(crate) fn is_idle(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.limit.limit()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn failure(&self) -> Option<&ServiceError> {
        self.failed.as_ref()
    }

    /// Returns the actions that were closed since the last call.
    pub(crate) fn take_closed(&mut self) -> Vec<(Operation, ServiceError)> {
        std::mem::take(&mut self.closed)
    }

    /// When the oldest outstanding write that can be sent began to wait.
    pub(crate) fn oldest_ready(&mut self) -> Option<Duration> {
        let heads = self.heads().into_iter().flatten();
        heads.map(|(_, since)| since).min()
    }

    /// The oldest writes of the batched and the single lane, and since when each waits.
    fn heads(&mut self) -> [Option<(Ticket, Duration)>; 2] {
        let entries = &self.entries;
        let live = |ticket: Ticket| is_ready(entries, ticket);
        [self.batched.peek(live), self.single.peek(live)]
    }

    /// Moves the outcomes out.
    pub(crate) fn take_settled(&mut self, into: &mut Vec<Settled<C>>) {
        into.append(&mut self.settled);
    }

    /// Moves the writes for the dead-letter handler out. Each must come back by
    /// [`dead_lettered`](Self::dead_lettered).
    pub(crate) fn take_dead_letters(&mut self) -> Vec<DeadLettered> {
        std::mem::take(&mut self.dead_letters)
    }

    /// Moves the flushes out that are done.
    pub(crate) fn take_flushed(&mut self) -> Vec<F> {
        std::mem::take(&mut self.flushed)
    }

    /// The dead-letter handler is done with the record, and has taken it if `handled`: its write
    /// is settled, its key is free.
    pub(crate) fn dead_lettered(&mut self, now: Duration, (at, seq): (usize, u64), handled: bool) {
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        if !entry.is_live(seq) {
            return;
        }
        if let State::DeadLettered(outcome) = &mut entry.state {
            let outcome = std::mem::replace(&mut **outcome, Outcome::Written);
            self.remove(now, Ticket { seq, at }, outcome);
            if let Some(settled) = self.settled.last_mut() {
                settled.handled = handled;
            }
        }
    }

    /// Puts a write into its lane, once its keys are free.
    fn make_ready(&mut self, now: Duration, ticket: Ticket, returned: bool) {
        let Some(entry) = self.entries.get_mut(ticket.at) else {
            return;
        };
        let mut lines = entry.lines.as_slice().iter();
        if !lines.all(|&line| self.keys.is_head(line, ticket.at)) {
            entry.state = State::Blocked;
            return;
        }
        entry.state = State::Ready;
        let lane = if entry.write.payload.is_plain() {
            &mut self.batched
        } else {
            &mut self.single
        };
        lane.push(ticket, entry.weight(), now, returned);
    }
}

fn is_ready<C>(entries: &Slab<Entry<C>>, ticket: Ticket) -> bool {
    entries
        .get(ticket.at)
        .is_some_and(|entry| entry.is_live(ticket.seq) && matches!(entry.state, State::Ready))
}
