//! The result of a flush or a close, on its way to the caller.
//!
//! It alone holds the failed writes that it reports. Dropped anywhere on its way, before it is
//! looked at or until other tables are done, it gives them back to the table, whose next flush or
//! close reports them.

use tokio::sync::oneshot;

use super::error::DrainError;
use super::message::{Control, Reply};
use super::shared::Shared;

/// The answer to a flush or a close.
pub(super) struct Report<'a> {
    table: &'a Shared,
    answer: oneshot::Receiver<Result<(), DrainError>>,
    found: Option<Result<(), DrainError>>,
}

impl<'a> Report<'a> {
    /// Asks the table's worker for a report.
    pub(super) fn ask(table: &'a Shared, control: fn(Reply) -> Control) -> Self {
        let (reply, answer) = oneshot::channel();
        Self {
            table,
            answer,
            found: table.ask(control(reply)).err().map(Err),
        }
    }

    /// Waits until it is there.
    pub(super) async fn wait(&mut self) {
        if self.found.is_none() {
            let found = (&mut self.answer).await;
            self.found = Some(found.unwrap_or(Err(DrainError::Gone)));
        }
    }

    /// Waits for the result, for the caller to keep.
    pub(super) async fn found(mut self) -> Result<(), DrainError> {
        self.wait().await;
        self.take()
    }

    /// Returns the result, for the caller to keep.
    pub(super) fn take(mut self) -> Result<(), DrainError> {
        self.found.take().unwrap_or(Ok(()))
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        // Closed before it is looked at: a result that is sent later comes back to the worker.
        self.answer.close();
        let found = self.found.take().or_else(|| self.answer.try_recv().ok());
        if let Some(Err(error)) = found {
            self.table.leave_unobserved(error.into_outcomes());
        }
    }
}
