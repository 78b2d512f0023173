//! The task that owns a table's state.
//!
//! One task per table drives the pure [`Core`]: it takes in what passed the gate, sends the
//! requests that are due (each a task of its own, so that signing and I/O use all cores), feeds
//! the answers back, tells the outcomes, and frees their room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::clock::Clock;
use super::core::{
    BatchOutcome, Core, DeadLettered, Described, Request, Saved, Settled, Submission,
};
use super::dead_letter::{DeadLetter, DeadLetterHandler};
use super::error::{DrainError, StopReason, SubmitError};
use super::gate::{Charge, End, Gate};
use super::outcome::Outcome;
use super::receipt::Completion;
use super::stats::{Meter, Stats};
use crate::item::{self, TableShape};
use crate::retry::{Backoff, ErrorClass, ServiceError};
use crate::transport::{Operation, Transport, parse_batch, parse_describe, parse_single};

/// What passes the gate.
#[derive(Debug)]
pub(super) enum Message {
    Write(Submission<Completion>),
    Flush(Flush),
    /// Failures that an adapter held when it was dropped.
    Unclaimed(Vec<Outcome>),
    Snapshot(oneshot::Sender<Vec<Saved>>),
    Close(Flush),
    Abort(oneshot::Sender<Vec<Outcome>>),
}

/// The answer to a flush or a close.
pub(super) type Flush = oneshot::Sender<Result<(), DrainError>>;

/// How many failed writes whose receipts were dropped may wait for a flush or a close before the
/// table stops taking more.
const UNCLAIMED_LIMIT: usize = 1_000;

/// What the tasks of a worker come back with.
enum Done {
    Answer {
        id: u64,
        operation: Operation,
        took: Duration,
        body: Result<Bytes, ServiceError>,
    },
    Described(Described),
    DeadLetter {
        ticket: (usize, u64),
        result: Result<(), String>,
    },
}

/// All that a worker is made of.
pub(super) struct Worker {
    pub(super) table: Arc<str>,
    pub(super) shape: Arc<TableShape>,
    pub(super) core: Core<Completion, Flush>,
    pub(super) gate: Arc<Gate<Message>>,
    pub(super) transport: Transport,
    pub(super) clock: Clock,
    pub(super) backoff: Backoff,
    pub(super) rng: fastrand::Rng,
    pub(super) dead_letters: Option<DeadLetterHandler>,
    pub(super) meter: Meter,
    pub(super) stats: Arc<Mutex<Stats>>,
}

/// What a running worker holds beside its parts.
struct Running {
    worker: Worker,
    tasks: JoinSet<Done>,
    /// Requests and dead letters by task, for the case that one of their tasks panics.
    sent: HashMap<tokio::task::Id, Lost>,
    inbox: Vec<Message>,
    settled: Vec<Settled<Completion>>,
    freed: Vec<Charge>,
    unclaimed: Vec<Outcome>,
    stopped: Option<StopReason>,
    closing: Vec<Flush>,
}

/// What is lost with a task that panics.
enum Lost {
    Request { id: u64, operation: Operation },
    Describe,
    DeadLetter { ticket: (usize, u64) },
}

/// Who takes the writes that failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taker {
    /// The dead-letter handler has taken them.
    Handler,
    /// There is no handler, or it failed: their callers, or else the next flush or close.
    Caller,
}

impl Taker {
    fn of(worker: &Worker) -> Self {
        match worker.dead_letters {
            Some(_) => Self::Handler,
            None => Self::Caller,
        }
    }
}

