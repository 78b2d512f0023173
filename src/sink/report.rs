//! What a flush or a close found, on its way to the caller.
//!
//! The failed writes in it are nobody else's any more. Dropped anywhere on its way, sent and not yet
//! looked at or held until other tables are done, it gives them back to the table, whose next flush or
//! close reports them.

use tokio::sync::oneshot;

use super::error::DrainError;
use super::table::TableSink;
use super::worker::{Flush, Message};

pub(super) struct Report<'a> {
    table: &'a TableSink,
    answer: oneshot::Receiver<Result<(), DrainError>>,
    found: Option<Result<(), DrainError>>,
}

impl<'a> Report<'a> {
    /// Asks the table's worker for one.
    pub(super) fn ask(table: &'a TableSink, message: fn(Flush) -> Message) -> Self {
        let (reply, answer) = oneshot::channel();
        Self {
            table,
            answer,
            found: table.send(message(reply)).err().map(Err),
        }
    }

    /// Waits until it is there.
    pub(super) async fn wait(&mut self) {
        if self.found.is_none() {
            let found = (&mut self.answer).await;
            self.found = Some(found.unwrap_or(Err(DrainError::Gone)));
        }
    }

    /// Waits for what was found, for the caller to keep.
    pub(super) async fn found(mut self) -> Result<(), DrainError> {
        self.wait().await;
        self.take()
    }

    /// What was found, for the caller to keep.
    pub(super) fn take(mut self) -> Result<(), DrainError> {
        self.found.take().unwrap_or(Ok(()))
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        // Closed before it is looked at: what is sent later comes back to the worker.
        self.answer.close();
        let found = self.found.take().or_else(|| self.answer.try_recv().ok());
        if let Some(Err(error)) = found {
            self.table.leave_unclaimed(error.into_outcomes());
        }
    }
}
