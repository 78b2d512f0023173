//! The sinks of two branches as one.

use std::sync::Arc;

use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::operator::Operator;
use super::sink::Sink;

/// A value on its way to the sink of its branch.
#[derive(Debug)]
pub enum Branched<L, R> {
    /// A value of the first branch.
    First(L),
    /// A value of the second branch.
    Second(R),
}

/// The sinks of two branches.
pub(super) struct BranchedSink<L, R> {
    first: BranchSink<L>,
    second: BranchSink<R>,
    /// Set once a flush failed.
    has_failed: bool,
}

/// The sink of one branch.
pub(super) struct BranchSink<K> {
    pub(super) sink: K,
    pub(super) operator: Arc<Operator>,
}

impl<L, R> BranchedSink<L, R> {
    pub(super) fn new(first: BranchSink<L>, second: BranchSink<R>) -> Self {
        Self {
            first,
            second,
            has_failed: false,
        }
    }
}

impl<K> BranchSink<K> {
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

    async fn flush<T>(&mut self) -> Result<(), EndpointError>
    where
        K: Sink<T>,
    {
        let flushed = self.sink.flush().await;
        self.named(flushed)
    }

    async fn close<T>(self) -> Result<(), EndpointError>
    where
        K: Sink<T>,
    {
        let name = Arc::clone(&self.operator.name);
        let closed = self.sink.close().await;
        closed.map_err(|error| error.of_sink(&name))
    }
}

impl<T, U, L, R> Sink<Branched<T, U>> for BranchedSink<L, R>
where
    T: Send + 'static,
    U: Send + 'static,
    L: Sink<T>,
    R: Sink<U>,
{
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
        let (first, second) = (self.first.flush::<T>(), self.second.flush::<U>());
        if self.has_failed {
            // The pipeline ends, and flushes once more: the other's writes still count.
            let (first, second) = tokio::join!(first, second);
            return both(first, second);
        }
        // The error of one is the pipeline's, and must not wait for an outage of the other.
        let flushed = tokio::try_join!(first, second);
        self.has_failed = flushed.is_err();
        flushed.map(|((), ())| ())
    }

    async fn close(self) -> Result<(), EndpointError> {
        let (first, second) = tokio::join!(self.first.close::<T>(), self.second.close::<U>());
        both(first, second)
    }
}

/// Returns the first error, and logs the second where there are two.
pub(super) fn both(
    first: Result<(), EndpointError>,
    second: Result<(), EndpointError>,
) -> Result<(), EndpointError> {
    if let (Err(_), Err(also)) = (&first, &second) {
        tracing::warn!(error = %also, "the other part of a pipeline's end failed too");
    }
    first.and(second)
}
