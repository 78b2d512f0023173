//! Where what comes out goes.

use std::error::Error;
use std::future::Future;

use super::delivery::Delivery;

/// What a pipeline writes to.
///
/// Each value comes with its [`Delivery`], which the sink says is [`done`](Delivery::done) once the effect is durable, and
/// not before: that moves the source's checkpoint. A value that can't be written for its own sake is
/// [`reject`](Delivery::reject)ed, which leads it to the dead-letter output. A delivery that is dropped stops the pipeline.
///
/// What was written must become durable without further writes: a sink that collects does so for a bounded time.
pub trait Sink<T>: Send + 'static {
    /// Takes a value: waits for room, not for durability. Called with one value at a time, in order within each lane.
    ///
    /// # Errors
    ///
    /// What ends the pipeline; for a value that is at fault itself, reject the delivery. An error met between two writes
    /// is given by the next `write`, `flush` or `close`.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the value may or may not have been taken.
    fn write(
        &mut self,
        value: T,
        delivery: Delivery,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Waits until all that was written is durable or rejected, and its deliveries say so.
    ///
    /// # Errors
    ///
    /// Where something was neither.
    fn flush(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Ends. Called after the last flush, failed or not.
    ///
    /// # Errors
    ///
    /// What stands in the way of an orderly end; all that matters was said by `flush`.
    fn close(self) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// What a sink failed with.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct SinkError {
    error: Box<dyn Error + Send + Sync>,
    retryable: bool,
}

impl SinkError {
    /// One that somebody has to mend.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            error: error.into(),
            retryable: false,
        }
    }

    /// Says whether a new run may succeed with nothing changed.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Whether a new run may succeed with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// What it was made of.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}
