//! Messages to a table's worker, in the order in which it acts on them.

use tokio::sync::oneshot;

use super::core::{Saved, Submission};
use super::error::DrainError;
use super::outcome::Outcome;
use super::receipt::Completion;
use crate::capacity::{Concurrency, Rate};

/// A message that passes admission.
#[derive(Debug)]
pub(super) enum Message {
    Write(Submission<Completion>),
    Control(Control),
    /// The outcomes of failed writes that no receipt has observed.
    Unobserved(Vec<Outcome>),
    /// The outcome of a record that could not be made a write, for the counts.
    Misfit(Outcome),
}

/// A request of a handle, which takes no room in the buffer.
#[derive(Debug)]
pub(super) enum Control {
    Flush(Reply),
    Close(Reply),
    Snapshot(oneshot::Sender<Result<Vec<Saved>, DrainError>>),
    Abort(oneshot::Sender<Vec<Outcome>>),
    SetRate(Rate),
    SetConcurrency(Concurrency),
}

/// The way of the answer to a flush or a close.
pub(super) type Reply = oneshot::Sender<Result<(), DrainError>>;

/// The log line for failed writes that no receipt, handler, flush or close is left to report.
pub(super) const UNREPORTED: &str = "writes failed, and no flush or close is left to report them";
