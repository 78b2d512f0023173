//! What a caller holds of an accepted write.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::adapter::Verdicts;
use super::gate::Charge;
use super::outcome::Outcome;

/// A future of a write's [`Outcome`].
///
/// Dropping it does not take the write back: the write is carried out all the same, and if it
/// fails, the dead-letter handler or else the next `flush` or `close` reports it.
///
/// # Cancel safety
///
/// Cancel safe: an outcome is lost only with the receipt itself.
#[must_use = "the outcome of the write comes from here; drop it explicitly to leave it to `flush`"]
pub struct Receipt {
    outcome: oneshot::Receiver<Outcome>,
}

impl Receipt {
    /// The outcome if it is there already.
    ///
    /// # Errors
    ///
    /// Gives the receipt back where it is not.
    pub fn try_outcome(mut self) -> Result<Outcome, Self> {
        match self.outcome.try_recv() {
            Ok(outcome) => Ok(outcome),
            Err(oneshot::error::TryRecvError::Empty) => Err(self),
            Err(oneshot::error::TryRecvError::Closed) => Ok(GONE),
        }
    }
}

/// The worker was dropped with its runtime: whether the write went out is not known.
const GONE: Outcome = Outcome::Unwritten {
    may_have_applied: true,
    record: None,
};

impl Future for Receipt {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.outcome)
            .poll(cx)
            .map(|outcome| outcome.unwrap_or(GONE))
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").finish_non_exhaustive()
    }
}

/// Completes a write: tells its caller, and knows what room to free.
#[derive(Debug)]
pub(super) struct Completion {
    recipient: Recipient,
    pub(super) charge: Charge,
}

#[derive(Debug)]
enum Recipient {
    Receipt(oneshot::Sender<Outcome>),
    Adapter(Weak<Verdicts>),
}

impl Completion {
    pub(super) fn with_receipt(charge: Charge) -> (Self, Receipt) {
        let (sender, outcome) = oneshot::channel();
        (
            Self {
                recipient: Recipient::Receipt(sender),
                charge,
            },
            Receipt { outcome },
        )
    }

    pub(super) fn for_adapter(verdicts: Weak<Verdicts>, charge: Charge) -> Self {
        Self {
            recipient: Recipient::Adapter(verdicts),
            charge,
        }
    }

    /// Tells the outcome; gives it back where nobody is left to hear it. What a dead-letter
    /// handler has taken is no longer an adapter's business.
    pub(super) fn complete(self, outcome: Outcome, handled: bool) -> Result<(), Outcome> {
        match self.recipient {
            Recipient::Receipt(sender) => sender.send(outcome),
            Recipient::Adapter(_) if handled => Ok(()),
            Recipient::Adapter(verdicts) => match verdicts.upgrade() {
                Some(verdicts) => verdicts.take(outcome),
                None => Err(outcome),
            },
        }
    }
}
