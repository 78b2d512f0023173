//! The way of one write through the gate.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::error::SubmitError;
use super::gate::{Charge, Turn};
use super::receipt::Receipt;
use super::table::Handle;
use super::worker::Message;

/// A future that resolves to the write's [`Receipt`] once it is accepted.
///
/// # Cancel safety
///
/// Dropped before it resolves, nothing was submitted, and the callers behind are served.
#[must_use = "a write is submitted by awaiting it"]
pub struct Submit {
    handle: Option<Arc<Handle>>,
    message: Option<Message>,
    charge: Charge,
    receipt: Option<Receipt>,
    refused: Option<SubmitError>,
    turn: Option<Turn>,
}

impl Submit {
    pub(super) fn new(
        handle: Arc<Handle>,
        message: Message,
        charge: Charge,
        receipt: Option<Receipt>,
    ) -> Self {
        let (handle, message) = (Some(handle), Some(message));
        Self {
            handle,
            message,
            charge,
            receipt,
            refused: None,
            turn: None,
        }
    }

    pub(super) fn refused(error: SubmitError) -> Self {
        Self {
            handle: None,
            message: None,
            charge: Charge::NONE,
            receipt: None,
            refused: Some(error),
            turn: None,
        }
    }

    /// Enters now or not at all.
    pub(super) fn try_enter(mut self) -> Result<Receipt, SubmitError> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        let Some(handle) = &self.handle else {
            return Err(SubmitError::Closed);
        };
        if handle.gate.try_enter(self.charge, &mut self.message)? {
            self.receipt.take().ok_or(SubmitError::Closed)
        } else {
            Err(SubmitError::Full)
        }
    }

    pub(super) fn poll_enter(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SubmitError>> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(error));
        }
        let Some(handle) = &self.handle else {
            return Poll::Ready(Err(SubmitError::Closed));
        };
        if let Some(turn) = self.turn {
            return self.poll_turn(turn, cx);
        }
        if self.message.is_none() {
            return Poll::Ready(Err(SubmitError::Closed));
        }
        match handle.gate.try_enter(self.charge, &mut self.message) {
            Ok(true) => Poll::Ready(Ok(())),
            Err(reason) => Poll::Ready(Err(reason)),
            Ok(false) => {
                let turn = handle.gate.queue(self.charge);
                self.turn = Some(turn);
                self.poll_turn(turn, cx)
            }
        }
    }

    fn poll_turn(&mut self, turn: Turn, cx: &mut Context<'_>) -> Poll<Result<(), SubmitError>> {
        let Some(handle) = &self.handle else {
            return Poll::Ready(Err(SubmitError::Closed));
        };
        let entered = ready!(handle.gate.poll_turn(turn, &mut self.message, cx));
        if entered.is_err() {
            handle.gate.leave(turn);
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
        if let (Some(turn), Some(handle)) = (self.turn.take(), &self.handle) {
            handle.gate.leave(turn);
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
