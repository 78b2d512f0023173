//! The way of one write through admission.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::coop;

use super::adapter_outcomes::AdapterOutcomes;
use super::admission::{Charge, Turn};
use super::error::SubmitError;
use super::message::Message;
use super::prepared::Prepared;
use super::receipt::{Completion, Receipt};
use super::shared::Shared;

/// A future that resolves to the write's [`Receipt`] once it is accepted.
///
/// # Cancel safety
///
/// Dropped before it resolves, nothing was submitted, and the callers behind are served.
///
/// # Poll it or drop it
///
/// Once there is room for its record, the future holds that room until it is polled or dropped, as
/// a future of tokio's `Semaphore` does. One that is kept and not polled keeps the room from the
/// callers behind it. Room is not passed on after a time: the caller that waited longest would lose
/// its place.
#[must_use = "a write is submitted by awaiting it"]
pub struct Submit {
    shared: Option<Arc<Shared>>,
    message: Option<Message>,
    charge: Charge,
    receipt: Option<Receipt>,
    refused: Option<SubmitError>,
    turn: Option<Turn>,
}

impl Submit {
    /// Submits a write to a table.
    pub(super) fn enter(table: &Arc<Shared>, prepared: Prepared) -> Self {
        Self::enter_again(table, prepared, false)
    }

    /// Submits a write as `enter` does, for a restored one.
    pub(super) fn enter_again(
        table: &Arc<Shared>,
        prepared: Prepared,
        may_have_applied: bool,
    ) -> Self {
        let charge = prepared.charge;
        let (completion, receipt) = Completion::with_receipt(charge);
        let message = Message::Write(prepared.submission(completion, may_have_applied));
        Self::new(Arc::clone(table), message, charge, Some(receipt))
    }

    /// Submits a write of an adapter, which takes the outcome.
    pub(super) fn enter_for_adapter(
        table: &Arc<Shared>,
        prepared: Prepared,
        outcomes: Arc<AdapterOutcomes>,
    ) -> Self {
        let charge = prepared.charge;
        let completion = Completion::for_adapter(outcomes, charge);
        let message = Message::Write(prepared.submission(completion, false));
        Self::new(Arc::clone(table), message, charge, None)
    }

    fn new(
        shared: Arc<Shared>,
        message: Message,
        charge: Charge,
        receipt: Option<Receipt>,
    ) -> Self {
        let (shared, message) = (Some(shared), Some(message));
        Self {
            shared,
            message,
            charge,
            receipt,
            refused: None,
            turn: None,
        }
    }

    pub(super) fn refused(error: SubmitError) -> Self {
        Self {
            shared: None,
            message: None,
            charge: Charge::NONE,
            receipt: None,
            refused: Some(error),
            turn: None,
        }
    }

    /// Enters the buffer now or not at all.
    pub(super) fn try_enter(mut self) -> Result<Receipt, SubmitError> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        let Some(shared) = &self.shared else {
            return Err(SubmitError::Closed);
        };
        if shared.admission.try_enter(self.charge, &mut self.message)? {
            self.receipt.take().ok_or(SubmitError::Closed)
        } else {
            Err(SubmitError::Full)
        }
    }

    pub(super) fn poll_enter(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SubmitError>> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(error));
        }
        // Where there is room, a caller in a loop would not let other tasks of its runtime run before
        // the buffer is full.
        let proceeded = ready!(coop::poll_proceed(cx));
        let entered = self.poll_room(cx);
        if entered.is_ready() {
            proceeded.made_progress();
        }
        entered
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SubmitError>> {
        let Some(shared) = &self.shared else {
            return Poll::Ready(Err(SubmitError::Closed));
        };
        if let Some(turn) = self.turn {
            return self.poll_turn(turn, cx);
        }
        if self.message.is_none() {
            return Poll::Ready(Err(SubmitError::Closed));
        }
        match shared.admission.try_enter(self.charge, &mut self.message) {
            Ok(true) => Poll::Ready(Ok(())),
            Err(reason) => Poll::Ready(Err(reason)),
            Ok(false) => {
                let turn = shared.admission.queue(self.charge);
                self.turn = Some(turn);
                self.poll_turn(turn, cx)
            }
        }
    }

    fn poll_turn(&mut self, turn: Turn, cx: &mut Context<'_>) -> Poll<Result<(), SubmitError>> {
        let Some(shared) = &self.shared else {
            return Poll::Ready(Err(SubmitError::Closed));
        };
        let entered = ready!(shared.admission.poll_turn(turn, &mut self.message, cx));
        if entered.is_err() {
            shared.admission.leave(turn);
        }
        self.turn = None;
        Poll::Ready(entered)
    }
}

impl Future for Submit {
    type Output = Result<Receipt, SubmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_enter(cx).map(|entered| {
            entered?;
            self.receipt.take().ok_or(SubmitError::Closed)
        })
    }
}

impl Drop for Submit {
    fn drop(&mut self) {
        if let (Some(turn), Some(shared)) = (self.turn.take(), &self.shared) {
            shared.admission.leave(turn);
        }
    }
}

impl std::fmt::Debug for Submit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submit")
            .field("waiting", &self.turn.is_some())
            .finish_non_exhaustive()
    }
}
