//! The driver of a pipeline's transactions: it does the steps that [`commit`](super::commit) decides on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::commit::{Commits, End, Outcome, Step};
use super::driver::Room;
use super::endpoint_error::EndpointError;
use super::error::PipelineError;
use super::gate_keeper::{GateKeeper, PassedRecord};
use super::operator::Operator;
use super::position::Position;
use super::reason::Reason;
use super::transaction_positions::TransactionPositions;
use super::transaction_stats::TransactionCounts;
use super::transactions::{Transactions, Trouble};
use super::turns::{Held, Turns as _};
use crate::kafka::{KafkaError, Verdict};
use crate::random::entropy;
use crate::retry::{Backoff, RetryPolicy};

/// The longest delay after failures where no record waits.
const IDLE_DELAY: Duration = Duration::from_secs(1);

/// The time without records after which positions that moved without any are committed. Chosen: of markers of other
/// transactions there may be one a second, and this pipeline is not to commit as often.
const ADVANCED_AFTER: Duration = Duration::from_secs(5);

/// Does the steps of a pipeline's transactions.
pub(super) struct Transact<T> {
    transactions: T,
    gate: Arc<GateKeeper>,
    commits: Commits,
    /// The records of the source in the open transaction.
    held: Vec<(Position, Held)>,
    positions: TransactionPositions,
    /// The partitions of records that passed although they are about to go.
    closing: Vec<Arc<str>>,
    /// Positions were to be committed soon, and are in this transaction.
    is_due: bool,
    counts: Arc<TransactionCounts>,
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
            positions: TransactionPositions::default(),
            closing: Vec::new(),
            is_due: false,
            counts: Arc::default(),
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
                    if !self.wait(room).await {
                        return self.finished(room.sink);
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
                    // All that passed may be from before a rewind, while the source has no partition yet.
                    let is_due = self.gate.is_due() && self.transactions.has_partitions();
                    match self.held.is_empty() && !is_due {
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
                Step::Rewind => self.rewind().await,
            };
            if let Some(cause) = &self.cause
                && outcome.is_failure()
                // A producer that is worn has failed in nothing.
                && (step, outcome) != (Step::Begin, Outcome::Failed(Verdict::Renew))
            {
                tracing::debug!(?step, %cause, "a step of a transaction failed");
                room.sink.failed(cause.to_string());
            }
            let is_worn = self.transactions.is_worn();
            let now = room.in_flight.clock().now();
            let done = self.commits.done(now, outcome, is_worn);
            let next = done.is_ok().then(|| self.commits.step());
            self.counts.note(now, step, outcome, next);
            if let Err(end) = done {
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

    /// Waits until a record may pass, or positions are to be committed. Returns `false` once nothing will any more.
    async fn wait(&mut self, room: Room<'_>) -> bool {
        let clock = room.in_flight.clock();
        loop {
            tokio::select! {
                biased;
                comes = self.gate.ready() => {
                    if !comes || self.gate.has_ready() || self.transactions.has_partitions() {
                        return comes;
                    }
                    // There is nothing to commit: what is open by then is looked at below.
                    self.gate.take_due();
                    continue;
                }
                () = clock.until(clock.now() + ADVANCED_AFTER) => {}
            }
            // Aborted records and markers of transactions are passed by without a record. Were their positions never
            // committed, retention could take what is behind them, which would then look like a loss.
            let open = self.transactions.positions();
            if open.is_empty() {
                // The transactions that failed were of partitions that are other members' now.
                room.sink.succeeded();
            }
            if self.positions.has_advanced(&open) {
                self.gate.hurry();
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
            let longest = if is_idle { IDLE_DELAY } else { delay };
            tokio::time::sleep(delay.min(longest)).await;
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
            if !self.closing.is_empty() || self.gate.is_awaited() {
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
        if held.is_closing() && !self.closing.contains(position.partition()) {
            self.closing.push(Arc::clone(position.partition()));
        }
        self.positions.pass(&position);
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
        if self.commits.begins_search() {
            tracing::warn!(cause = %refused, "brokers refuse a record, which is looked for in smaller transactions");
        }
        self.positions.refused();
        // Alone in its transaction it is at fault, and no neighbor.
        let alone = match &self.held[..] {
            [(position, _)] if self.commits.is_sure() => Some(position.clone()),
            _ => None,
        };
        let is_known = alone.is_some();
        if let Some(position) = alone
            && !self.gate.refuse(position, Reason::of(refused))
        {
            self.counts.letter_refused();
            return Err(refused.clone());
        }
        Ok(Outcome::Refused {
            records: self.held.len(),
            is_known,
        })
    }

    async fn send_offsets(&mut self) -> Outcome {
        self.is_due |= self.gate.take_due();
        // Before they are listed: what comes between the two is committed once more at worst.
        self.positions.sending(self.transactions.positions());
        // A partition that was lost took its tracker along: where it has come back since, the first record of it is not
        // current, although the last one is.
        let mut ends: HashMap<&Arc<str>, [&Held; 2]> = HashMap::new();
        for (position, held) in &self.held {
            let ends = ends.entry(position.partition()).or_insert([held, held]);
            ends[1] = held;
        }
        let is_current = || ends.values().flatten().all(|held| held.is_current());
        let passed = self.positions.passed();
        let sent = self.transactions.send_offsets(passed, &is_current);
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
        self.gate.committed(self.positions.passed());
        self.held.drain(..).for_each(|(_, held)| held.done());
        self.positions.settle();
        self.clear();
        Outcome::Settled {
            is_past: !self.positions.has_suspects(),
        }
    }

    /// Drops what was held, and has the source begin at its committed positions.
    async fn rewind(&mut self) -> Outcome {
        // Where none is open yet, the next that opens asks for it.
        if std::mem::take(&mut self.is_due) && self.transactions.has_partitions() {
            self.gate.hurry();
        }
        // Of a transaction without records nothing is to come again.
        if !self.held.is_empty() {
            // First: what is dropped before would have the source go back by itself.
            let rewound = self.transactions.rewind().await;
            let outcome = self.outcome(rewound);
            if outcome != Outcome::Done {
                return outcome;
            }
            self.counts.rewound();
            self.positions.give_back();
        }
        self.clear();
        Outcome::Done
    }

    fn clear(&mut self) {
        // It was in the gate's list while the transaction before was open, and may have been taken from there.
        let mut leaving = std::mem::take(&mut self.closing);
        leaving.append(&mut self.gate.take_leaving());
        self.positions.end(&leaving);
        self.held.clear();
        self.gate.open();
    }

    /// Follows the end of all records.
    ///
    /// # Errors
    ///
    /// Where records were in a transaction that was aborted, and did not come again before the end: the next run is given them.
    /// So an end without an error says that all that passed the gate is published, or another member's.
    fn finished(&mut self, sink: &Operator) -> Result<(), PipelineError> {
        self.positions.end(&self.gate.take_leaving());
        let open = self.transactions.positions();
        let reason = self.positions.unpublished(&open, self.cause.as_ref());
        let unpublished = reason.map(|reason| KafkaError::NotCommitted {
            reason: reason.into(),
        });
        unpublished.map_or(Ok(()), |error| Err(failed(sink, error)))
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
                failed(sink, EndpointError::new(problem))
            }
        }
    }
}

fn failed(sink: &Operator, error: impl Into<EndpointError>) -> PipelineError {
    PipelineError::Sink {
        operator: Arc::clone(&sink.name),
        error: error.into(),
    }
}

#[path = "transact_driver.rs"]
mod as_driver;
#[cfg(test)]
#[path = "transact_step_tests.rs"]
mod step_tests;
#[cfg(test)]
#[path = "transact_tests.rs"]
mod tests;
