//! The driver of a pipeline's transactions: it does the steps that [`commit`](super::commit) decides on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;

use super::commit::{Commits, End, Outcome, Step};
use super::driver::{Driver, Room};
use super::endpoint_error::EndpointError;
use super::error::PipelineError;
use super::gate_keeper::{GateKeeper, PassedRecord};
use super::operator::Operator;
use super::position::Position;
use super::reason::Reason;
use super::transactions::{Positions, Transactions, Trouble};
use super::turns::{Held, Turns};
use crate::kafka::{KafkaError, Verdict};
use crate::random::entropy;
use crate::retry::{Backoff, RetryPolicy};

/// The longest delay after failures where no record waits.
const IDLE_DELAY: Duration = Duration::from_secs(1);

/// Does the steps of a pipeline's transactions.
pub(super) struct Transact<T> {
    transactions: T,
    gate: Arc<GateKeeper>,
    commits: Commits,
    /// The records of the source in the open transaction.
    held: Vec<(Position, Held)>,
    passed: Positions,
    /// The last positions of transactions whose records were refused.
    suspects: Positions,
    /// A record passed whose partition is about to go.
    has_closing: bool,
    /// Positions were to be committed soon, and are in this transaction.
    is_due: bool,
    backoff: Backoff,
    rng: fastrand::Rng,
    cause: Option<KafkaError>,
}

impl<T: Transactions> Transact<T> {
    pub(super) fn new(
        transactions: T,
        gate: Arc<GateKeeper>,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        Self {
            transactions,
            gate,
            commits: Commits::new(interval, timeout),
            held: Vec::new(),
            passed: Positions::new(),
            suspects: Positions::new(),
            has_closing: false,
            is_due: false,
            backoff: Backoff::new(&RetryPolicy::default()),
            rng: fastrand::Rng::with_seed(entropy()),
            cause: None,
        }
    }

    async fn drive(&mut self, room: Room<'_>) -> Result<(), PipelineError> {
        room.sink.report("transaction", self.backoff.longest());
        let opened = self.transactions.open().await;
        opened.map_err(|error| failed(room.sink, error))?;
        loop {
            let step = self.commits.step();
            #[cfg(feature = "test-util")]
            super::crash::reached(step);
            let outcome = match step {
                Step::Wait => {
                    if !self.gate.ready().await {
                        return Ok(());
                    }
                    self.delay().await;
                    Outcome::Done
                }
                Step::Begin => {
                    let begun = self.transactions.begin().await;
                    self.outcome(begun)
                }
                Step::Pass { until, most } => {
                    self.pass(room, until, most).await;
                    // What passed may have been of before a rewind, while the source has no partition yet.
                    match self.held.is_empty() && !self.gate.is_due() {
                        true => Outcome::Empty,
                        false => Outcome::Done,
                    }
                }
                Step::Deliver => {
                    self.gate.close();
                    let delivered = self.deliver().await;
                    delivered.map_err(|error| PipelineError::DeadLetter(error.into()))?
                }
                Step::SendOffsets => self.send_offsets().await,
                Step::Commit => {
                    let committed = self.transactions.commit().await;
                    self.outcome(committed)
                }
                Step::Settle => self.settle(room),
                Step::Abort => {
                    let aborted = self.transactions.abort().await;
                    self.outcome(aborted)
                }
                Step::Renew => {
                    self.delay().await;
                    let renewed = self.transactions.renew().await;
                    self.outcome(renewed)
                }
                Step::Rewind => self.rewind(room.sink).await?,
            };
            if let Some(cause) = &self.cause
                && !matches!(
                    outcome,
                    Outcome::Done | Outcome::Empty | Outcome::Settled { .. }
                )
            {
                room.sink.failed(cause.to_string());
            }
            let is_worn = self.transactions.is_worn();
            let now = room.in_flight.clock().now();
            if let Err(end) = self.commits.done(now, outcome, is_worn) {
                return Err(self.ended(room.sink, end));
            }
            if outcome == Outcome::Failed(Verdict::Again) {
                // A transaction may be open: it has no time for more.
                tokio::time::sleep(self.backoff.delay(1, &mut self.rng)).await;
            }
        }
    }

