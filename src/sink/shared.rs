//! The state that the clones of a table's handle share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::admission::{Admission, Bounds};
use super::dead_letter::DeadLetterHandler;
use super::describing::SharedShape;
use super::error::{DrainError, SubmitError};
use super::message::{Control, Message, UNREPORTED};
use super::outcome::Outcome;
use super::stats::Published;
use crate::item::TableShape;
use parking_lot::Mutex;

/// A table as its handles see it. The last of them that is dropped lets the worker end.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) shape: SharedShape,
    pub(super) admission: Arc<Admission<Message>>,
    pub(super) deadline: Option<Duration>,
    /// The most requests that all tables of the sink may have in flight.
    pub(super) max_requests: usize,
    pub(super) stats: Arc<Mutex<Published>>,
    pub(super) token_prefix: u64,
    pub(super) tokens: AtomicU64,
    pub(super) dead_letters: Option<DeadLetterHandler>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Shared {
    /// Returns the table's keys and indexes, as last described.
    pub(super) fn shape(&self) -> Arc<TableShape> {
        self.shape.get()
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.admission.bounds()
    }

    /// Returns the token of the next transaction: `ClientRequestToken` takes 1 to 36 characters.
    pub(super) fn token(&self) -> Arc<str> {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}{number:016x}", self.token_prefix).into()
    }

    /// Returns the error of a write that this table does not take.
    pub(super) fn invalid(&self, what: impl Into<String>) -> SubmitError {
        SubmitError::Invalid {
            table: self.name.to_string(),
            what: what.into(),
        }
    }

    /// Sends the worker a request. Returns whether it is there to act on it.
    pub(super) fn control(&self, control: Control) -> bool {
        self.admission.send(Message::Control(control))
    }

    /// Sends the worker a request that it answers.
    pub(super) fn ask(&self, control: Control) -> Result<(), DrainError> {
        if self.control(control) {
            Ok(())
        } else if self.admission.is_lost() {
            Err(DrainError::Gone)
        } else {
            Err(DrainError::Closed)
        }
    }

    /// Leaves failed writes that were not observed to the next flush or close.
    pub(super) fn leave_unobserved(&self, outcomes: Vec<Outcome>) {
        let writes = outcomes.len();
        if writes > 0 && !self.admission.send(Message::Unobserved(outcomes)) {
            tracing::error!(table = &*self.name, writes, "{UNREPORTED}");
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.admission.orphan();
    }
}