impl Worker {
    /// Runs until the table is closed or aborted, or all its handles are dropped and all accepted
    /// writes have their outcome.
    pub(super) async fn run(self) {
        let mut running = Running {
            worker: self,
            tasks: JoinSet::new(),
            sent: HashMap::new(),
            inbox: Vec::new(),
            settled: Vec::new(),
            freed: Vec::new(),
            unclaimed: Vec::new(),
            stopped: None,
            closing: Vec::new(),
        };
        running.run().await;
        running.worker.gate.end(End::InOrder);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The runtime was shut down, if it did not end in order: whoever waits must hear of it.
        self.worker.gate.end(End::Lost);
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
            let wake = self.worker.core.wake_at(now);
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next_with_id() => {
                    let now = self.worker.clock.now();
                    self.done(now, done);
                    while let Some(done) = self.tasks.try_join_next_with_id() {
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
                Message::Unclaimed(outcomes) => {
                    for outcome in outcomes {
                        self.unclaimed(outcome);
                    }
                }
                Message::Snapshot(reply) => {
                    // Nobody to hear it: the caller gave up, nothing is lost.
                    let _ = reply.send(self.worker.core.snapshot());
                }
                Message::Close(reply) => {
                    self.closing.push(reply);
                    self.worker.core.drain();
                }
                Message::Abort(reply) => {
                    self.abort(now, reply);
                    // Their senders hear of it once the gate says how this ended.
                    self.inbox.extend(messages);
                    return true;
                }
            }
        }
        drop(messages);
        self.inbox = inbox;
        false
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
            self.complete(now, settled, Taker::Caller);
        }
        self.free();
        for flush in self.worker.core.take_flushed() {
            let _ = flush.send(Err(DrainError::Closed));
        }
        for close in self.closing.drain(..) {
            let _ = close.send(Err(DrainError::Closed));
        }
        // If the caller of abort is gone, the receipts still have the records.
        let _ = reply.send(handed_back);
    }

    /// Sends all that is due.
    fn send(&mut self, now: Duration) {
        while let Some(request) = self.worker.core.next_request(now) {
            self.spawn(request);
        }
        if self.worker.core.take_describe() {
            let describe = self.describe();
            let task = self.tasks.spawn(describe);
            self.sent.insert(task.id(), Lost::Describe);
        }
        for letter in self.worker.core.take_dead_letters() {
            self.dead_letter(now, letter);
        }
    }

    fn spawn(&mut self, request: Request) {
        let Request {
            id,
            operation,
            body,
            items,
            attempt,
        } = request;
        self.worker.meter.sent(items, body.len());
        let transport = self.worker.transport.clone();
        let clock = self.worker.clock;
        let span = tracing::debug_span!(
            "dynamodb.write",
            table = &*self.worker.table,
            operation = operation.name(),
            items,
            bytes = body.len(),
            attempt,
            error = tracing::field::Empty,
        );
        let call = async move {
            let started = clock.now();
            let body = transport.call(operation, body).await;
            if let Err(error) = &body {
                tracing::Span::current().record("error", error.code());
                tracing::debug!(%error, "request failed");
            }
            Done::Answer {
                id,
                operation,
                took: clock.now().saturating_sub(started),
                body,
            }
        };
        let task = if span.is_disabled() {
            self.tasks.spawn(call)
        } else {
            self.tasks.spawn(call.instrument(span))
        };
        self.sent.insert(task.id(), Lost::Request { id, operation });
    }

    /// Describes the table, for as long as that fails for a reason that may pass.
    fn describe(&mut self) -> impl Future<Output = Done> + Send + use<> {
        let transport = self.worker.transport.clone();
        let shape = Arc::clone(&self.worker.shape);
        let table = Arc::clone(&self.worker.table);
        let backoff = self.worker.backoff.clone();
        let mut rng = self.worker.rng.fork();
        async move {
            let mut attempt = 0;
            let described = loop {
                attempt += 1;
                let error = match describe(&transport, &table).await {
                    Ok(found) if found.keys() == shape.keys() => break Described::Unchanged,
                    Ok(_) => break Described::Changed(ServiceError::keys_changed()),
                    Err(error) => error,
                };
                match error.class() {
                    ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Ambiguous => {
                        tokio::time::sleep(backoff.delay(attempt, &mut rng)).await;
                    }
                    ErrorClass::Fatal if error.is_missing_table() => {
                        break Described::Changed(error);
                    }
                    // It may not be described: nothing speaks for the records.
                    ErrorClass::Fatal | ErrorClass::Permanent => break Described::Unchanged,
                }
            };
            Done::Described(described)
        }
    }

    fn dead_letter(&mut self, now: Duration, letter: DeadLettered) {
        let DeadLettered { ticket, outcome } = letter;
        match (&self.worker.dead_letters, DeadLetter::of(&outcome)) {
            (Some(handler), Some(letter)) => {
                let handled = handler.clone().handle(letter);
                let task = self.tasks.spawn(async move {
                    let result = handled.await.map_err(|error| error.to_string());
                    Done::DeadLetter { ticket, result }
                });
                self.sent.insert(task.id(), Lost::DeadLetter { ticket });
            }
            _ => self.worker.core.dead_lettered(now, ticket),
        }
    }

    fn done(
        &mut self,
        now: Duration,
        done: Result<(tokio::task::Id, Done), tokio::task::JoinError>,
    ) {
        let done = match done {
            Ok((task, done)) => {
                self.sent.remove(&task);
                done
            }
            Err(error) => match self.sent.remove(&error.id()) {
                Some(Lost::Request { id, operation }) => {
                    let body = Err(ServiceError::lost());
                    Done::Answer {
                        id,
                        operation,
                        took: Duration::ZERO,
                        body,
                    }
                }
                Some(Lost::Describe) => Done::Described(Described::Unchanged),
                Some(Lost::DeadLetter { ticket }) => Done::DeadLetter {
                    ticket,
                    result: Err("it panicked".to_owned()),
                },
                None => return,
            },
        };
        match done {
            Done::Answer {
                id,
                operation,
                took,
                body,
            } => {
                self.answer(now, id, operation, took, body);
            }
            Done::Described(described) => self.worker.core.on_described(now, described),
            Done::DeadLetter { ticket, result } => {
                // Those settled before are told apart from this one, which may have no taker.
                self.settle(now, Taker::of(&self.worker));
                self.worker.core.dead_lettered(now, ticket);
                if let Err(error) = result {
                    self.settle(now, Taker::Caller);
                    self.stop(StopReason::DeadLetter(error));
                }
            }
        }
    }

    fn answer(
        &mut self,
        now: Duration,
        id: u64,
        operation: Operation,
        took: Duration,
        body: Result<Bytes, ServiceError>,
    ) {
        self.worker.meter.answered(took, body.is_ok());
        if operation == Operation::BatchWriteItem {
            let answer = body.and_then(|body| self.read_batch(&body));
            self.worker.core.on_batch(now, id, answer);
        } else {
            let answer = body.and_then(|body| {
                if let Some(consumed) = parse_single(&body)? {
                    self.worker.meter.consumed(consumed.total);
                }
                Ok(())
            });
            self.worker.core.on_call(now, id, answer);
        }
    }

    fn read_batch(&mut self, body: &[u8]) -> Result<BatchOutcome, ServiceError> {
        let answer = parse_batch(body)?;
        let keys = self.worker.shape.keys();
        let unprocessed: Result<_, _> = answer
            .unprocessed
            .iter()
            .map(|write| item::key_of_json(write.json, keys))
            .collect();
        let unprocessed = unprocessed
            .map_err(|_| ServiceError::garbled("a write left unprocessed has no key"))?;
        if let Some(consumed) = &answer.consumed {
            self.worker.meter.consumed(consumed.total);
        }
        Ok(BatchOutcome { unprocessed })
    }

    /// Tells the outcomes and frees their room.
    fn tell(&mut self, now: Duration) {
        if let Some(error) = self.worker.core.failure() {
            self.worker.gate.close(SubmitError::Failed(error.clone()));
        }
        self.settle(now, Taker::of(&self.worker));
        self.free();
        for flush in self.worker.core.take_flushed() {
            self.report(flush);
        }
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
        *self
            .worker
            .stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = meter.stats;
    }

    /// Tells the outcomes that there are.
    fn settle(&mut self, now: Duration, taker: Taker) {
        self.worker.core.take_settled(&mut self.settled);
        for settled in std::mem::take(&mut self.settled) {
            if let Some(outcome) = self.complete(now, settled, taker) {
                self.unclaimed(outcome);
            }
        }
    }

    /// Keeps a failure for the next flush or close.
    fn unclaimed(&mut self, outcome: Outcome) {
        self.unclaimed.push(outcome);
        if self.unclaimed.len() >= UNCLAIMED_LIMIT {
            self.stop(StopReason::Unclaimed(self.unclaimed.len()));
        }
    }

    /// Tells one outcome. Gives it back if it is a failure that nobody has heard of.
    fn complete(
        &mut self,
        now: Duration,
        settled: Settled<Completion>,
        taker: Taker,
    ) -> Option<Outcome> {
        let Settled {
            completion,
            outcome,
            accepted_at,
        } = settled;
        self.worker
            .meter
            .settled(&outcome, now.saturating_sub(accepted_at));
        self.freed.push(completion.charge);
        let handled = taker == Taker::Handler && outcome.is_dead_letter();
        // Where the receipt was dropped, a failure must not vanish with it.
        let unheard = completion.complete(outcome, handled).err()?;
        (!handled && unheard.record().is_some()).then_some(unheard)
    }

    fn free(&mut self) {
        if !self.freed.is_empty() {
            self.worker.gate.release(self.freed.drain(..));
        }
    }

    /// Takes no more writes; what was accepted is carried out.
    fn stop(&mut self, reason: StopReason) {
        if self.stopped.is_some() {
            return;
        }
        tracing::error!(table = &*self.worker.table, %reason, "the table's sink has stopped");
        self.worker.gate.close(SubmitError::Stopped(reason.clone()));
        self.stopped = Some(reason);
    }

    /// Answers a flush or a close that is done. If its caller has given up, what it would have
    /// heard is kept for the next one.
    fn report(&mut self, reply: Flush) {
        let result = self.drained();
        if let Err(Err(unheard)) = reply.send(result) {
            self.unclaimed = unheard.into_outcomes();
        }
    }

    /// What a flush or a close that is done has to report.
    fn drained(&mut self) -> Result<(), DrainError> {
        let table = self.worker.table.to_string();
        let outcomes = std::mem::take(&mut self.unclaimed);
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
            self.log_unclaimed();
            return true;
        }
        if self.worker.gate.is_orphaned() {
            self.log_unclaimed();
            return true;
        }
        false
    }

    /// The last word on failures that nobody is left to hear of.
    fn log_unclaimed(&self) {
        if !self.unclaimed.is_empty() {
            tracing::error!(
                table = &*self.worker.table,
                writes = self.unclaimed.len(),
                "writes failed, and nobody is left to hear of it"
            );
        }
    }
}

async fn sleep(clock: Clock, until: Option<Duration>) {
    match until {
        Some(time) => clock.until(time).await,
        None => std::future::pending().await,
    }
}

/// Describes a table once.
pub(super) async fn describe(
    transport: &Transport,
    table: &str,
) -> Result<TableShape, ServiceError> {
    let name = serde_json::Value::from(table).to_string();
    let body = Bytes::from(format!("{{\"TableName\":{name}}}"));
    let body = transport.call(Operation::DescribeTable, body).await?;
    Ok(parse_describe(&body)?.shape)
}
