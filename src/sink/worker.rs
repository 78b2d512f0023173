//! The task that owns a table's state.
//!
//! One task per table drives the pure [`Core`]: it takes in what passed the gate, sends the
//! requests that are due (each a task of its own, so that signing and I/O use all cores), feeds
//! the answers back, tells the outcomes, and frees their room.

mod tasks;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::core::{Core, Described, Saved, Settled, Submission};
use super::dead_letter::DeadLetterHandler;
use super::describing::SharedShape;
use super::error::{DrainError, StopReason, SubmitError};
use super::gate::{Charge, Gate};
use super::outcome::Outcome;
use super::receipt::Completion;
use super::record::Record;
use super::stats::{Budgeted, Meter, Published};
use crate::capacity::{Concurrency, Rate};
use crate::clock::Clock;
use crate::health::{Health, Reporter};
use crate::retry::ServiceError;
use crate::transport::{Operation, TableDescription, Transport};

/// What passes the gate.
#[derive(Debug)]
pub(super) enum Message {
    Write(Submission<Completion>),
    Flush(Flush),
    Snapshot(oneshot::Sender<Result<Vec<Saved>, DrainError>>),
    Close(Flush),
    /// Failed writes that nobody has looked at.
    Unclaimed(Vec<Outcome>),
    /// The outcome of a record that could not be made a write, for the counts.
    Misfit(Outcome),
    Abort(oneshot::Sender<Vec<Outcome>>),
    SetRate(Rate),
    SetConcurrency(Concurrency),
}

/// The answer to a flush or a close.
pub(super) type Flush = oneshot::Sender<Result<(), DrainError>>;

/// How many failed writes whose receipts were dropped may wait for a flush or a close before the
/// table stops taking more.
const UNCLAIMED_LIMIT: usize = 1_000;

/// What is logged where nothing else is left to do.
pub(super) const NOBODY_LEFT: &str = "writes failed, and nobody is left to hear of them";

/// What the tasks of a worker come back with.
enum Done {
    Answer {
        id: u64,
        operation: Operation,
        items: usize,
        took: Duration,
        body: Result<Bytes, ServiceError>,
    },
    Described(Described),
    Capacity(Result<TableDescription, ServiceError>),
    DeadLetter {
        ticket: (usize, u64),
        result: Result<(), String>,
    },
}

/// All that a worker is made of.
pub(super) struct Worker {
    pub(super) table: Arc<str>,
    pub(super) shape: SharedShape,
    pub(super) core: Core<Completion, Flush>,
    pub(super) gate: Arc<Gate<Message>>,
    pub(super) transport: Transport,
    pub(super) clock: Clock,
    pub(super) dead_letters: Option<DeadLetterHandler>,
    pub(super) meter: Meter,
    pub(super) reporter: Reporter,
    pub(super) stats: Arc<Mutex<Published>>,
    /// How often any table of this sink has met the account's limit.
    pub(super) account: Arc<AtomicU64>,
}

/// What a running worker holds beside its parts.
struct Running {
    worker: Worker,
    tasks: JoinSet<Done>,
    inbox: Vec<Message>,
    settled: Vec<Settled<Completion>>,
    freed: Vec<Charge>,
    unclaimed: Vec<Outcome>,
    unclaimed_bytes: usize,
    stopped: Option<StopReason>,
    closing: Vec<Flush>,
    /// Set once the log has the table's failure.
    failed: bool,
    account_met: u64,
    /// The indexes that the gate was told are short.
    short_indexes: u32,
}

impl Worker {
    /// Runs until the table is closed or aborted, or all its handles are dropped and all accepted
    /// writes have their outcome.
    ///
    /// Whoever waits hears of it if the future is dropped, also if it was never polled: a runtime may go
    /// as soon as the table is open.
    pub(super) fn run(self) -> impl Future<Output = ()> + Send {
        let mut running = Running {
            worker: self,
            tasks: JoinSet::new(),
            inbox: Vec::new(),
            settled: Vec::new(),
            freed: Vec::new(),
            unclaimed: Vec::new(),
            unclaimed_bytes: 0,
            stopped: None,
            closing: Vec::new(),
            failed: false,
            account_met: 0,
            short_indexes: 0,
        };
        async move {
            running.run().await;
            running.dismiss();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ends here in order, or because the runtime was shut down: whoever waits must hear of it.
        self.worker.gate.end(SubmitError::Gone);
    }
}

impl Running {
    async fn run(&mut self) {
        let gate = Arc::clone(&self.worker.gate);
        loop {
            let now = self.worker.clock.now();
            if self.receive(now) {
                return;
            }
            self.send(now);
            self.tell(now);
            if self.finished() {
                return;
            }
            let wake = self.worker.core.wake_at().into_iter();
            let wake = wake.chain(self.worker.reporter.wake_at()).min();
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => {
                    let now = self.worker.clock.now();
                    self.done(now, done);
                    while let Some(done) = self.tasks.try_join_next() {
                        self.done(now, done);
                    }
                }
                () = gate.arrival() => {}
                () = sleep(self.worker.clock, wake), if wake.is_some() => {}
            }
        }
    }

