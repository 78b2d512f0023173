//! The handle of one table.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, WriteRequest};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;

use super::adapter::{RecordSink, Verdicts};
use super::admission::{Bounds, Charge};
use super::config::TableSettings;
use super::dead_letter::{DeadLetter, PANICKED};
use super::error::{DrainError, OpenError, SubmitError};
use super::handle::Sink;
use super::limited::LimitedBy;
use super::limits::SinkLimits;
use super::message::{Control, Message, UNREPORTED};
use super::outcome::{Outcome, RejectReason, WriteKind};
use super::payload::Payload;
use super::prepared::Prepared;
use super::receipt::{Completion, Receipt};
use super::record::Record;
use super::report::Report;
use super::shared::Shared;
use super::snapshot::{Restored, Snapshot, SnapshotError, one_line, prepare};
use super::stats::Stats;
use super::submit::Submit;
use super::transaction::Transaction;
use super::write::Write;
use crate::capacity::{Concurrency, Rate};
use crate::health::Health;
use crate::item::{self, TableShape};
use crate::settings::{ConfigError, SettingsPlace};

/// Writes to one table. Cheap to clone; clones share one buffer, one order and one worker.
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # async fn example(client: aws_sdk_dynamodb::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use dynamodb_connector::sink::{Outcome, TableSink};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Decision {
///     pk: String,
///     approved: bool,
/// }
///
/// let table = TableSink::open(&client, "decisions").await?;
/// let receipt = table.put(&Decision { pk: "42".into(), approved: true }).await?;
/// assert!(matches!(receipt.await, Outcome::Written));
/// table.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Order and durability
///
/// Writes of one key are applied in the order in which they were accepted, whatever their kind and
/// whatever fails in between. Writes of different keys have no order. A write is durable when its
/// receipt says [`Outcome::Written`], and not before.
///
/// # Dropping
///
/// When the last handle is dropped, the accepted writes are carried out still, as long as the
/// runtime runs, and then the worker ends. Call [`close`](Self::close) to wait for that. Failures
/// reach the receipts that are held and the dead-letter handler; where there is neither, only a log
/// line tells of them.
///
/// A runtime that is shut down takes the worker with it, whatever it holds: receipts resolve to
/// [`Outcome::Unwritten`] without their record, callers that wait to [`SubmitError::Gone`], `flush` and
/// `close` to [`DrainError::Gone`]. None of them waits for ever. Close the table before.
#[derive(Clone)]
pub struct TableSink {
    shared: Arc<Shared>,
}

impl TableSink {
    /// Opens one table with default settings: describes it to learn its keys, and starts its
    /// worker on the current runtime.
    ///
    /// For settings, several tables or a dead-letter handler see [`Sink::builder`].
    ///
    /// # Errors
    ///
    /// [`OpenError::Describe`] where the table can't be described.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, nothing was started.
    pub async fn open(client: &Client, table: impl Into<String>) -> Result<Self, OpenError> {
        let table = table.into();
        let sink = Sink::builder(client)
            .table(table.clone(), TableSettings::default())
            .open()
            .await?;
        sink.into_table(&table)
    }

    pub(super) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The table's name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The table's keys, and its indexes as they were when it was opened. Those that were dropped since
    /// are marked so, once a description shows it.
    #[must_use]
    pub fn shape(&self) -> Arc<TableShape> {
        self.shared.shape.get()
    }

