//! The receipt of an accepted write, and the way of its outcome.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::adapter_outcomes::AdapterOutcomes;
use super::admission::{Admission, Charge};
use super::message::{Message, UNREPORTED};
use super::outcome::Outcome;

/// A future of a write's [`Outcome`].
///
/// Dropping it does not take the write back: the write is still carried out. If it fails, or has
/// failed and the outcome was not observed, the dead-letter handler or else the next `flush` or
/// `close` reports it.
///
/// Where the sink's runtime is shut down before the write has its outcome, it resolves to
/// [`Outcome::Unwritten`] without the record, as one that may have been applied: it is not known
/// how far the write had come.
///
/// # Cancel safety
///
/// Cancel safe: an outcome is lost only with the receipt itself.
#[must_use = "the outcome of the write comes from here; drop it explicitly to leave it to `flush`"]
pub struct Receipt {
    outcome: oneshot::Receiver<Delivery>,
    /// The outcome, once it was received: a channel gives it only once.
    received: Option<Outcome>,
}

impl Receipt {
    /// Returns the outcome if it is there already, else `None`. It can be called again.
    pub fn try_outcome(&mut self) -> Option<Outcome> {
        if self.received.is_none() {
            self.received = match self.outcome.try_recv() {
                Ok(mut delivery) => delivery.outcome.take(),
                Err(oneshot::error::TryRecvError::Empty) => None,
                Err(oneshot::error::TryRecvError::Closed) => Some(GONE),
            };
        }
        self.received.clone()
    }
}

/// The outcome of a write whose worker was dropped with its runtime: it is not known whether the
/// write was sent.
const GONE: Outcome = Outcome::Unwritten {
    may_have_applied: true,
    record: None,
    cause: None,
};

impl Future for Receipt {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = &self.received {
            return Poll::Ready(outcome.clone());
        }
        Pin::new(&mut self.outcome).poll(cx).map(|delivery| {
            let delivered = delivery
                .ok()
                .and_then(|mut delivery| delivery.outcome.take());
            let outcome = delivered.unwrap_or(GONE);
            self.received = Some(outcome.clone());
            outcome
        })
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").finish_non_exhaustive()
    }
}

/// An outcome on its way to the receipt. Where that is dropped before the outcome was observed, one
/// that must not vanish goes to the table's next flush or close.
#[derive(Debug)]
struct Delivery {
    outcome: Option<Outcome>,
    unobserved: Option<Arc<Admission<Message>>>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let (Some(outcome), Some(admission)) = (self.outcome.take(), &self.unobserved) else {
            return;
        };
        let table = outcome.record().map(|record| record.table().to_owned());
        if !admission.send(Message::Unobserved(vec![outcome])) {
            tracing::error!(table, writes = 1, "{UNREPORTED}");
        }
    }
}

/// The way of a write's outcome to its caller, and the room that the write frees.
#[derive(Debug)]
pub(super) struct Completion {
    recipient: Recipient,
    pub(super) charge: Charge,
}

#[derive(Debug)]
enum Recipient {
    Receipt(oneshot::Sender<Delivery>),
    Adapter(Arc<AdapterOutcomes>),
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
                received: None,
            },
        )
    }

    pub(super) fn for_adapter(outcomes: Arc<AdapterOutcomes>, charge: Charge) -> Self {
        Self {
            recipient: Recipient::Adapter(outcomes),
            charge,
        }
    }

    /// Delivers the outcome, or gives it back where its receipt is gone. `handled` where the
    /// dead-letter handler has taken the write; `unobserved` where it must not vanish with a
    /// receipt that is dropped later.
    pub(super) fn complete(
        self,
        outcome: Outcome,
        handled: bool,
        unobserved: Option<Arc<Admission<Message>>>,
    ) -> Result<(), Outcome> {
        match self.recipient {
            Recipient::Receipt(sender) => {
                let outcome = Some(outcome);
                let sent = sender.send(Delivery {
                    outcome,
                    unobserved,
                });
                sent.map_err(|mut delivery| delivery.outcome.take().unwrap_or(GONE))
            }
            Recipient::Adapter(outcomes) => outcomes.take(outcome, handled),
        }
    }
}
