//! The part of a producer in the protocol.

use super::failures::{CallError, not_open};
use super::sort::Call;

/// The producer's part in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Ready,
    /// In a transaction.
    Open,
    /// Its outcome is not known, or it failed: of no use any more.
    Lost,
    /// As lost, but nothing is open: another producer has the id, or the brokers have ended the transaction.
    Fenced,
}

impl Phase {
    /// Returns whether the producer is to be renewed.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Lost | Self::Fenced)
    }

    /// Refuses a call that belongs into a transaction where there is none.
    ///
    /// # Errors
    /// Outside of a transaction.
    pub(super) fn require_open(self, call: Call) -> Result<(), CallError> {
        match self {
            Self::Open => Ok(()),
            Self::Ready => Err(not_open(call, "there is no transaction")),
            Self::Lost | Self::Fenced => Err(not_open(call, "the producer is to be renewed")),
        }
    }
}