    /// Stores a record as a whole item.
    ///
    /// The record is encoded here and now; it must serialise to a map that holds the table's key.
    pub fn put<T: Serialize + ?Sized>(&self, record: &T) -> Write<'_> {
        Write::new(self, WriteKind::Put, item::encode(record, &self.shape()))
    }

    /// Stores a record as [`put`](Self::put) does, and gives one that can't be written to the
    /// dead-letter handler, so that all wrong records take one way.
    ///
    /// The receipt of such a record resolves to [`Outcome::Rejected`] with
    /// [`RejectReason::Invalid`], and its letter holds it as plain JSON ([`Record::row`]), in which a
    /// float that is no number is `null`. The call
    /// resolves once the handler is done. Without a handler the receipt alone has the outcome; if
    /// that is dropped, the next `flush` or `close` reports it.
    ///
    /// ```
    /// # async fn example(table: dynamodb_connector::sink::TableSink) -> Result<(), Box<dyn std::error::Error>> {
    /// // No key: the handler has its letter when this returns.
    /// drop(table.put_or_dead_letter(&serde_json::json!({"approved": true})).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SubmitError::DeadLetter`] where the handler fails: nothing was taken, and the table goes on.
    /// Else as `put`: also of a wrong record where the table takes no more writes.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, a good record was not submitted. A wrong one may be with the
    /// handler, which is not interrupted.
    pub fn put_or_dead_letter<'a, T: Serialize + ?Sized>(
        &'a self,
        record: &T,
    ) -> impl Future<Output = Result<Receipt, SubmitError>> + Send + use<'a, T> {
        let prepared = self.put(record).prepare();
        let prepared = prepared.map_err(|error| (error, row(record)));
        async move {
            match prepared {
                Ok(prepared) => self.enter(prepared).await,
                Err((error, row)) => {
                    let (completion, receipt) = Completion::with_receipt(Charge::NONE);
                    self.misfit(error, row, completion).await?;
                    Ok(receipt)
                }
            }
        }
    }

    /// Submits a write that came back with an outcome or was read from a dead letter
    /// ([`Record::from_dead_letter`]), as if it were new: it is checked against this table, whichever
    /// it was for. One that may have been applied is applied again.
    ///
    /// A transaction keeps its token, so that within 10 minutes of its first attempt it is applied
    /// once.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Invalid`] for a record that was never a write ([`Record::row`]). Else as
    /// submitting for the first time.
    pub fn resubmit(&self, record: &Record) -> Submit {
        let prepared = match record.payload() {
            Some(payload) => self.prepare(payload),
            None => Err(Write::invalid(
                self,
                "the record was never a write: put its row, corrected",
            )),
        };
        match prepared {
            Ok(prepared) => self.enter(prepared),
            Err(error) => Submit::refused(error),
        }
    }

    /// Checks a write in its wire form, as if it were new.
    pub(super) fn prepare(&self, payload: &Payload) -> Result<Prepared, SubmitError> {
        let prepared = prepare(payload, self).map_err(|error| SubmitError::Item {
            table: self.name().to_owned(),
            error,
        })?;
        if prepared.repeated_key().is_some() {
            let what = "a transaction's writes now have one key";
            return Err(Write::invalid(self, what));
        }
        prepared.check_bounds(self)?;
        Ok(prepared)
    }

    /// Gives a record that can't be written its outcome, once the dead-letter handler has it.
    pub(super) async fn misfit(
        &self,
        error: SubmitError,
        row: Option<Bytes>,
        completion: Completion,
    ) -> Result<(), SubmitError> {
        if !error.is_record() {
            return Err(error);
        }
        if let Some(closed) = self.shared.admission.closed() {
            return Err(closed);
        }
        let outcome = Outcome::Rejected {
            reason: RejectReason::Invalid(Box::new(error.clone())),
            record: Record::of_row(Arc::clone(&self.shared.name), row),
        };
        let handler = self.shared.dead_letters.clone();
        let handled = handler.is_some();
        if let (Some(handler), Some(letter)) = (handler, DeadLetter::of(&outcome)) {
            // A task of its own: its panic must not be the caller's, and a caller that gives up must
            // not leave half a letter.
            let handling = self.shared.runtime.spawn(handler.handle(letter));
            let result = match handling.await {
                Ok(result) => result,
                Err(lost) if lost.is_panic() => Err(PANICKED.to_owned()),
                Err(_) => return Err(SubmitError::Gone),
            };
            result.map_err(|handler| SubmitError::DeadLetter {
                error: Box::new(error),
                handler,
            })?;
        }
        // On a table that has ended, the counts have ended too.
        self.shared.admission.send(Message::Misfit(outcome.clone()));
        let unobserved = (!handled).then(|| Arc::clone(&self.shared.admission));
        if let Err(outcome) = completion.complete(outcome, handled, unobserved)
            && !handled
        {
            self.leave_unobserved(vec![outcome]);
        }
        // The worker must count these, and stop a table of which too many pile up.
        if !handled {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Deletes the item with this key: any record that holds the key attributes, others in it are
    /// ignored. Deleting what isn't there is no error.
    pub fn delete<K: Serialize + ?Sized>(&self, key: &K) -> Write<'_> {
        Write::new(
            self,
            WriteKind::Delete,
            item::encode_key(key, &self.shape()),
        )
    }

    /// Changes attributes of the item with this key by an
    /// [update expression](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html),
    /// e.g. `SET state = :state`; creates the item if there is none.
    pub fn update<K: Serialize + ?Sized>(
        &self,
        key: &K,
        expression: impl Into<String>,
    ) -> Write<'_> {
        Write::new(
            self,
            WriteKind::Update,
            item::encode_key(key, &self.shape()),
        )
        .with_update(expression.into())
    }

    /// A condition on an item that a [`transaction`](Self::transaction) doesn't write.
    pub fn check<K: Serialize + ?Sized>(&self, key: &K, condition: impl Into<String>) -> Write<'_> {
        Write::new(self, WriteKind::Check, item::encode_key(key, &self.shape()))
            .condition(condition)
    }

    /// Stores an item given as the SDK's attribute values.
    pub fn put_item(&self, item: &HashMap<String, AttributeValue>) -> Write<'_> {
        Write::new(
            self,
            WriteKind::Put,
            item::encode_attributes(item, &self.shape()),
        )
    }

    /// Deletes the item with this key, given as the SDK's attribute values.
    pub fn delete_item(&self, key: &HashMap<String, AttributeValue>) -> Write<'_> {
        Write::new(
            self,
            WriteKind::Delete,
            item::encode_key_attributes(key, &self.shape()),
        )
    }

    /// A put or delete as the SDK's `BatchWriteItem` takes it.
    pub fn write_request(&self, request: &WriteRequest) -> Write<'_> {
        match (&request.put_request, &request.delete_request) {
            (Some(put), None) => self.put_item(&put.item),
            (None, Some(delete)) => self.delete_item(&delete.key),
            (put, _) => {
                let both = if put.is_some() { "both" } else { "neither" };
                let what = format!("a write request must put or delete, this one does {both}");
                Write::failed(
                    self,
                    SubmitError::Invalid {
                        table: self.name().to_owned(),
                        what,
                    },
                )
            }
        }
    }

    /// Several writes of this table that are applied all or none.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// This table as a [`futures::Sink`] of records to put, for `stream.forward(…)`.
    ///
    /// A record that can't be written goes to the dead-letter handler, where there is one; else it is
    /// an error of `start_send`.
    #[must_use]
    pub fn records<T: Serialize + 'static>(&self) -> RecordSink<T> {
        RecordSink::puts(self.clone())
    }

    /// This table as a [`futures::Sink`] of anything that can be made a write, e.g.
    /// `table.writes(|table, key: &Key| table.delete(key))`.
    #[must_use]
    pub fn writes<T>(
        &self,
        make: impl for<'a> Fn(&'a TableSink, &T) -> Write<'a> + Send + 'static,
    ) -> RecordSink<T> {
        RecordSink::new(self.clone(), make)
    }

    /// Waits until every write submitted before this call has its outcome. Later ones don't hold
    /// it up.
    ///
    /// Batches don't wait to fill meanwhile.
    ///
    /// # Errors
    ///
    /// [`DrainError`] if writes failed whose receipts nobody holds, or the table has failed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: failures that a dropped flush would have reported are left to the next one.
    pub async fn flush(&self) -> Result<(), DrainError> {
        self.begin_flush().found().await
    }

    pub(super) fn begin_flush(&self) -> Report<'_> {
        Report::ask(self, Control::Flush)
    }

    /// Takes no more writes, on any handle of this table, and waits until every accepted one has
    /// its outcome; then the worker ends.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush), [`DrainError::Closed`] where it was closed or aborted before. The
    /// table is closed all the same.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the table is closed; dropped then, accepted writes are carried out all the
    /// same.
    pub async fn close(&self) -> Result<(), DrainError> {
        self.begin_close().found().await
    }

    pub(super) fn begin_close(&self) -> Report<'_> {
        self.shared.admission.close(SubmitError::Closed);
        Report::ask(self, Control::Close)
    }

    /// Ends at once: no write is sent any more, every one without an outcome is handed back as
    /// [`Outcome::Unwritten`], to its receipt and here, in submission order.
    ///
    /// What was in flight is marked as maybe applied.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the abort takes place; dropped then, the receipts still tell.
    pub async fn abort(&self) -> Vec<Outcome> {
        self.shared.admission.close(SubmitError::Closed);
        self.ask(Control::Abort).await.unwrap_or_default()
    }

    /// The writes without an outcome at this moment, in order, without stopping the sink.
    ///
    /// See [`Snapshot`].
    ///
    /// # Errors
    ///
    /// [`DrainError::Closed`] or [`DrainError::Gone`] once the worker has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn snapshot(&self) -> Result<Snapshot, DrainError> {
        let saved = self.ask(Control::Snapshot).await??;
        Ok(Snapshot::of(&self.shared.name, saved))
    }

    /// Submits the writes that a snapshot holds for this table, in their order. Call it before
    /// submitting others.
    ///
    /// # Errors
    ///
    /// See [`SnapshotError`]; nothing was submitted if it concerns the snapshot as a whole. A snapshot of
    /// other tables alone is refused: a table goes by the name or ARN it was opened with.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe as a whole: dropped, some writes were submitted and others not. Restore
    /// again from the same snapshot into a new sink.
    pub async fn restore(&self, snapshot: &Snapshot) -> Result<Restored, SnapshotError> {
        if !snapshot.tables().any(|table| table == self.name()) {
            snapshot.check_tables(std::iter::once(self.name()))?;
        }
        snapshot.prepare_for(self)?.submit().await
    }

    /// Numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let published = self.shared.stats.lock();
        let published = published.unwrap_or_else(PoisonError::into_inner);
        let mut stats = published.stats.clone();
        stats.limited_by = LimitedBy::new(published.limit, &self.shape());
        drop(published);
        let (records, bytes, waiting) = self.shared.admission.level();
        match &mut stats.limited_by {
            LimitedBy::Nothing if waiting > 0 => {
                stats.limited_by = LimitedBy::Buffer { callers: waiting };
            }
            LimitedBy::Retries { cause } => {
                let last = stats.last_error.as_ref();
                *cause = last.map(|last| format!("{}: {}", last.operation, last.cause));
            }
            _ => {}
        }
        stats.buffered_records = records;
        stats.buffered_bytes = bytes;
        stats.waiting_callers = waiting;
        stats
    }

    /// Returns whether requests to the table succeed at present.
    ///
    /// It fails once requests have failed for a second without a success between, at once where time
    /// alone cannot help, and for want of capacity after ten seconds without a write.
    #[must_use]
    pub fn health(&self) -> Health {
        let published = self.shared.stats.lock();
        let published = published.unwrap_or_else(PoisonError::into_inner);
        published.health.clone()
    }

    /// Sets how many write units a second the table is asked for, from now on: over the setting
    /// [`rate`](TableSettings::rate).
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`]; nothing has changed then. On a table that is closed it has no effect.
    pub fn set_rate(&self, rate: impl Into<Rate>) -> Result<(), ConfigError> {
        let rate = rate.into();
        rate.check(&SettingsPlace::Table(self.name().to_owned()))?;
        self.control(Control::SetRate(rate));
        Ok(())
    }

    /// Sets how many requests may be in flight, from now on: over the setting
    /// [`concurrency`](TableSettings::concurrency). What is in flight beyond that stays.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`]; nothing has changed then. On a table that is closed it has no effect.
    pub fn set_concurrency(&self, requests: impl Into<Concurrency>) -> Result<(), ConfigError> {
        let concurrency = requests.into();
        let place = SettingsPlace::Table(self.name().to_owned());
        concurrency.check(&place)?;
        SinkLimits::check_requests(&place, concurrency, self.shared.max_requests)?;
        self.control(Control::SetConcurrency(concurrency));
        Ok(())
    }

    async fn ask<R>(
        &self,
        control: impl FnOnce(oneshot::Sender<R>) -> Control,
    ) -> Result<R, DrainError> {
        let (reply, answer) = oneshot::channel();
        self.send(control(reply))?;
        answer.await.map_err(|_| DrainError::Gone)
    }

    /// Sends the worker a request. On a table that is closed it has no effect.
    fn control(&self, control: Control) -> bool {
        self.shared.admission.send(Message::Control(control))
    }

    /// Sends the worker a request that it answers.
    pub(super) fn send(&self, control: Control) -> Result<(), DrainError> {
        if self.control(control) {
            Ok(())
        } else if self.shared.admission.is_lost() {
            Err(DrainError::Gone)
        } else {
            Err(DrainError::Closed)
        }
    }

    pub(super) fn enter(&self, prepared: Prepared) -> Submit {
        self.enter_again(prepared, false)
    }

    /// As `enter`, for a restored write.
    pub(super) fn enter_again(&self, prepared: Prepared, may_have_applied: bool) -> Submit {
        let charge = prepared.charge;
        let (completion, receipt) = Completion::with_receipt(charge);
        let message = Message::Write(prepared.submission(completion, may_have_applied));
        Submit::new(Arc::clone(&self.shared), message, charge, Some(receipt))
    }

    pub(super) fn enter_for_adapter(&self, prepared: Prepared, verdicts: Arc<Verdicts>) -> Submit {
        let charge = prepared.charge;
        let completion = Completion::for_adapter(verdicts, charge);
        let message = Message::Write(prepared.submission(completion, false));
        Submit::new(Arc::clone(&self.shared), message, charge, None)
    }

    pub(super) fn has_dead_letters(&self) -> bool {
        self.shared.dead_letters.is_some()
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.shared.admission.bounds()
    }

    pub(super) fn default_deadline(&self) -> Option<Duration> {
        self.shared.deadline
    }

    /// Leaves failed writes that nobody has looked at to the next flush or close.
    pub(super) fn leave_unobserved(&self, outcomes: Vec<Outcome>) {
        let writes = outcomes.len();
        if writes > 0 && !self.shared.admission.send(Message::Unobserved(outcomes)) {
            tracing::error!(table = self.name(), writes, "{UNREPORTED}");
        }
    }

    pub(super) fn token(&self) -> Arc<str> {
        self.shared.token()
    }
}

/// A record as plain JSON, where it has a form there.
pub(super) fn row<T: Serialize + ?Sized>(record: &T) -> Option<Bytes> {
    serde_json::to_string(record).ok().map(|row| one_line(&row))
}

impl fmt::Debug for TableSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSink")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}
