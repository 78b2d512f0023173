//! The driver of the transactions that a pipeline ends in, as its run knows it.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::ending::Abort;
use super::error::PipelineError;
use super::in_flight::InFlight;
use super::operator::Operator;
#[cfg(feature = "kafka")]
use super::transaction_stats::TransactionCounts;
use super::turns::Turns;

/// Lets records into transactions, and commits these.
pub(super) trait Driver: Send {
    /// Returns the gate before the transactions.
    fn turns(&self) -> Arc<dyn Turns>;

    /// Returns the counts of the transactions.
    #[cfg(feature = "kafka")]
    fn counts(&self) -> Arc<TransactionCounts>;

    /// Names the group that it is of, before it runs.
    fn set_group(&mut self, group: u32);

    /// Runs until the gate has [finished](Turns::finish) and all that passed it is committed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, a transaction may be open: it is to be [closed](Self::close).
    fn run<'a>(&'a mut self, room: Room<'a>) -> BoxFuture<'a, Result<(), PipelineError>>;

    /// Aborts what is open, within a bounded time.
    fn close(&mut self) -> BoxFuture<'_, ()>;
}

/// Runs the transactions that a pipeline ends in, if it does.
pub(super) async fn run(
    driver: Option<&mut (dyn Driver + '_)>,
    room: Room<'_>,
) -> Result<(), PipelineError> {
    match driver {
        Some(driver) => driver.run(room).await,
        None => Ok(()),
    }
}

/// Closes them, unless the wish to end at once comes before.
pub(super) async fn close(driver: Option<Box<dyn Driver>>, abort: &mut Abort<'_>) {
    if let Some(mut driver) = driver {
        tokio::select! {
            biased;
            () = abort.fired() => {}
            () = driver.close() => {}
        }
    }
}

/// The parts of a run that records report to when they pass.
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    pub(super) in_flight: &'a InFlight,
    pub(super) flow: &'a Notify,
    pub(super) source: &'a Operator,
    pub(super) sink: &'a Operator,
}
