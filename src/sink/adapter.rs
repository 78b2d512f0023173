//! The `futures::Sink` of a table, so that `stream.forward(sink)` works.
//!
//! `start_send` encodes the record and parks it; the next `poll_ready` brings it into the buffer.
//! So at most one record stands outside the buffer's bounds, and `poll_ready` is the backpressure.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Sink;
use futures::future::BoxFuture;
use serde::Serialize;

use super::adapter_outcomes::AdapterOutcomes;
use super::admission::Charge;
use super::error::{DrainError, SubmitError};
use super::outcome::Outcome;
use super::receipt::Completion;
use super::submit::Submit;
use super::table::{TableSink, row};
use super::write::Write;
use crate::error::ErrorKind;

/// An error of a [`RecordSink`].
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
    #[non_exhaustive]
    NotWritten {
        /// Their outcomes, records included; each is reported once.
        outcomes: Vec<Outcome>,
    },
    /// Flushing or closing found failed writes.
    #[error(transparent)]
    Drain(#[from] DrainError),
}

impl RecordSinkError {
    /// Returns the kind of error; of [`NotWritten`](Self::NotWritten), that of a write that more time does not
    /// cure, where there is one.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Submit(error) => error.kind(),
            Self::NotWritten { outcomes } => Outcome::kind_of_all(outcomes),
            Self::Drain(error) => error.kind(),
        }
    }

    /// Returns whether the same records may be written with nothing changed, once sent again; of several, whether that is so
    /// of each.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Submit(error) => error.is_retryable(),
            Self::NotWritten { .. } => self.kind().is_transient(),
            Self::Drain(error) => error.is_retryable(),
        }
    }

    /// Returns whether any of the records may be in the table nevertheless.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        match self {
            Self::Submit(_) => false,
            Self::NotWritten { outcomes } => outcomes.iter().any(Outcome::may_have_applied),
            Self::Drain(error) => error.may_have_applied(),
        }
    }
}

impl TableSink {
    /// Returns this table as a [`futures::Sink`] of records to put, for `stream.forward(…)`.
    ///
    /// A record that can't be written goes to the dead-letter handler, where there is one; else it
    /// is an error of `start_send`.
    #[must_use]
    pub fn records<T: Serialize + 'static>(&self) -> RecordSink<T> {
        RecordSink::puts(self.clone())
    }

    /// Returns this table as a [`futures::Sink`] of anything that can be made a write, e.g.
    /// `table.writes(|table, key: &Key| table.delete(key))`.
    #[must_use]
    pub fn writes<T>(
        &self,
        make: impl for<'a> Fn(&'a TableSink, &T) -> Write<'a> + Send + 'static,
    ) -> RecordSink<T> {
        RecordSink::new(self.clone(), make)
    }
}

/// A table as a [`futures::Sink`] of typed records, each one a put.
///
/// - `poll_ready` waits for room, and reports the records that failed since, except those that a
///   dead-letter handler has taken.
/// - `start_send` encodes the record. One that breaks a limit is refused there; from
///   [`TableSink::records`] with a dead-letter handler, it goes to that instead.
/// - `poll_flush` resolves when every record sent before has its outcome.
/// - `poll_close` flushes. The table stays open for its other handles.
///
/// A record whose condition failed, or that was superseded, is no failure.
///
/// # Cancel safety
///
/// Dropping it leaves accepted records to the table. Only a record that was parked by `start_send`
/// and not yet brought in by `poll_ready` or `poll_flush` is dropped with it.
pub struct RecordSink<T> {
    table: TableSink,
    outcomes: Arc<AdapterOutcomes>,
    parked: Option<Parked>,
    flush: Option<BoxFuture<'static, Result<(), DrainError>>>,
    make: Make<T>,
    /// The function that makes the row of a dead letter, for a record that can't be written.
    row: Option<fn(&T) -> Option<Bytes>>,
    record: PhantomData<fn(T)>,
}

/// A record on its way.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and a box for each record would cost more"
)]
enum Parked {
    /// Into the buffer.
    Submit(Submit),
    /// To the dead-letter handler.
    Misfit(BoxFuture<'static, Result<(), SubmitError>>),
}

type Make<T> = Box<dyn for<'a> Fn(&'a TableSink, &T) -> Write<'a> + Send>;

impl<T: Serialize + 'static> RecordSink<T> {
    pub(super) fn puts(table: TableSink) -> Self {
        let row = table
            .shared()
            .dead_letters
            .is_some()
            .then_some(row::<T> as _);
        let mut sink = Self::new(table, TableSink::put);
        sink.row = row;
        sink
    }
}

impl<T> RecordSink<T> {
    /// Returns the failures that are kept as an error, if there are any.
    fn report_failed(&self) -> Result<(), RecordSinkError> {
        let outcomes = self.outcomes.take_failed();
        if outcomes.is_empty() {
            return Ok(());
        }
        Err(RecordSinkError::NotWritten { outcomes })
    }

    pub(super) fn new(
        table: TableSink,
        make: impl for<'a> Fn(&'a TableSink, &T) -> Write<'a> + Send + 'static,
    ) -> Self {
        let max_bytes = table.shared().bounds().buffer.bytes;
        Self {
            table,
            outcomes: Arc::new(AdapterOutcomes::new(max_bytes)),
            parked: None,
            flush: None,
            make: Box::new(make),
            row: None,
            record: PhantomData,
        }
    }

    fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecordSinkError>> {
        if let Some(parked) = &mut self.parked {
            let entered = ready!(match parked {
                Parked::Submit(submit) => submit.poll_enter(cx),
                Parked::Misfit(handling) => handling.as_mut().poll(cx),
            });
            self.parked = None;
            entered?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Sink<T> for RecordSink<T> {
    type Error = RecordSinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.report_failed()?;
        self.poll_parked(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, record: T) -> Result<(), Self::Error> {
        if self.parked.is_some() {
            // Called without `poll_ready` having said so: the parked record must not be lost.
            return Err(SubmitError::Full.into());
        }
        let prepared = (self.make)(&self.table, &record).prepare();
        let outcomes = Arc::clone(&self.outcomes);
        self.parked = Some(match (prepared, self.row) {
            (Ok(prepared), _) => Parked::Submit(Submit::enter_for_adapter(
                self.table.shared(),
                prepared,
                outcomes,
            )),
            (Err(error), Some(row)) => {
                let (table, row) = (self.table.clone(), row(&record));
                let completion = Completion::for_adapter(outcomes, Charge::NONE);
                Parked::Misfit(Box::pin(async move {
                    table.misfit(error, row, completion).await
                }))
            }
            (Err(error), None) => return Err(error.into()),
        });
        // A flush begun before does not wait for this record: the next poll_flush begins anew.
        self.flush = None;
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
                return Poll::Ready(Err(error.with(self.outcomes.take_failed()).into()));
            }
            self.report_failed()?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_flush(cx)
    }
}

/// Leaves the failures that were not reported to the next flush or close of the table.
impl<T> Drop for RecordSink<T> {
    fn drop(&mut self) {
        let unobserved = self.outcomes.orphan();
        self.table.shared().leave_unobserved(unobserved);
    }
}

impl<T> fmt::Debug for RecordSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordSink")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
