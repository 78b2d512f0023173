//! Type-erased sources and sinks: for a field of a struct, for a choice at run time.

use std::fmt;

use futures::future::BoxFuture;

use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::lag::LagProbe;
use super::sink::Sink;
use super::source::{NextEvent, Source, SourceEvent};

/// A [`Source`] of any type, by [`Source::boxed`]. Each event costs an allocation more, each record none.
pub struct BoxSource<T>(Box<dyn DynSource<T>>);

impl<T: Send + 'static> BoxSource<T> {
    pub(super) fn new(source: impl Source<Item = T>) -> Self {
        Self(Box::new(source))
    }
}

/// A source whose futures are boxed.
trait DynSource<T>: Send {
    fn next_event(&mut self) -> BoxFuture<'_, NextEvent<T>>;
    fn next_closing(&mut self) -> BoxFuture<'_, SourceEvent<T>>;
    fn lag(&self) -> Option<LagProbe>;
    fn stop(&mut self);
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), EndpointError>>;
}

impl<S: Source> DynSource<S::Item> for S {
    fn next_event(&mut self) -> BoxFuture<'_, NextEvent<S::Item>> {
        Box::pin(Source::next_event(self))
    }

    fn next_closing(&mut self) -> BoxFuture<'_, SourceEvent<S::Item>> {
        Box::pin(Source::next_closing(self))
    }

    fn lag(&self) -> Option<LagProbe> {
        Source::lag(self)
    }

    fn stop(&mut self) {
        Source::stop(self);
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), EndpointError>> {
        Box::pin(Source::close(*self))
    }
}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Source for BoxSource<T> {
    type Item = T;

    async fn next_event(&mut self) -> NextEvent<T> {
        self.0.next_event().await
    }

    async fn next_closing(&mut self) -> SourceEvent<T> {
        self.0.next_closing().await
    }

    fn lag(&self) -> Option<LagProbe> {
        self.0.lag()
    }

    fn stop(&mut self) {
        self.0.stop();
    }

    async fn close(self) -> Result<(), EndpointError> {
        self.0.close().await
    }

    fn boxed(self) -> Self {
        self
    }
}

impl<T> fmt::Debug for BoxSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxSource").finish_non_exhaustive()
    }
}

/// A [`Sink`] of any type, by [`Sink::boxed`]. Each write costs an allocation more.
pub struct BoxSink<T>(Box<dyn DynSink<T>>);

impl<T: Send + 'static> BoxSink<T> {
    pub(super) fn new(sink: impl Sink<T>) -> Self {
        Self(Box::new(sink))
    }
}

/// A sink whose futures are boxed.
trait DynSink<T>: Send {
    fn open(&mut self) -> BoxFuture<'_, Result<(), EndpointError>>;
    fn write(&mut self, value: T, delivery: Delivery) -> BoxFuture<'_, Result<(), EndpointError>>;
    fn flush(&mut self) -> BoxFuture<'_, Result<(), EndpointError>>;
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), EndpointError>>;
}

impl<T: Send + 'static, K: Sink<T>> DynSink<T> for K {
    fn open(&mut self) -> BoxFuture<'_, Result<(), EndpointError>> {
        Box::pin(Sink::open(self))
    }

    fn write(&mut self, value: T, delivery: Delivery) -> BoxFuture<'_, Result<(), EndpointError>> {
        Box::pin(Sink::write(self, value, delivery))
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), EndpointError>> {
        Box::pin(Sink::flush(self))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), EndpointError>> {
        Box::pin(Sink::close(*self))
    }
}

impl<T: Send + 'static> Sink<T> for BoxSink<T> {
    async fn open(&mut self) -> Result<(), EndpointError> {
        self.0.open().await
    }

    async fn write(&mut self, value: T, delivery: Delivery) -> Result<(), EndpointError> {
        self.0.write(value, delivery).await
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        self.0.flush().await
    }

    async fn close(self) -> Result<(), EndpointError> {
        self.0.close().await
    }

    fn boxed(self) -> Self {
        self
    }
}

impl<T> fmt::Debug for BoxSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxSink").finish_non_exhaustive()
    }
}