    fn outcome(&mut self, result: Result<(), Trouble>) -> Outcome {
        match result {
            Ok(()) => Outcome::Done,
            Err(Trouble { verdict, error }) => {
                self.cause = Some(error);
                Outcome::Failed(verdict)
            }
        }
    }

    /// Waits after failures, the longer the more there were since the last commit.
    async fn delay(&mut self) {
        let failures = self.commits.failures();
        if failures > 0 {
            let delay = self.backoff.delay(failures, &mut self.rng);
            // A record may come soon, and failed transactions without any say nothing of it.
            let is_idle = self.held.is_empty() && !self.gate.has_ready();
            let delay = if is_idle {
                delay.min(IDLE_DELAY)
            } else {
                delay
            };
            tokio::time::sleep(delay).await;
        }
    }

    /// Lets records pass, until the transaction is to be cut.
    async fn pass(&mut self, room: Room<'_>, until: Duration, most: usize) {
        let clock = room.in_flight.clock();
        loop {
            while let Some(passed) = self.gate.pass() {
                self.produce(room, passed).await;
                if self.held.len() >= most || clock.now() >= until {
                    return;
                }
            }
            if self.has_closing || self.gate.is_awaited() {
                return;
            }
            tokio::select! {
                biased;
                () = self.gate.changed() => {}
                () = clock.until(until) => return,
            }
        }
    }

    async fn produce(&mut self, room: Room<'_>, passed: PassedRecord) {
        let PassedRecord {
            position,
            outputs,
            held,
        } = passed;
        if room.in_flight.leave(held.bytes) {
            room.flow.notify_one();
        }
        if !held.is_current() {
            // The record's next reader makes the same of it.
            return;
        }
        held.release();
        self.has_closing |= held.is_closing();
        let partition = Arc::clone(position.partition());
        self.passed.insert(partition, position.clone());
        self.held.push((position, held));
        for record in outputs {
            self.transactions.produce(record).await;
        }
    }

    /// Waits for the reports of what was produced.
    ///
    /// # Errors
    ///
    /// A letter that brokers refuse as well as its record: there is no other place for it.
    async fn deliver(&mut self) -> Result<Outcome, KafkaError> {
        let failures = match self.transactions.delivered().await {
            Ok(failures) => failures,
            Err(trouble) => return Ok(self.outcome(Err(trouble))),
        };
        let Some(first) = failures.first() else {
            return Ok(Outcome::Done);
        };
        if let Some(topic) = failures.iter().find(|error| error.is_topic()) {
            // Neither its records nor time are at fault.
            self.cause = Some(topic.clone());
            return Ok(Outcome::Failed(Verdict::Stop));
        }
        let Some(refused) = failures.iter().find(|error| error.is_record()) else {
            self.cause = Some(first.clone());
            return Ok(Outcome::Undelivered);
        };
        self.cause = Some(refused.clone());
        for (partition, position) in &self.passed {
            let suspect = self.suspects.entry(Arc::clone(partition));
            let suspect = suspect.or_insert_with(|| position.clone());
            if *suspect < *position {
                suspect.clone_from(position);
            }
        }
        // Alone in its transaction it is at fault, and no neighbor.
        let alone = match &self.held[..] {
            [(position, _)] if self.commits.is_sure() => Some(position.clone()),
            _ => None,
        };
        let is_known = alone.is_some();
        if let Some(position) = alone
            && !self.gate.refuse(position, Reason::of(refused))
        {
            return Err(refused.clone());
        }
        Ok(Outcome::Refused {
            records: self.held.len(),
            is_known,
        })
    }

