//! The end of a run, orderly or not, within one deadline.
//!
//! ```text
//!  stop, or an error                                       deadline
//!   ├── work in flight is finished, or the sink is flushed ──┼── the rest ──┤
//!   └──────────────── 4/5 of stop_timeout ──────────────────┘ the source's positions, then the sinks
//! ```
//!
//! An abort cuts whatever the end is doing. After one, the source is still closed, within the rest:
//! what was acknowledged is stored.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::dead_letter::DeadLetter;
use super::endpoint_error::EndpointError;
use super::error::PipelineError;
use super::operator::Operator;
use super::settings::PipelineSettings;
use super::sink::Sink;
use super::source::Source;
use crate::clock::Clock;

/// The wish to end at once, which comes once or never.
pub(super) struct Abort<'a> {
    future: Pin<&'a mut (dyn Future<Output = ()> + Send)>,
    has_fired: bool,
}

impl<'a> Abort<'a> {
    pub(super) fn new(future: Pin<&'a mut (dyn Future<Output = ()> + Send)>) -> Self {
        Self {
            future,
            has_fired: false,
        }
    }

    /// Resolves when the wish comes; never a second time.
    pub(super) async fn fired(&mut self) {
        if self.has_fired {
            pending::<()>().await;
        }
        self.future.as_mut().await;
        self.has_fired = true;
    }
}

/// The reason why work of the end was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Aborted,
    TimedOut,
}

pub(super) struct Ending<'a> {
    source: Arc<Operator>,
    sink: Arc<Operator>,
    clock: Clock,
    /// The time by which everything but closing is over, and the time by which closing is.
    finish_by: Duration,
    close_by: Duration,
    /// All of both.
    timeout: Duration,
    abort: Abort<'a>,
}

impl<'a> Ending<'a> {
    /// Returns an end that began at `begun`.
    pub(super) fn new(
        source: &Arc<Operator>,
        sink: &Arc<Operator>,
        clock: Clock,
        begun: Duration,
        settings: &PipelineSettings,
        abort: Abort<'a>,
    ) -> Self {
        Self {
            source: Arc::clone(source),
            sink: Arc::clone(sink),
            clock,
            finish_by: begun + settings.drain(),
            close_by: begun + settings.stop(),
            timeout: settings.stop(),
            abort,
        }
    }

    pub(super) async fn end<S, O, K, R, D>(
        &mut self,
        result: Result<(), PipelineError>,
        mut source: S,
        mut sink: K,
        mut dead: Option<D>,
    ) -> Result<(), PipelineError>
    where
        S: Source,
        K: Sink<O>,
        D: Sink<DeadLetter<R>>,
    {
        let Err(mut error) = result else {
            // Everything is acknowledged.
            let source = self.close_source(source).await;
            return source.and(self.close_sinks(sink, dead).await);
        };
        source.stop();
        if matches!(error, PipelineError::Aborted { .. }) {
            drop((sink, dead));
            self.close_source(source)
                .await
                .unwrap_or_else(|also| log_too(&also));
            return Err(error);
        }
        if !matches!(error, PipelineError::DrainTimeout { .. }) {
            let flushed = self.flush(&mut sink, dead.as_mut()).await;
            // The sink dropped what it could not write, and gives the reason only now.
            if let (PipelineError::Lost { .. }, Err(cause)) = (&error, flushed) {
                error = cause;
            }
        }
        self.close_source(source)
            .await
            .unwrap_or_else(|also| log_too(&also));
        match (&error, self.close_sinks(sink, dead).await) {
            (_, Ok(())) => Err(error),
            (
                PipelineError::Lost { .. },
                Err(cause @ (PipelineError::Sink { .. } | PipelineError::DeadLetter(_))),
            ) => Err(cause),
            (_, Err(also)) => {
                log_too(&also);
                Err(error)
            }
        }
    }

