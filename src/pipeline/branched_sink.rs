//! The sinks of two branches as one.

use std::sync::Arc;

use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::operator::Operator;
use super::sink::Sink;

/// A value on its way to the sink of its branch.
#[derive(Debug)]
pub enum Branched<L, R> {
    /// Of the first branch.
    First(L),
    /// Of the second one.
    Second(R),
}

/// The sinks of two branches.
pub(super) struct BranchedSink<L, R> {
    first: BranchSink<L>,
    second: BranchSink<R>,
}

/// The sink of one branch.
pub(super) struct BranchSink<K> {
    sink: K,
    operator: Arc<Operator>,
    /// The error of a flush that is not reported yet: the other branch may hang, and the wait for both be given up.
    flush_error: Option<EndpointError>,
}

impl<L, R> BranchedSink<L, R> {
    pub(super) fn new(first: BranchSink<L>, second: BranchSink<R>) -> Self {
        Self { first, second }
    }
}

impl<K> BranchSink<K> {
    pub(super) fn new(sink: K, operator: Arc<Operator>) -> Self {
        Self {
            sink,
            operator,
            flush_error: None,
        }
    }

    async fn open<T>(&mut self) -> Result<(), EndpointError>
    where
        K: Sink<T>,
    {
        let opened = self.sink.open().await;
        self.named(opened)
    }

    async fn write<T>(&mut self, value: T, mut delivery: Delivery) -> Result<(), EndpointError>
    where
        K: Sink<T>,
    {
        self.operator.counts.taken.add_one();
        delivery.hand_to_sink(&self.operator.name);
        let written = self.sink.write(value, delivery).await;
        self.named(written)?;
        self.operator.counts.passed.add_one();
        Ok(())
    }

    /// Adds this sink's name to an error that has none.
    fn named(&self, result: Result<(), EndpointError>) -> Result<(), EndpointError> {
        result.map_err(|error| error.of_sink(&self.operator.name))
    }

    /// Flushes, and keeps an error until it is taken.
    async fn flush<T>(&mut self)
    where
        K: Sink<T>,
    {
        let flushed = self.sink.flush().await;
        if let Err(error) = self.named(flushed) {
            // The other branch's flush may take its time, or hang.
            tracing::warn!(sink = &*self.operator.name, %error, "a branch of a pipeline was not flushed");
            self.flush_error.get_or_insert(error);
        }
    }

    /// Fails with the error of a flush, once.
    fn check(&mut self) -> Result<(), EndpointError> {
        self.flush_error.take().map_or(Ok(()), Err)
    }

    async fn close<T>(mut self) -> Result<(), EndpointError>
    where
        K: Sink<T>,
    {
        let flushed = self.check();
        let name = Arc::clone(&self.operator.name);
        let closed = self.sink.close().await;
        flushed.and(closed.map_err(|error| error.of_sink(&name)))
    }
}

impl<T, U, L, R> Sink<Branched<T, U>> for BranchedSink<L, R>
where
    T: Send + 'static,
    U: Send + 'static,
    L: Sink<T>,
    R: Sink<U>,
{
    async fn open(&mut self) -> Result<(), EndpointError> {
        self.first.open::<T>().await?;
        self.second.open::<U>().await
    }

    async fn write(
        &mut self,
        value: Branched<T, U>,
        delivery: Delivery,
    ) -> Result<(), EndpointError> {
        match value {
            Branched::First(value) => self.first.write(value, delivery).await,
            Branched::Second(value) => self.second.write(value, delivery).await,
        }
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        // Flushes both even if one fails: the other's writes still count.
        tokio::join!(self.first.flush::<T>(), self.second.flush::<U>());
        let (first, second) = (self.first.check(), self.second.check());
        first_of(first, second)
    }

    async fn close(self) -> Result<(), EndpointError> {
        let (first, second) = tokio::join!(self.first.close::<T>(), self.second.close::<U>());
        first_of(first, second)
    }
}

/// Returns the first error. A second one is logged, or it would show nowhere.
fn first_of(
    first: Result<(), EndpointError>,
    second: Result<(), EndpointError>,
) -> Result<(), EndpointError> {
    if let (Err(_), Err(also)) = (&first, &second) {
        tracing::warn!(error = %also, "the second branch of a pipeline failed too");
    }
    first.and(second)
}