    async fn send_offsets(&mut self) -> Outcome {
        self.is_due |= self.gate.take_due();
        // A partition that was lost took its tracker along: where it has come back since, the first record of it is not
        // current, although the last one is.
        let mut ends: HashMap<&Arc<str>, [&Held; 2]> = HashMap::new();
        for (position, held) in &self.held {
            let ends = ends.entry(position.partition()).or_insert([held, held]);
            ends[1] = held;
        }
        let is_current = || ends.values().flatten().all(|held| held.is_current());
        let sent = self.transactions.send_offsets(&self.passed, &is_current);
        let sent = sent.await;
        drop(ends);
        self.outcome(sent)
    }

    /// Acknowledges what was committed, and opens the gate.
    fn settle(&mut self, room: Room<'_>) -> Outcome {
        room.sink.succeeded();
        (self.cause, self.is_due) = (None, false);
        let acknowledged = &room.source.counts.acknowledged;
        acknowledged.fetch_add(self.held.len() as u64, Ordering::Relaxed);
        let passed = &self.passed;
        self.suspects
            .retain(|partition, last| passed.get(partition).is_none_or(|passed| *passed < *last));
        self.gate.committed(passed);
        self.held.drain(..).for_each(|(_, held)| held.done());
        self.clear();
        Outcome::Settled {
            is_past: self.suspects.is_empty(),
        }
    }

    /// Drops what was held, and has the source begin at its committed positions.
    ///
    /// # Errors
    ///
    /// Where nothing comes again, since the pipeline stops: what was held is not published.
    async fn rewind(&mut self, sink: &Operator) -> Result<Outcome, PipelineError> {
        // Where none is open yet, the next that opens asks for it.
        if std::mem::take(&mut self.is_due) && self.transactions.has_partitions() {
            self.gate.hurry();
        }
        // Of a transaction without records nothing is to come again.
        if !self.held.is_empty() {
            if self.gate.is_stopping() {
                let cause = self.cause.take().unwrap_or(KafkaError::Closed);
                return Err(failed(sink, cause));
            }
            // First: what is dropped before would have the source go back by itself.
            let rewound = self.transactions.rewind().await;
            let outcome = self.outcome(rewound);
            if outcome != Outcome::Done {
                return Ok(outcome);
            }
        }
        self.clear();
        Ok(Outcome::Done)
    }

    fn clear(&mut self) {
        for partition in self.gate.take_leaving() {
            self.suspects.remove(&partition);
        }
        self.held.clear();
        self.passed.clear();
        self.has_closing = false;
        self.gate.open();
    }

    fn ended(&mut self, sink: &Operator, end: End) -> PipelineError {
        let cause = self.cause.take().unwrap_or(KafkaError::Closed);
        match end {
            End::Stopped => failed(sink, cause),
            End::FencedAgain => {
                let id = self.transactions.id();
                let problem = format!(
                    "the transactional id {id:?} is another producer's as well: give each instance of the application a name of its own"
                );
                PipelineError::Sink {
                    operator: Arc::clone(&sink.name),
                    error: EndpointError::new(problem),
                }
            }
        }
    }
}

fn failed(sink: &Operator, error: KafkaError) -> PipelineError {
    PipelineError::Sink {
        operator: Arc::clone(&sink.name),
        error: error.into(),
    }
}

impl<T: Transactions> Driver for Transact<T> {
    fn turns(&self) -> Arc<dyn Turns> {
        Arc::clone(&self.gate) as Arc<dyn Turns>
    }

    fn set_group(&mut self, group: u32) {
        self.transactions.set_group(group);
    }

    fn run<'a>(&'a mut self, room: Room<'a>) -> BoxFuture<'a, Result<(), PipelineError>> {
        Box::pin(self.drive(room))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.transactions.close().await;
            self.held.clear();
        })
    }
}

#[cfg(test)]
#[path = "transact_tests.rs"]
mod tests;