    /// Flushes the sinks, so that what was written counts although the pipeline failed.
    async fn flush<O, K, R, D>(
        &mut self,
        sink: &mut K,
        dead: Option<&mut D>,
    ) -> Result<(), PipelineError>
    where
        K: Sink<O>,
        D: Sink<DeadLetter<R>>,
    {
        if self.abort.has_fired {
            return Ok(());
        }
        let letters = async {
            let Some(dead) = dead else { return Ok(()) };
            dead.flush().await.inspect_err(
                |error| tracing::warn!(%error, "the dead letters of a pipeline that failed are not flushed"),
            )
        };
        let finish_by = self.finish_by;
        let flushed = self.both(finish_by, Box::pin(sink.flush()), Box::pin(letters));
        flushed.await.unwrap_or(Ok(()))
    }

    /// Closes the sinks, or drops them after an abort.
    async fn close_sinks<O, K, R, D>(
        &mut self,
        sink: K,
        dead: Option<D>,
    ) -> Result<(), PipelineError>
    where
        K: Sink<O>,
        D: Sink<DeadLetter<R>>,
    {
        if self.abort.has_fired {
            return Ok(());
        }
        let letters = async {
            match dead {
                Some(dead) => dead.close().await,
                None => Ok(()),
            }
        };
        let close_by = self.close_by;
        let closed = self.both(close_by, Box::pin(sink.close()), Box::pin(letters));
        match closed.await {
            Ok(closed) => closed,
            Err(cut) => Err(self.cut(cut, &self.sink)),
        }
    }

    /// Does a part of the end with both sinks. Boxed, since joins of each pipeline's own types would be compiled anew for each.
    fn both<'b>(
        &'b mut self,
        until: Duration,
        sink: BoxFuture<'b, Result<(), EndpointError>>,
        letters: BoxFuture<'b, Result<(), EndpointError>>,
    ) -> BoxFuture<'b, Result<Result<(), PipelineError>, Cut>> {
        Box::pin(async move {
            let done = self.within(until, async { tokio::join!(sink, letters) });
            let (sink, letters) = done.await?;
            let sink = sink.map_err(|error| self.sink_failed(error));
            Ok(sink.and(letters.map_err(PipelineError::DeadLetter)))
        })
    }

    async fn close_source<S: Source>(&mut self, source: S) -> Result<(), PipelineError> {
        // Closing the sinks has something left of it, and an abort does not wait for all of it.
        let rest = self.close_by.saturating_sub(self.finish_by);
        let latest = self.close_by.saturating_sub(rest / 4);
        let by = if self.abort.has_fired {
            latest.min(self.clock.now() + rest.mul_f64(0.75))
        } else {
            latest
        };
        let closing: BoxFuture<'_, _> = Box::pin(source.close());
        match self.within(by, closing).await {
            Ok(closed) => closed.map_err(|error| PipelineError::Source {
                operator: Arc::clone(&self.source.name),
                error,
            }),
            Err(cut) => Err(self.cut(cut, &self.source)),
        }
    }

    /// Does a part of the end, until this time or an abort.
    async fn within<T>(
        &mut self,
        until: Duration,
        part: impl Future<Output = T>,
    ) -> Result<T, Cut> {
        tokio::select! {
            biased;
            () = self.abort.fired() => Err(Cut::Aborted),
            done = part => Ok(done),
            () = self.clock.until(until) => Err(Cut::TimedOut),
        }
    }

    fn cut(&self, cut: Cut, operator: &Operator) -> PipelineError {
        match cut {
            Cut::Aborted => PipelineError::Aborted { in_flight: 0 },
            Cut::TimedOut => PipelineError::CloseTimeout {
                operator: Arc::clone(&operator.name),
                timeout: self.timeout,
            },
        }
    }

    fn sink_failed(&self, error: EndpointError) -> PipelineError {
        let operator = error.sink_or(&self.sink.name);
        PipelineError::Sink { operator, error }
    }
}

/// Logs an error of the end of a pipeline that ends with another one.
fn log_too(also: &PipelineError) {
    tracing::warn!(error = %also, "closing a pipeline that failed");
}
