//! The writes of a table: made from records, checked, and submitted.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{AttributeValue, WriteRequest};
use bytes::Bytes;
use serde::Serialize;

use super::TableSink;
use crate::item;
use crate::sink::admission::Charge;
use crate::sink::dead_letter::{FailedWrite, PANICKED};
use crate::sink::error::SubmitError;
use crate::sink::message::Message;
use crate::sink::outcome::{Outcome, RejectReason, WriteKind};
use crate::sink::receipt::{Completion, Receipt};
use crate::sink::record::WriteRecord;
use crate::sink::snapshot::prepare;
use crate::sink::submit::Submit;
use crate::sink::transaction::Transaction;
use crate::sink::wire::one_line;
use crate::sink::write::Write;

impl TableSink {
    /// Stores a record as a whole item.
    ///
    /// The record is encoded here and now; it must serialise to a map that holds the table's key.
    pub fn put<T: Serialize + ?Sized>(&self, record: &T) -> Write<'_> {
        Write::new(
            &self.shared,
            WriteKind::Put,
            item::encode(record, &self.shape()),
        )
    }

    /// Stores a record as [`put`](Self::put) does, and passes one that can't be written to the
    /// dead-letter handler, so that all wrong records take one way.
    ///
    /// The receipt of such a record resolves to [`Outcome::Rejected`] with
    /// [`RejectReason::Invalid`], and its letter holds it as plain JSON ([`WriteRecord::row`]), in which
    /// a float that is no number is `null`. The call resolves once the handler is done. Without a
    /// handler the receipt alone has the outcome; if that is dropped, the next `flush` or `close`
    /// reports it.
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
    /// [`SubmitError::DeadLetter`] where the handler fails: nothing was taken, and the table keeps
    /// running. Else as `put`, also for a wrong record where the table takes no more writes.
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
                Ok(prepared) => Submit::enter(&self.shared, prepared).await,
                Err((error, row)) => {
                    let (completion, receipt) = Completion::with_receipt(Charge::NONE);
                    self.misfit(error, row, completion).await?;
                    Ok(receipt)
                }
            }
        }
    }

    /// Submits a write that came back with an outcome or was read from a dead letter
    /// ([`WriteRecord::from_dead_letter`]), as if it were new: it is checked against this table,
    /// whichever it was for. One that may have been applied is applied again.
    ///
    /// A transaction keeps its token, so that within 10 minutes of its first attempt it is applied
    /// once.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Invalid`] for a record that was never a write ([`WriteRecord::row`]). Else as
    /// submitting for the first time.
    pub fn resubmit(&self, record: &WriteRecord) -> Submit {
        let prepared = match record.payload() {
            Some(payload) => prepare(payload, &self.shared),
            None => Err(self
                .shared
                .invalid("the record was never a write: put its row, corrected")),
        };
        match prepared {
            Ok(prepared) => Submit::enter(&self.shared, prepared),
            Err(error) => Submit::refused(error),
        }
    }

    /// Gives a record that can't be written its outcome, once the dead-letter handler has it.
    pub(in crate::sink) async fn misfit(
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
            record: WriteRecord::of_row(Arc::clone(&self.shared.name), row),
        };
        let handler = self.shared.dead_letters.clone();
        let handled = handler.is_some();
        if let (Some(handler), Some(letter)) = (handler, FailedWrite::of(&outcome)) {
            // A task of its own: its panic must not be the caller's, and a caller that gives up
            // must not leave half a letter.
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
            self.shared.leave_unobserved(vec![outcome]);
        }
        // The worker must count these, and stop a table of which too many pile up.
        if !handled {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Deletes the item with this key: any record that holds the key attributes, others in it are
    /// ignored. Deleting an item that isn't there is no error.
    pub fn delete<K: Serialize + ?Sized>(&self, key: &K) -> Write<'_> {
        Write::new(
            &self.shared,
            WriteKind::Delete,
            item::encode_key(key, &self.shape()),
        )
    }

    /// Changes attributes of the item with this key by an [update
    /// expression](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html),
    /// e.g. `SET state = :state`; creates the item if there is none.
    pub fn update<K: Serialize + ?Sized>(
        &self,
        key: &K,
        expression: impl Into<String>,
    ) -> Write<'_> {
        Write::new(
            &self.shared,
            WriteKind::Update,
            item::encode_key(key, &self.shape()),
        )
        .with_update(expression.into())
    }

    /// Checks a condition on an item that a [`transaction`](Self::transaction) doesn't write.
    pub fn check<K: Serialize + ?Sized>(&self, key: &K, condition: impl Into<String>) -> Write<'_> {
        Write::new(
            &self.shared,
            WriteKind::Check,
            item::encode_key(key, &self.shape()),
        )
        .condition(condition)
    }

    /// Stores an item given as the SDK's attribute values.
    pub fn put_item(&self, item: &HashMap<String, AttributeValue>) -> Write<'_> {
        Write::new(
            &self.shared,
            WriteKind::Put,
            item::encode_attributes(item, &self.shape()),
        )
    }

    /// Deletes the item with this key, given as the SDK's attribute values.
    pub fn delete_item(&self, key: &HashMap<String, AttributeValue>) -> Write<'_> {
        Write::new(
            &self.shared,
            WriteKind::Delete,
            item::encode_key_attributes(key, &self.shape()),
        )
    }

    /// Stores or deletes an item, given as a request of the SDK's `BatchWriteItem`.
    pub fn write_request(&self, request: &WriteRequest) -> Write<'_> {
        match (&request.put_request, &request.delete_request) {
            (Some(put), None) => self.put_item(&put.item),
            (None, Some(delete)) => self.delete_item(&delete.key),
            (put, _) => {
                let both = if put.is_some() { "both" } else { "neither" };
                let what = format!("a write request must put or delete, this one does {both}");
                Write::failed(
                    &self.shared,
                    SubmitError::Invalid {
                        table: self.name().to_owned(),
                        what,
                    },
                )
            }
        }
    }

    /// Returns an empty transaction: several writes of this table that are applied all or none.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction::new(&self.shared)
    }
}

/// Returns a record as plain JSON, where it has a form there.
pub(in crate::sink) fn row<T: Serialize + ?Sized>(record: &T) -> Option<Bytes> {
    serde_json::to_string(record).ok().map(|row| one_line(&row))
}
