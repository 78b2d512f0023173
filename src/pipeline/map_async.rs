//! The operator that waits for what it makes of a value.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};

use super::chain::{Chain, Outputs, Stage};
use super::delivery::Delivery;
use super::error::PipelineError;
use super::operator::{OnFailure, Operator};
use super::reason::{Reason, ReasonKind};
use super::reorder_buffer::{ReorderBuffer, Ticket};
use super::scheduler::Scheduler;
use super::settings::{CONCURRENCY, TIMEOUT, check};

/// Operators up to an asynchronous closure on each value.
pub struct MapAsync<P, F, U> {
    before: P,
    operator: Arc<Operator>,
    f: F,
    pub(super) concurrency: usize,
    pub(super) timeout: Duration,
    out: PhantomData<fn() -> U>,
}

impl<P, F, U> MapAsync<P, F, U> {
    pub(super) fn new(before: P, operator: Operator, f: F) -> Self {
        Self {
            before,
            operator: Arc::new(operator),
            f,
            concurrency: 64,
            timeout: Duration::from_secs(10),
            out: PhantomData,
        }
    }
}

impl<P, F, U, R, E> Chain for MapAsync<P, F, U>
where
    P: Chain,
    F: FnMut(P::Out) -> R + Send + 'static,
    R: Future<Output = Result<U, E>> + Send + 'static,
    U: Send + 'static,
    E: Into<Reason>,
{
    type In = P::In;
    type Out = U;
    type Stage<D, O>
        = P::Stage<MapAsyncStage<F, P::Out, U, D>, O>
    where
        D: Stage<U, O>,
        O: Send + 'static;

    fn build<D, O>(self, down: D) -> Self::Stage<D, O>
    where
        D: Stage<U, O>,
        O: Send + 'static,
    {
        self.before.build(MapAsyncStage {
            operator: self.operator,
            f: self.f,
            timeout: self.timeout,
            scheduler: Scheduler::new(self.concurrency),
            running: FuturesUnordered::new(),
            reorder_buffer: ReorderBuffer::new(),
            down,
        })
    }

    fn last(&mut self) -> &mut Arc<Operator> {
        &mut self.operator
    }

    fn operators(&self, into: &mut Vec<Arc<Operator>>) {
        self.before.operators(into);
        into.push(Arc::clone(&self.operator));
    }

    fn check(&self) -> Result<(), PipelineError> {
        self.before.check()?;
        check(&self.operator.name, |place| {
            CONCURRENCY.check(place, self.concurrency)?;
            TIMEOUT.check(place, self.timeout)
        })
    }
}

impl<P, F, U> fmt::Debug for MapAsync<P, F, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapAsync")
            .field("operator", &self.operator.name)
            .finish_non_exhaustive()
    }
}

/// An asynchronous closure on each value, and what comes after.
pub struct MapAsyncStage<F, T, U, D> {
    operator: Arc<Operator>,
    f: F,
    timeout: Duration,
    scheduler: Scheduler<(T, Delivery, Ticket)>,
    running: FuturesUnordered<BoxFuture<'static, Ended<U>>>,
    reorder_buffer: ReorderBuffer<(U, Delivery)>,
    down: D,
}

struct Ended<U> {
    ticket: Ticket,
    delivery: Delivery,
    result: Result<U, Attempt<Reason>>,
}

/// The failure of an attempt.
pub(super) enum Attempt<E> {
    /// It failed, or panicked.
    OfRecord(E),
    TimedOut(Reason),
}

impl<F, T, U, R, E, D> MapAsyncStage<F, T, U, D>
where
    F: FnMut(T) -> R,
    R: Future<Output = Result<U, E>> + Send + 'static,
    U: Send + 'static,
    E: Into<Reason>,
{
    fn start(&mut self) {
        while let Some((value, delivery, ticket)) = self.scheduler.next() {
            let made = catch_unwind(AssertUnwindSafe(|| (self.f)(value)));
            let timeout = self.timeout;
            self.running.push(Box::pin(async move {
                let result = match made {
                    Ok(future) => attempt(future, timeout, Reason::panicked).await,
                    Err(_) => Err(Attempt::OfRecord(Reason::panicked())),
                };
                Ended {
                    ticket,
                    delivery,
                    result,
                }
            }));
        }
    }
}

/// One attempt, which may take so long, and whose panic is an error.
pub(super) async fn attempt<U, E: Into<F>, F>(
    future: impl Future<Output = Result<U, E>> + Send,
    timeout: Duration,
    panicked: fn() -> F,
) -> Result<U, Attempt<F>> {
    let future = AssertUnwindSafe(future).catch_unwind();
    match tokio::time::timeout(timeout, future).await {
        Ok(Ok(result)) => result.map_err(|error| Attempt::OfRecord(error.into())),
        Ok(Err(_)) => Err(Attempt::OfRecord(panicked())),
        Err(_) => {
            let text = format!("not done within {timeout:?}");
            Err(Attempt::TimedOut(Reason::new(ReasonKind::TimedOut, text)))
        }
    }
}

impl<T, U, O, F, R, E, D> Stage<T, O> for MapAsyncStage<F, T, U, D>
where
    T: Send + 'static,
    U: Send + 'static,
    F: FnMut(T) -> R + Send + 'static,
    R: Future<Output = Result<U, E>> + Send + 'static,
    E: Into<Reason>,
    D: Stage<U, O>,
{
    fn push(&mut self, value: T, delivery: Delivery, _: &mut Outputs<O>) {
        self.operator.counts.taken.add_one();
        let ticket = self.reorder_buffer.enter(delivery.partition());
        self.scheduler
            .offer(ticket.partition(), (value, delivery, ticket));
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool {
        let mut moved = false;
        loop {
            self.start();
            let Poll::Ready(Some(ended)) = self.running.poll_next_unpin(cx) else {
                break;
            };
            moved = true;
            let Ended {
                ticket,
                delivery,
                result,
            } = ended;
            self.scheduler.finished(ticket.partition());
            let value = match (self.operator.current(delivery), result) {
                (Some(delivery), Ok(value)) => Some((value, delivery)),
                (Some(delivery), Err(failed)) => {
                    match failed {
                        Attempt::OfRecord(reason) => self.operator.fail(delivery, reason),
                        // No fault of the record's, and its value is gone.
                        Attempt::TimedOut(reason) => {
                            self.operator.end(delivery, reason, OnFailure::Stop);
                        }
                    }
                    None
                }
                (None, _) => None,
            };
            self.reorder_buffer
                .settle(ticket, value, |(value, delivery)| {
                    self.operator.counts.passed.add_one();
                    self.down.push(value, delivery, out);
                });
        }
        self.down.poll(cx, out) || moved
    }

    fn is_idle(&self) -> bool {
        self.reorder_buffer.is_empty() && self.down.is_idle()
    }
}

impl<F, T, U, D> fmt::Debug for MapAsyncStage<F, T, U, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapAsyncStage")
            .field("operator", &self.operator.name)
            .finish_non_exhaustive()
    }
}
