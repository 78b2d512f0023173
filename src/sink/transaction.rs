//! Several writes of one table, all or none.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use super::core::SubmissionKeys;
use super::cost::Cost;
use super::error::SubmitError;
use super::outcome::Outcome;
use super::payload::Payload;
use super::prepared::Prepared;
use super::receipt::Receipt;
use super::shared::Shared;
use super::submit::Submit;
use super::write::{TransactionPart, Write};

/// The largest number of operations in one transaction (`API_TransactWriteItems`).
const MAX_TRANSACTION_PARTS: usize = 100;
/// The largest size of all items in one transaction, in bytes (`API_TransactWriteItems`: 4 MB in
/// aggregate).
const MAX_TRANSACTION_BYTES: usize = 4 * 1024 * 1024;

/// Several writes of one table that are applied all or none.
///
/// Awaiting it submits it as one write with one [`Receipt`]. It stands in line for all its keys at
/// once: it is applied after every earlier write of any of them and before every later one. It has
/// one token over all its retries, so a lost answer does not apply it twice. Costs twice the write
/// units of its parts.
///
/// 1 to 100 writes of different keys, 4 MiB of items in all.
///
/// ```
/// # async fn example(
/// #     table: dynamodb_connector::sink::TableSink,
/// #     part: std::collections::HashMap<String, String>,
/// #     key: std::collections::HashMap<String, String>,
/// # ) -> Result<(), dynamodb_connector::sink::SubmitError> {
/// let receipt = table
///     .transaction()
///     .add(table.put(&part).condition("attribute_not_exists(pk)"))
///     .add(table.update(&key, "ADD parts :one").value(":one", &1))
///     .await?;
/// let outcome = receipt.await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a transaction is submitted by awaiting it"]
pub struct Transaction<'a> {
    table: &'a Arc<Shared>,
    writes: Vec<Write<'a>>,
    deadline: Option<Duration>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(table: &'a Arc<Shared>) -> Self {
        Self {
            table,
            writes: Vec::new(),
            deadline: None,
        }
    }

    /// Adds a write, or a [`check`](super::TableSink::check).
    #[expect(clippy::should_implement_trait, reason = "it is no sum")]
    pub fn add(mut self, write: Write<'a>) -> Self {
        self.writes.push(write);
        self
    }

    /// Sets the time that the transaction may take, in place of the table's `deadline`.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Submits the transaction if there is room now.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Full`] where there is none; else as awaiting does.
    pub fn try_submit(self) -> Result<Receipt, SubmitError> {
        self.into_future().try_enter()
    }

    /// Submits the transaction and waits for its outcome.
    ///
    /// # Errors
    ///
    /// As submitting: nothing was written then.
    ///
    /// # Cancel safety
    ///
    /// As [`Write::confirm`].
    pub async fn confirm(self) -> Result<Outcome, SubmitError> {
        Ok(self.await?.await)
    }

    fn prepare(self) -> Result<Prepared, SubmitError> {
        let Self {
            table,
            writes,
            deadline,
        } = self;
        let invalid = |what: String| SubmitError::Invalid {
            table: table.name.to_string(),
            what,
        };
        if writes.is_empty() || writes.len() > MAX_TRANSACTION_PARTS {
            let count = writes.len();
            return Err(invalid(format!(
                "a transaction of {count} writes, 1 to {MAX_TRANSACTION_PARTS} go"
            )));
        }
        let mut parts = Vec::with_capacity(writes.len());
        let mut keys = Vec::with_capacity(writes.len());
        let mut costs = Vec::with_capacity(writes.len());
        let mut bytes = 0;
        for (place, write) in writes.into_iter().enumerate() {
            if write.table().name != table.name {
                let other = &write.table().name;
                return Err(invalid(format!(
                    "write {place} of the transaction is for {other:?}"
                )));
            }
            let TransactionPart {
                part,
                key,
                cost,
                size,
                deadline: own_deadline,
            } = write.into_part()?;
            if own_deadline.is_some() {
                let what = format!("write {place} has a deadline; it is the transaction's to have");
                return Err(invalid(what));
            }
            bytes += size;
            parts.push(part);
            keys.push(key);
            costs.push(cost);
        }
        if bytes > MAX_TRANSACTION_BYTES {
            let what = format!(
                "a transaction of {bytes} bytes of items, at most {MAX_TRANSACTION_BYTES} go"
            );
            return Err(invalid(what));
        }
        let Some(partition) = keys.first().map(crate::item::Key::partition_hash) else {
            return Err(invalid("a transaction of no writes".to_owned()));
        };
        let payload = Payload::Transaction {
            parts,
            token: table.token(),
        };
        let deadline = deadline.or(table.deadline);
        let (keys, cost) = (SubmissionKeys::Many(keys), Cost::transaction(costs));
        let prepared = Prepared::new(payload, keys, partition, cost, deadline);
        if let Some(place) = prepared.repeated_key() {
            let what = format!("write {place} of the transaction has the key of an earlier one");
            return Err(invalid(what));
        }
        prepared.check_bounds(table)?;
        Ok(prepared)
    }
}

impl IntoFuture for Transaction<'_> {
    type Output = Result<Receipt, SubmitError>;
    type IntoFuture = Submit;

    fn into_future(self) -> Submit {
        let table = self.table;
        match self.prepare() {
            Ok(prepared) => Submit::enter(table, prepared),
            Err(error) => Submit::refused(error),
        }
    }
}
