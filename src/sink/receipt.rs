//! What a caller holds of an accepted write.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::adapter::Verdicts;
use super::gate::{Charge, Gate};
use super::outcome::Outcome;
use super::worker::{Message, NOBODY_LEFT};

/// A future of a write's [`Outcome`].
///
/// Dropping it does not take the write back: the write is carried out all the same, and if it
/// fails, or has failed and nobody has looked, the dead-letter handler or else the next `flush` or
/// `close` reports it.
///
/// Where the sink's runtime is shut down before the write has its outcome, it resolves to
/// [`Outcome::Unwritten`] without the record, as one that may have been applied: it is not known how far
/// the write had come.
///
/// # Cancel safety
///
/// Cancel safe: an outcome is lost only with the receipt itself.
#[must_use = "the outcome of the write comes from here; drop it explicitly to leave it to `flush`"]
pub struct Receipt {
    outcome: oneshot::Receiver<Told>,
    /// What it was, once it was asked for: a channel tells it only once.
    told: Option<Outcome>,
}

impl Receipt {
    /// The outcome if it is there already, else `None`. It can be asked for again.
    pub fn try_outcome(&mut self) -> Option<Outcome> {
        if self.told.is_none() {
            self.told = match self.outcome.try_recv() {
                Ok(mut told) => told.outcome.take(),
                Err(oneshot::error::TryRecvError::Empty) => None,
                Err(oneshot::error::TryRecvError::Closed) => Some(GONE),
            };
        }
        self.told.clone()
    }
}

/// The worker was dropped with its runtime: whether the write went out is not known.
const GONE: Outcome = Outcome::Unwritten {
    may_have_applied: true,
    record: None,
    cause: None,
};

impl Future for Receipt {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(told) = &self.told {
            return Poll::Ready(told.clone());
        }
        Pin::new(&mut self.outcome).poll(cx).map(|told| {
            let told = told.ok().and_then(|mut told| told.outcome.take());
            let outcome = told.unwrap_or(GONE);
            self.told = Some(outcome.clone());
            outcome
        })
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").finish_non_exhaustive()
    }
}

/// An outcome on its way to whoever holds the receipt. Where that is dropped before it was looked
/// at, one that must not vanish goes to the table's next flush or close.
#[derive(Debug)]
struct Told {
    outcome: Option<Outcome>,
    unheard: Option<Arc<Gate<Message>>>,
}

impl Drop for Told {
    fn drop(&mut self) {
        let (Some(outcome), Some(gate)) = (self.outcome.take(), &self.unheard) else {
            return;
        };
        let table = outcome.record().map(|record| record.table().to_owned());
        if !gate.send(Message::Unclaimed(vec![outcome])) {
            tracing::error!(table, writes = 1, "{NOBODY_LEFT}");
        }
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
    Receipt(oneshot::Sender<Told>),
    Adapter(Arc<Verdicts>),
}

impl Completion {
    pub(super) fn with_receipt(charge: Charge) -> (Self, Receipt) {
        let (sender, outcome) = oneshot::channel();
        (
            Self {
                recipient: Recipient::Receipt(sender),
                charge,
            },
            Receipt {
                outcome,
                told: None,
            },
        )
    }

    pub(super) fn for_adapter(verdicts: Arc<Verdicts>, charge: Charge) -> Self {
        Self {
            recipient: Recipient::Adapter(verdicts),
            charge,
        }
    }

    /// Tells the outcome; gives it back where nobody is left to hear it. `handled` where the
    /// dead-letter handler has taken the write; `unheard` where it must not vanish with a receipt
    /// that is dropped later.
    pub(super) fn complete(
        self,
        outcome: Outcome,
        handled: bool,
        unheard: Option<Arc<Gate<Message>>>,
    ) -> Result<(), Outcome> {
        match self.recipient {
            Recipient::Receipt(sender) => {
                let outcome = Some(outcome);
                let told = sender.send(Told { outcome, unheard });
                told.map_err(|mut told| told.outcome.take().unwrap_or(GONE))
            }
            Recipient::Adapter(verdicts) => verdicts.take(outcome, handled),
        }
    }
}
