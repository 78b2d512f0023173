//! A sink that is a function.

use std::fmt;
use std::future::Future;

use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::sink::Sink;

/// Calls a function for each value, one at a time; when it has returned `Ok`, the effect counts as
/// durable.
pub struct FnSink<F> {
    f: F,
}

impl<F> FnSink<F> {
    /// Returns a sink that calls `f`.
    pub fn new(f: F) -> Self {
        Self { f }
    }
}

impl<T, F, R> Sink<T> for FnSink<F>
where
    T: Send + 'static,
    F: FnMut(T) -> R + Send + 'static,
    R: Future<Output = Result<(), EndpointError>> + Send,
{
    async fn write(&mut self, value: T, delivery: Delivery) -> Result<(), EndpointError> {
        (self.f)(value).await?;
        delivery.done();
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

impl<F> fmt::Debug for FnSink<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnSink").finish_non_exhaustive()
    }
}
