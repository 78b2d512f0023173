//! Where writes go that failed for good.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::outcome::{Outcome, Record, RejectReason};

/// A write that failed for good, with the reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The write.
    pub record: Record,
    /// Why it failed; `None` where it must not be sent twice and its answer was lost
    /// ([`Outcome::Unknown`]).
    pub reason: Option<RejectReason>,
    /// Whether it may have been applied all the same.
    pub may_have_applied: bool,
}

impl DeadLetter {
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let record = outcome.record()?.clone();
        let reason = match outcome {
            Outcome::Rejected { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        Some(Self {
            record,
            reason,
            may_have_applied: outcome.may_have_applied(),
        })
    }
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{}: {reason}", self.record),
            None => write!(f, "{}: its answer was lost", self.record),
        }
    }
}

/// A dead-letter handler's failure.
pub type DeadLetterError = Box<dyn Error + Send + Sync>;

type Handler = dyn Fn(DeadLetter) -> BoxFuture<'static, Result<(), DeadLetterError>> + Send + Sync;

/// The handler of a sink.
#[derive(Clone)]
pub(super) struct DeadLetterHandler(Arc<Handler>);

impl DeadLetterHandler {
    pub(super) fn new<H, R>(handler: H) -> Self
    where
        H: Fn(DeadLetter) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), DeadLetterError>> + Send + 'static,
    {
        Self(Arc::new(move |letter| Box::pin(handler(letter))))
    }

    /// Nothing of the caller's runs before this is polled, so that a handler that panics does so
    /// in the task that polls it.
    pub(super) async fn handle(self, letter: DeadLetter) -> Result<(), DeadLetterError> {
        (self.0)(letter).await
    }
}

impl fmt::Debug for DeadLetterHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeadLetterHandler")
    }
}
