//! The handle of one table.
//!
//! A handle holds no writes itself. It encodes and checks a write in the caller's task (`writes`),
//! so that a wrong record is refused at once and encoding uses all cores. It asks the worker for
//! all else by a message in the same line as the writes (`control`): a flush covers the writes
//! before it.

mod control;
mod writes;

use std::fmt;
use std::sync::Arc;

use super::shared::Shared;
use crate::item::TableShape;

pub(super) use writes::row;

/// A handle to one table. Cheap to clone; clones share one buffer, one order and one worker.
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
/// receipt says [`Outcome::Written`](super::Outcome::Written), and not before.
///
/// # Dropping
///
/// When the last handle is dropped, the accepted writes are still carried out, as long as the
/// runtime runs, and then the worker ends. Call [`close`](Self::close) to wait for that. Failures
/// reach the receipts that are held and the dead-letter handler; where there is neither, only a log
/// line reports them.
///
/// A runtime that is shut down drops the worker with all that it holds: receipts resolve to
/// [`Outcome::Unwritten`](super::Outcome::Unwritten) without their record, callers that wait to
/// [`SubmitError::Gone`](super::SubmitError::Gone), `flush` and `close` to
/// [`DrainError::Gone`](super::DrainError::Gone). None of them waits for ever. Close the table
/// before.
#[derive(Clone)]
pub struct TableSink {
    shared: Arc<Shared>,
}

impl TableSink {
    pub(super) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the table's name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the table's keys, and its indexes as they were when it was opened. Indexes that were
    /// dropped since are marked so, once a description shows it.
    #[must_use]
    pub fn shape(&self) -> Arc<TableShape> {
        self.shared.shape.get()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl fmt::Debug for TableSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSink")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}
