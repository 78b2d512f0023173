//! The end of a pipeline.

use std::future::{Future, ready};

use super::boxed::BoxSink;
use super::delivery::Delivery;
use super::endpoint_error::EndpointError;

/// A place that a pipeline writes to.
///
/// Each value comes with its [`Delivery`], which the sink says is [`done`](Delivery::done) once the
/// effect is durable, and not before: that moves the source's checkpoint. A value that can't be
/// written through a fault of its own is [`reject`](Delivery::reject)ed, which leads it to the
/// dead-letter output. A delivery that is dropped stops the pipeline.
///
/// What was written must become durable without further writes: a sink that collects does so for a
/// bounded time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sink of `{T}`",
    label = "does not take `{T}`"
)]
pub trait Sink<T>: Send + 'static {
    /// Makes ready, before the first value.
    #[doc(hidden)]
    fn open(&mut self) -> impl Future<Output = Result<(), EndpointError>> + Send {
        ready(Ok(()))
    }

    /// Takes a value: waits for room, not for durability. Called with one value at a time, in order
    /// within each partition.
    ///
    /// # Errors
    ///
    /// An error that ends the pipeline. For a value that is at fault itself, reject the delivery.
    /// An error that occurs between two writes is given by the next `write`, `flush` or `close`.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the value may or may not have been taken.
    fn write(
        &mut self,
        value: T,
        delivery: Delivery,
    ) -> impl Future<Output = Result<(), EndpointError>> + Send;

    /// Waits until all that was written is durable or rejected, and its deliveries say so.
    ///
    /// # Errors
    ///
    /// If something was neither.
    fn flush(&mut self) -> impl Future<Output = Result<(), EndpointError>> + Send;

    /// Returns a sink of one type for all sinks of these values.
    fn boxed(self) -> BoxSink<T>
    where
        Self: Sized,
        T: Send + 'static,
    {
        BoxSink::new(self)
    }

    /// Ends. Called after the last flush, failed or not.
    ///
    /// # Errors
    ///
    /// An error that prevents an orderly end. What became of values was reported by `flush`.
    fn close(self) -> impl Future<Output = Result<(), EndpointError>> + Send;
}

/// A [`Sink`], or a handle that converts into one. Taken by [`Pipeline::to`](super::Pipeline::to).
///
/// A [`TableSink`](crate::sink::TableSink) is one of values to put as items, a `KafkaSink` one of `ProducerRecord`s, and so is every
/// sink by itself. `M` distinguishes the implementations and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sink of `{T}`",
    label = "does not take `{T}`",
    note = "the last operator makes `{T}`: add a `map`, or make the sink for this type",
    note = "a `KafkaSink` takes `ProducerRecord`s, a `TableSink` what is `Serialize`, other sinks what they are a `Sink` of",
    note = "where `{T}` is a future, `map_async` waits for it"
)]
pub trait IntoSink<T, M> {
    /// The sink.
    type Sink: Sink<T>;

    /// Returns the sink.
    fn into_sink(self) -> Self::Sink;
}

/// Marks what is a sink already.
#[derive(Debug)]
pub struct Itself;

/// Marks a handle that a sink is made of.
#[derive(Debug)]
pub struct Handle;

// A message then names `IntoSink`, with its remedies, in the place of `Sink`. The other implementations are left out of
// messages too: the notes name them in fewer lines.
#[diagnostic::do_not_recommend]
impl<T, K: Sink<T>> IntoSink<T, Itself> for K {
    type Sink = K;

    fn into_sink(self) -> K {
        self
    }
}