    /// Takes in what came through the gate. Returns whether the table was aborted.
    fn receive(&mut self, now: Duration) -> bool {
        self.worker.gate.receive(&mut self.inbox);
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut messages = inbox.drain(..);
        while let Some(message) = messages.next() {
            match message {
                Message::Write(submission) => self.worker.core.submit(now, submission),
                Message::Flush(flush) => self.worker.core.flush(flush),
                Message::Snapshot(reply) => {
                    // What it no longer holds has been told by the time it is there: a caller that
                    // stores it after looking at the outcomes misses none.
                    self.tell(now);
                    // Nobody to hear it: the caller gave up, nothing is lost.
                    let _ = reply.send(Ok(self.worker.core.snapshot()));
                }
                Message::SetRate(rate) => self.worker.core.set_rate(now, rate),
                Message::SetConcurrency(range) => self.worker.core.set_concurrency(range),
                Message::Close(reply) => {
                    self.closing.push(reply);
                    self.worker.core.drain();
                }
                Message::Unclaimed(outcomes) => {
                    for outcome in outcomes {
                        self.keep_unclaimed(outcome);
                    }
                }
                Message::Misfit(outcome) => self.worker.meter.settled(&outcome, Duration::ZERO),
                Message::Abort(reply) => {
                    self.abort(now, reply);
                    self.inbox = messages.collect();
                    return true;
                }
            }
        }
        drop(messages);
        self.inbox = inbox;
        false
    }

    /// Answers what came in after the close or the abort that ended the table. Left to the drop,
    /// it would be told that the runtime was shut down.
    fn dismiss(&mut self) {
        let mut messages = std::mem::take(&mut self.inbox);
        messages.extend(self.worker.gate.finish());
        for message in messages {
            match message {
                // The gate was closed before the close or the abort went through it.
                Message::Write(submission) => {
                    let outcome = Outcome::Unwritten {
                        may_have_applied: submission.may_have_applied,
                        record: Some(submission.payload.to_record(&self.worker.table, 0)),
                        cause: None,
                    };
                    let _ = submission.completion.complete(outcome, false, None);
                }
                Message::Flush(reply) | Message::Close(reply) => {
                    let _ = reply.send(Err(DrainError::Closed));
                }
                Message::Snapshot(reply) => {
                    let _ = reply.send(Err(DrainError::Closed));
                }
                Message::Unclaimed(outcomes) => {
                    let (table, writes) = (&*self.worker.table, outcomes.len());
                    tracing::error!(table, writes, "{NOBODY_LEFT}");
                }
                Message::Abort(reply) => {
                    let _ = reply.send(Vec::new());
                }
                Message::Misfit(_) | Message::SetRate(_) | Message::SetConcurrency(_) => {}
            }
        }
    }

    /// Ends all that is under way; every write is handed back, to its receipt and to the caller.
    fn abort(&mut self, now: Duration, reply: oneshot::Sender<Vec<Outcome>>) {
        self.tasks.abort_all();
        self.worker.core.abort(now);
        let mut handed_back = std::mem::take(&mut self.unclaimed);
        self.worker.core.take_settled(&mut self.settled);
        for settled in std::mem::take(&mut self.settled) {
            if !settled.outcome.is_written() && settled.outcome.record().is_some() {
                handed_back.push(settled.outcome.clone());
            }
            self.complete(now, settled, false);
        }
        self.free();
        for flush in self.worker.core.take_flushed() {
            let _ = flush.send(Err(DrainError::Closed));
        }
        for close in self.closing.drain(..) {
            let _ = close.send(Err(DrainError::Closed));
        }
        self.publish(now);
        // If the caller of abort is gone, the receipts still have the records.
        let _ = reply.send(handed_back);
    }

    /// Sends all that is due.
    fn send(&mut self, now: Duration) {
        self.heed_account(now);
        while let Some(request) = self.worker.core.next_request(now) {
            self.spawn(request);
        }
        let short = self.worker.core.short_indexes(now);
        if short != self.short_indexes {
            self.short_indexes = short;
            self.worker.gate.hold(short);
        }
        if self.worker.core.take_refresh(now) {
            self.refresh();
        }
        if self.worker.core.take_describe(now) {
            self.describe();
        }
        for letter in self.worker.core.take_dead_letters() {
            self.dead_letter(now, letter);
        }
    }

    /// What is refused for the account's sake concerns all its tables.
    fn heed_account(&mut self, now: Duration) {
        if self.worker.core.take_account() {
            self.worker.account.fetch_add(1, Ordering::Relaxed);
            self.account_met += 1;
        }
        let met = self.worker.account.load(Ordering::Relaxed);
        if met > self.account_met {
            self.account_met = met;
            self.worker.core.yield_to_account(now);
        }
    }

