//! Tasks outside the worker's loop: requests, descriptions, dead letters.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use tracing::Instrument;

use super::Running;
use crate::capacity::Consumption;
use crate::health::LastError;
use crate::item::{self, IndexShape};
use crate::retry::{ErrorClass, ServiceError};
use crate::sink::core::{BatchOutcome, DeadLettered, Described, Request};
use crate::sink::dead_letter::{FailedWrite, PANICKED};
use crate::sink::describing::table_capacity;
use crate::sink::error::StopReason;
use crate::transport::{Consumed, Operation, TableDescription, parse_batch, parse_single};

/// The result of a task.
pub(super) enum Done {
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

impl Running {
    pub(super) fn spawn(&mut self, request: Request) {
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
                items,
                took: clock.now().saturating_sub(started),
                body,
            }
        };
        let lost = Done::Answer {
            id,
            operation,
            items,
            took: Duration::ZERO,
            body: Err(ServiceError::lost()),
        };
        if span.is_disabled() {
            self.start(call, lost);
        } else {
            self.start(call.instrument(span), lost);
        }
    }

    /// Spawns a task that always has a result: it is `lost` if the user's code panics in it,
    /// running or dropped (their parts of the client, their handler, their subscriber).
    pub(super) fn start(&mut self, work: impl Future<Output = Done> + Send + 'static, lost: Done) {
        #[expect(
            clippy::redundant_async_block,
            reason = "the block drops the work while panics are still caught"
        )]
        let caught = AssertUnwindSafe(async move { work.await }).catch_unwind();
        self.tasks
            .spawn(async move { caught.await.unwrap_or(lost) });
    }

    /// Describes the table once, to learn whether it is as it was when it was opened.
    pub(super) fn describe(&mut self, now: Duration) {
        let transport = self.worker.transport.clone();
        let shape = self.worker.shape.get();
        let Some(permit) = self.worker.requests.try_describe() else {
            self.worker.core.postpone_description(now);
            return;
        };
        let describing = async move {
            let _permit = permit;
            let described = match transport.describe().await {
                Ok(found) if found.shape.keys() == shape.keys() => Described::Unchanged,
                Ok(_) => Described::KeysChanged(ServiceError::keys_changed()),
                Err(error) if error.is_missing() => Described::Missing(error),
                Err(error) if error.is_for_action() => Described::Denied,
                Err(error) => Described::Failed(error),
            };
            Done::Described(described)
        };
        self.start(
            describing,
            Done::Described(Described::Failed(ServiceError::lost())),
        );
    }

    /// Describes the table for its capacity. Where that fails, the known capacity stays.
    pub(super) fn refresh(&mut self) {
        let Some(permit) = self.worker.requests.try_describe() else {
            // The next refresh may find one.
            self.worker.core.refreshed();
            return;
        };
        let transport = self.worker.transport.clone();
        let describing = async move {
            let _permit = permit;
            Done::Capacity(transport.describe().await)
        };
        self.start(describing, Done::Capacity(Err(ServiceError::lost())));
    }

    fn described(&mut self, now: Duration, described: Result<TableDescription, ServiceError>) {
        match described {
            Ok(description) => {
                self.worker
                    .reporter
                    .succeeded(Operation::DescribeTable.name());
                if self.worker.shape.follow(&description.shape) {
                    let table = &*self.worker.table;
                    tracing::info!(table, "the indexes of table {table:?} have changed");
                }
                if self.worker.core.deny_describing(false) {
                    tracing::info!(
                        table = &*self.worker.table,
                        "the table may be described again"
                    );
                }
                let capacity = table_capacity(&description, &self.worker.shape.get());
                self.worker.core.set_capacity(now, capacity);
            }
            Err(error) if error.is_for_action() => {
                if self.worker.core.deny_describing(true) {
                    tracing::warn!(
                        table = &*self.worker.table,
                        %error,
                        "the table may not be described (dynamodb:DescribeTable): what is known of its capacity \
                         stays, and the rest is found out by trying"
                    );
                }
            }
            Err(error) => self.failed(now, Operation::DescribeTable.name(), &error),
        }
    }

    pub(super) fn dead_letter(&mut self, now: Duration, letter: DeadLettered) {
        let DeadLettered { ticket, outcome } = letter;
        match (&self.worker.dead_letters, FailedWrite::of(&outcome)) {
            (Some(handler), Some(letter)) => {
                let handler = handler.clone();
                let handling = async move {
                    let result = handler.handle(letter).await;
                    Done::DeadLetter { ticket, result }
                };
                let result = Err(PANICKED.to_owned());
                self.start(handling, Done::DeadLetter { ticket, result });
            }
            _ => self.worker.core.dead_lettered(now, ticket, false),
        }
    }

    pub(super) fn done(&mut self, now: Duration, done: Result<Done, tokio::task::JoinError>) {
        // No task panics, see `start`, and none is aborted while this runs.
        let Ok(done) = done else {
            return;
        };
        match done {
            Done::Answer {
                id,
                operation,
                items,
                took,
                body,
            } => {
                self.answer(now, id, (operation, items), took, body);
            }
            Done::Capacity(described) => {
                self.worker.core.refreshed();
                self.described(now, described);
            }
            Done::Described(described) => {
                match &described {
                    Described::Failed(error) | Described::Missing(error) => {
                        self.failed(now, Operation::DescribeTable.name(), error);
                    }
                    Described::Unchanged | Described::KeysChanged(_) => {
                        self.worker
                            .reporter
                            .succeeded(Operation::DescribeTable.name());
                    }
                    Described::Denied => {}
                }
                self.worker.core.on_described(now, described);
                if !self.worker.core.is_unproven() {
                    let name = Operation::DescribeTable.name();
                    self.worker.reporter.dismissed(name);
                }
            }
            Done::DeadLetter { ticket, result } => {
                self.worker.core.dead_lettered(now, ticket, result.is_ok());
                if let Err(error) = result {
                    self.stop(StopReason::DeadLetter(error));
                }
            }
        }
    }

    pub(super) fn answer(
        &mut self,
        now: Duration,
        id: u64,
        (operation, items): (Operation, usize),
        took: Duration,
        body: Result<Bytes, ServiceError>,
    ) {
        self.worker.requests.note_answer();
        if operation == Operation::BatchWriteItem {
            let answer = body.and_then(|body| self.read_batch(&body));
            let unprocessed = answer.as_ref().map(|answer| answer.unprocessed.len());
            if unprocessed.is_ok_and(|unprocessed| unprocessed > 0) {
                self.publish_soon();
            }
            let result = unprocessed.map(|unprocessed| unprocessed < items);
            self.note_answer(now, operation, took, result);
            self.worker.core.on_batch(now, id, answer);
        } else {
            let answer = body.and_then(|body| {
                let consumed = parse_single(&body)?;
                Ok(consumed.map(|consumed| self.consumed(&consumed)))
            });
            self.note_answer(now, operation, took, answer.as_ref().map(|_| true));
            self.worker.core.on_call(now, id, answer);
        }
    }

    /// Counts and reports an answer, in which some writes were carried out or none.
    fn note_answer(
        &mut self,
        now: Duration,
        operation: Operation,
        took: Duration,
        result: Result<bool, &ServiceError>,
    ) {
        let name = operation.name();
        let failure = result.err().filter(|error| !error.is_failed_condition());
        self.worker.meter.answered(took, failure.is_none());
        if failure.is_some() {
            self.publish_soon();
        }
        match (result, failure) {
            (Ok(false), _) => self.worker.reporter.starved(now, name),
            (_, Some(error)) => {
                let verdict = matches!(error.class(), ErrorClass::Invalid | ErrorClass::Permanent);
                if !verdict {
                    self.worker.reporter.failed(now, name, error);
                }
                self.note_error(name, error);
            }
            _ => self.worker.reporter.succeeded(name),
        }
    }

    /// Notes a request that failed.
    fn failed(&mut self, now: Duration, operation: &'static str, error: &ServiceError) {
        self.worker.reporter.failed(now, operation, error);
        self.note_error(operation, error);
    }

    fn note_error(&mut self, operation: &'static str, error: &ServiceError) {
        self.worker.meter.stats.last_error = Some(LastError {
            operation,
            cause: error.to_string(),
            at: self.worker.clock.time_of_day(),
        });
    }

    pub(super) fn read_batch(&mut self, body: &[u8]) -> Result<BatchOutcome, ServiceError> {
        let answer = parse_batch(body)?;
        let shape = self.worker.shape.get();
        let keys = shape.keys();
        let unprocessed: Result<_, _> = answer
            .unprocessed
            .iter()
            .map(|write| item::key_of_json(write.json, keys))
            .collect();
        let unprocessed = unprocessed
            .map_err(|_| ServiceError::garbled("a write left unprocessed has no key"))?;
        let consumed = answer.consumed.as_ref();
        let consumed = consumed.map(|consumed| self.consumed(consumed));
        Ok(BatchOutcome {
            unprocessed,
            consumed,
        })
    }

    /// Counts the consumed units, and returns them by the positions of the indexes. Local ones draw
    /// on the table.
    fn consumed(&mut self, consumed: &Consumed) -> Consumption {
        self.worker.meter.consumed(consumed.total);
        let mut consumption = Consumption {
            table: consumed.table_units,
            indexes: Vec::new(),
        };
        let shape = self.worker.shape.get();
        for (name, units) in &consumed.indexes {
            let mut shapes = shape.indexes().iter();
            match shapes.position(|index| index.name() == name) {
                Some(at) if shape.indexes().get(at).is_some_and(IndexShape::is_local) => {
                    consumption.table += units;
                }
                Some(at) => consumption.indexes.push((at, *units)),
                None => {}
            }
        }
        consumption
    }
}
