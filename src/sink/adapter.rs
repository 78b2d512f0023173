//! The `futures::Sink` of a table, so that `stream.forward(sink)` works.
//!
//! `start_send` encodes the record and parks it; the next `poll_ready` brings it into the buffer.
//! So at most one record stands outside the buffer's bounds, and `poll_ready` is the backpressure.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures::Sink;
use futures::future::BoxFuture;
use serde::Serialize;

use super::error::{DrainError, SubmitError};
use super::outcome::Outcome;
use super::submit::Submit;
use super::table::TableSink;
use super::write::Write;

/// What a [`RecordSink`] fails with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordSinkError {
    /// A record was not accepted. The sink may be used on: the others are not affected.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// Earlier records failed, and no dead-letter handler has taken them.
    #[error(
        "{} earlier records were not written; the first: {}",
        outcomes.len(),
        outcomes.first().map(ToString::to_string).unwrap_or_default()
    )]
    NotWritten {
        /// Their outcomes, records included; each is reported once.
        outcomes: Vec<Outcome>,
    },
    /// Flushing or closing found failed writes.
    #[error(transparent)]
    Drain(#[from] DrainError),
}

/// Outcomes of the writes that went through one [`RecordSink`].
#[derive(Debug)]
pub(super) struct Verdicts {
    failed: Mutex<Vec<Outcome>>,
}

/// How many failures an adapter holds for its owner; further ones are reported by `flush` and
/// `close` of the table.
const HELD_FAILURES: usize = 100;

impl Verdicts {
    pub(super) fn take(&self, outcome: Outcome) -> Result<(), Outcome> {
        let failed = matches!(
            outcome,
            Outcome::Rejected { .. } | Outcome::Unknown { .. } | Outcome::Unwritten { .. }
        );
        if !failed {
            return Ok(());
        }
        let mut held = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= HELD_FAILURES {
            return Err(outcome);
        }
        held.push(outcome);
        Ok(())
    }

    fn held(&self) -> Vec<Outcome> {
        std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fails with all that is held, if anything is.
    fn report(&self) -> Result<(), RecordSinkError> {
        let outcomes = self.held();
        if outcomes.is_empty() {
            Ok(())
        } else {
            Err(RecordSinkError::NotWritten { outcomes })
        }
    }
}

/// A table as a [`futures::Sink`] of typed records, each one a put.
///
/// - `poll_ready` waits for room, and reports the records that failed since, save those that a
///   dead-letter handler has taken.
/// - `start_send` encodes the record; one that breaks a limit is refused there.
/// - `poll_flush` resolves when every record sent before has its outcome.
/// - `poll_close` flushes. The table stays open for its other handles.
///
/// A record whose condition failed, or that was superseded, is no failure.
///
/// # Cancel safety
///
/// Dropping it leaves accepted records to the table; only a record that was parked by `start_send`
/// and not yet brought in by `poll_ready` or `poll_flush` is dropped with it.
pub struct RecordSink<T> {
    table: TableSink,
    verdicts: Arc<Verdicts>,
    parked: Option<Submit>,
    flush: Option<BoxFuture<'static, Result<(), DrainError>>>,
    make: Make<T>,
    record: PhantomData<fn(T)>,
}

type Make<T> = Box<dyn for<'a> Fn(&'a TableSink, &T) -> Write<'a> + Send>;

impl<T: Serialize + 'static> RecordSink<T> {
    pub(super) fn puts(table: TableSink) -> Self {
        Self::new(table, |table, record| table.put(record))
    }
}

impl<T> RecordSink<T> {
    pub(super) fn new(
        table: TableSink,
        make: impl for<'a> Fn(&'a TableSink, &T) -> Write<'a> + Send + 'static,
    ) -> Self {
        Self {
            table,
            verdicts: Arc::new(Verdicts {
                failed: Mutex::default(),
            }),
            parked: None,
            flush: None,
            make: Box::new(make),
            record: PhantomData,
        }
    }

    fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecordSinkError>> {
        if let Some(parked) = &mut self.parked {
            let entered = ready!(parked.poll_enter(cx));
            self.parked = None;
            entered?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Sink<T> for RecordSink<T> {
    type Error = RecordSinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.verdicts.report()?;
        self.poll_parked(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, record: T) -> Result<(), Self::Error> {
        if self.parked.is_some() {
            // Called without `poll_ready` having said so: the parked record must not be lost.
            return Err(SubmitError::Full.into());
        }
        let submission = (self.make)(&self.table, &record).prepare()?;
        let verdicts = Arc::downgrade(&self.verdicts);
        self.parked = Some(self.table.enter_for_adapter(submission, verdicts));
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.poll_parked(cx))?;
        if self.flush.is_none() {
            let table = self.table.clone();
            self.flush = Some(Box::pin(async move { table.flush().await }));
        }
        if let Some(flush) = &mut self.flush {
            let flushed = ready!(flush.as_mut().poll(cx));
            self.flush = None;
            if let Err(error) = flushed {
                return Poll::Ready(Err(error.with(self.verdicts.held()).into()));
            }
            self.verdicts.report()?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_flush(cx)
    }
}

/// What was not reported goes to the table, for its next flush or close.
impl<T> Drop for RecordSink<T> {
    fn drop(&mut self) {
        self.table.leave_unclaimed(self.verdicts.held());
    }
}

impl<T> fmt::Debug for RecordSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordSink")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