    /// Tells the outcomes and frees their room.
    fn tell(&mut self, now: Duration) {
        if self.worker.core.take_undoubted() {
            let describing = Operation::DescribeTable.name();
            self.worker.reporter.dismissed(describing);
        }
        self.worker.reporter.advance(now);
        for (operation, error) in self.worker.core.take_closed() {
            self.worker.reporter.closed(operation.name(), &error);
        }
        if let Some(error) = self.worker.core.failure() {
            if !std::mem::replace(&mut self.failed, true) {
                let table = &*self.worker.table;
                tracing::error!(
                    table,
                    %error,
                    "table {table:?} has failed: its writes are handed back"
                );
            }
            self.worker.gate.close(SubmitError::Failed {
                table: self.worker.table.to_string(),
                error: error.clone(),
            });
        }
        self.worker.core.take_settled(&mut self.settled);
        let mut settled = std::mem::take(&mut self.settled);
        for settled in settled.drain(..) {
            self.complete(now, settled, true);
        }
        self.settled = settled;
        self.free();
        for flush in self.worker.core.take_flushed() {
            self.report(flush);
        }
        self.publish(now);
    }

    /// Brings the numbers that callers see up to date.
    fn publish(&mut self, now: Duration) {
        let counts = self.worker.core.counts();
        let meter = &mut self.worker.meter;
        meter.retries(counts.retried, counts.throttled_items);
        let load = (self.worker.core.in_flight(), self.worker.core.concurrency());
        let waits = self
            .worker
            .core
            .oldest_ready()
            .map(|since| now.saturating_sub(since));
        meter.level(load, self.worker.gate.level(), waits.unwrap_or_default());
        let (hot_keys, held) = self.worker.core.hot_keys();
        meter.budgeted(&Budgeted {
            mode: self.worker.core.mode(),
            rate: self.worker.core.rate(now),
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
        let published = self.worker.stats.lock();
        let mut published = published.unwrap_or_else(PoisonError::into_inner);
        published.stats.clone_from(&meter.stats);
        published.limit = limit;
        published.health = health;
    }

    fn complete(&mut self, now: Duration, settled: Settled<Completion>, keep: bool) {
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
        let unheard = keep.then(|| Arc::clone(&self.worker.gate));
        if let Err(outcome) = completion.complete(outcome, handled, unheard)
            && keep
        {
            self.keep_unclaimed(outcome);
        }
    }

    /// Keeps a failed write for the next flush or close to report. They are bounded like the
    /// buffer: too many of them stop the table.
    fn keep_unclaimed(&mut self, outcome: Outcome) {
        self.unclaimed_bytes += outcome.record().map_or(0, Record::bytes);
        self.unclaimed.push(outcome);
        let most = self.worker.gate.bounds().bytes;
        if self.unclaimed.len() >= UNCLAIMED_LIMIT || self.unclaimed_bytes >= most {
            self.stop(StopReason::Unclaimed(self.unclaimed.len()));
        }
    }

    /// Tells a flush or a close what it found. What nobody hears is left to the next one.
    fn report(&mut self, flush: Flush) {
        if flush.is_closed() {
            return;
        }
        if let Err(Err(unheard)) = flush.send(self.drained()) {
            for outcome in unheard.into_outcomes() {
                self.keep_unclaimed(outcome);
            }
        }
    }

    fn free(&mut self) {
        if !self.freed.is_empty() {
            self.worker.gate.release(self.freed.drain(..));
        }
    }

    /// Takes no more writes; what was accepted is carried out.
    fn stop(&mut self, reason: StopReason) {
        if self.stopped.is_some() || self.worker.core.failure().is_some() {
            return;
        }
        tracing::error!(table = &*self.worker.table, %reason, "the table's sink has stopped");
        self.worker.gate.close(SubmitError::Stopped(reason.clone()));
        self.stopped = Some(reason);
    }

    /// What a flush or a close that is done has to report.
    fn drained(&mut self) -> Result<(), DrainError> {
        let table = self.worker.table.to_string();
        let outcomes = std::mem::take(&mut self.unclaimed);
        self.unclaimed_bytes = 0;
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
        Err(DrainError::Unclaimed { table, outcomes })
    }

    /// Whether the table is closed (or its handles are gone) and nothing is outstanding.
    fn finished(&mut self) -> bool {
        if !self.worker.core.is_idle() || self.worker.gate.has_messages() {
            return false;
        }
        if !self.closing.is_empty() {
            for close in std::mem::take(&mut self.closing) {
                self.report(close);
            }
        } else if !self.worker.gate.is_orphaned() {
            return false;
        }
        if !self.unclaimed.is_empty() {
            tracing::error!(
                table = &*self.worker.table,
                writes = self.unclaimed.len(),
                "{NOBODY_LEFT}"
            );
        }
        true
    }
}

async fn sleep(clock: Clock, until: Option<Duration>) {
    match until {
        Some(time) => clock.until(time).await,
        None => std::future::pending().await,
    }
}
