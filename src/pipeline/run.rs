//! Running a pipeline, to whichever end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::chain::{Chain, End, Outputs};
use super::dead_letter::{DeadLetter, DeadLetters};
use super::error::PipelineError;
use super::flow::Flow;
use super::handover::Handover;
use super::job::Job;
use super::operator::Operator;
use super::shared::Shared;
use super::sink::{Sink, SinkError};
use super::source::Source;
use super::stats::PipelineReport;

/// However the run ends, also by being dropped.
struct CloseLetters<'a, L>(&'a Shared<L>);

impl<L> Drop for CloseLetters<'_, L> {
    fn drop(&mut self) {
        self.0.close_letters();
    }
}

/// Set once the sink is flushed: no dead letter comes after that.
#[derive(Default)]
struct Flushed(AtomicBool);

pub(super) async fn run<S, C, K, D>(
    job: Job<S, C, K, D>,
    drain: impl Future<Output = ()> + Send,
    abort: impl Future<Output = ()> + Send,
) -> Result<PipelineReport, PipelineError>
where
    S: Source,
    C: Chain<In = S::Item>,
    K: Sink<C::Out>,
    D: DeadLetters<S::Item>,
{
    job.check()?;
    let stats = job.stats();
    let Job {
        mut source,
        chain,
        mut sink,
        dead_letters,
        settings,
        operators,
        sink_operator,
    } = job;
    let source_operator = operators
        .first()
        .map_or_else(|| Arc::new(Operator::new("source", "source")), Arc::clone);
    let (convert, mut dead) = dead_letters.into_parts();
    let shared = Arc::new(Shared::new(
        source_operator,
        sink_operator,
        settings.bounds(),
        dead.is_some(),
    ));
    let _closing = CloseLetters(&shared);

    let result = {
        let handover = Handover::new();
        let flushed = Flushed::default();
        let flow = Flow {
            convert,
            shared: &shared,
        };
        let mut work = pin!(async {
            tokio::try_join!(
                flow.run(&mut source, chain.build(End), &handover),
                deliver(&mut sink, &handover, &shared, &flushed),
                bury(dead.as_mut(), &shared, &flushed),
            )
        });
        tokio::select! {
            biased;
            () = abort => Err(PipelineError::Aborted { in_flight: shared.in_flight() }),
            failed = shared.failed() => failed.map(|never| match never {}),
            done = &mut work => done.map(drop).and_then(|()| match shared.in_flight() {
                0 => Ok(()),
                records => Err(lost(&shared.sink, records as u64)),
            }),
            // After the work, which may say why.
            records = shared.lost() => Err(lost(&shared.sink, records)),
            () = drained(drain, &shared, settings.drain()) => Err(PipelineError::DrainTimeout {
                in_flight: shared.in_flight(),
                timeout: settings.drain(),
            }),
        }
    };
    // What was in the operators is dropped by now, un-acknowledged; so are letters that were not written.
    shared.close_letters();
    let ending = Ending {
        source: Arc::clone(&shared.source),
        sink: Arc::clone(&shared.sink),
        drain: settings.drain(),
        close: settings.close(),
    };
    ending.end(result, source, sink, dead).await?;
    Ok(stats.report())
}

fn lost(sink: &Operator, records: u64) -> PipelineError {
    let operator = Arc::clone(&sink.name);
    PipelineError::Lost { operator, records }
}

/// Resolves when the drain was asked for and has taken too long.
async fn drained<L>(drain: impl Future<Output = ()>, shared: &Shared<L>, most: Duration) {
    drain.await;
    shared.drain();
    tokio::time::sleep(most).await;
}

/// Writes what the operators give, until they give no more and all of it is durable.
async fn deliver<O, K: Sink<O>, L>(
    sink: &mut K,
    handover: &Handover<O>,
    shared: &Shared<L>,
    flushed: &Flushed,
) -> Result<(), PipelineError> {
    let operator = &shared.sink;
    let failed = |error| PipelineError::Sink {
        operator: Arc::clone(&operator.name),
        error,
    };
    let mut outputs = Outputs::new();
    while handover.take(&mut outputs).await {
        for (value, delivery) in outputs.drain(..) {
            operator.counts.taken.add_one();
            let Some(delivery) = operator.current(delivery) else {
                continue;
            };
            sink.write(value, delivery).await.map_err(failed)?;
            operator.counts.passed.add_one();
        }
    }
    sink.flush().await.map_err(failed)?;
    flushed.0.store(true, Ordering::SeqCst);
    shared.letters_wake.notify_one();
    Ok(())
}

/// Writes dead letters, until the sink is flushed and all letters are durable.
async fn bury<R, D>(
    dead: Option<&mut D>,
    shared: &Shared<R>,
    flushed: &Flushed,
) -> Result<(), PipelineError>
where
    D: Sink<DeadLetter<R>>,
{
    let Some(dead) = dead else { return Ok(()) };
    loop {
        // Looked at before the letters are: none is posted after it is set.
        let last = flushed.0.load(Ordering::SeqCst);
        let letters = shared.take_letters();
        if letters.is_empty() {
            if last {
                break;
            }
            shared.letters_wake.notified().await;
        }
        for (letter, delivery) in letters {
            if !delivery.is_current() {
                // The record's next reader makes a letter of its own.
                delivery.withdraw();
                continue;
            }
            dead.write(letter, delivery)
                .await
                .map_err(PipelineError::DeadLetter)?;
        }
    }
    dead.flush().await.map_err(PipelineError::DeadLetter)
}

/// The end of a run, orderly or not.
struct Ending {
    source: Arc<Operator>,
    sink: Arc<Operator>,
    drain: Duration,
    close: Duration,
}

impl Ending {
    async fn end<S, O, K, R, D>(
        &self,
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
            let sinks = self.close_sinks(sink, dead).await;
            let source = self.close_source(source).await;
            return sinks.and(source);
        };
        source.stop();
        let aborted = matches!(error, PipelineError::Aborted { .. });
        if aborted {
            drop((sink, dead));
        } else {
            if !matches!(error, PipelineError::DrainTimeout { .. }) {
                let flushed = self.flush(&mut sink, dead.as_mut()).await;
                // The sink dropped what it could not write, and says why only now.
                if let (PipelineError::Lost { .. }, Err(told)) = (&error, flushed) {
                    error = told;
                }
            }
            self.close_sinks(sink, dead).await.unwrap_or_else(|also| {
                tracing::warn!(error = %also, "closing the sinks of a pipeline that failed");
            });
        }
        self.close_source(source).await.unwrap_or_else(|also| {
            tracing::warn!(error = %also, "closing the source of a pipeline that failed");
        });
        Err(error)
    }

    /// So that what was written counts, though the pipeline failed.
    async fn flush<O, K, R, D>(
        &self,
        sink: &mut K,
        dead: Option<&mut D>,
    ) -> Result<(), PipelineError>
    where
        K: Sink<O>,
        D: Sink<DeadLetter<R>>,
    {
        if let Some(dead) = dead
            && let Ok(Err(error)) = timeout(self.drain, dead.flush()).await
        {
            tracing::warn!(%error, "flushing the dead letters of a pipeline that failed");
        }
        match timeout(self.drain, sink.flush()).await {
            Ok(flushed) => flushed.map_err(|error| self.sink_failed(error)),
            Err(_) => Ok(()),
        }
    }

    async fn close_sinks<O, K, R, D>(&self, sink: K, dead: Option<D>) -> Result<(), PipelineError>
    where
        K: Sink<O>,
        D: Sink<DeadLetter<R>>,
    {
        let closed = match timeout(self.close, sink.close()).await {
            Ok(closed) => closed.map_err(|error| self.sink_failed(error)),
            Err(_) => Err(self.close_timeout(&self.sink.name)),
        };
        let Some(dead) = dead else { return closed };
        let dead = match timeout(self.close, dead.close()).await {
            Ok(closed) => closed.map_err(PipelineError::DeadLetter),
            Err(_) => Err(self.close_timeout("dead-letter")),
        };
        closed.and(dead)
    }

    async fn close_source<S: Source>(&self, source: S) -> Result<(), PipelineError> {
        match timeout(self.close, source.close()).await {
            Ok(closed) => closed.map_err(|error| PipelineError::Source {
                operator: Arc::clone(&self.source.name),
                error,
            }),
            Err(_) => Err(self.close_timeout(&self.source.name)),
        }
    }

    fn sink_failed(&self, error: SinkError) -> PipelineError {
        let operator = Arc::clone(&self.sink.name);
        PipelineError::Sink { operator, error }
    }

    fn close_timeout(&self, operator: &str) -> PipelineError {
        PipelineError::CloseTimeout {
            operator: operator.into(),
            timeout: self.close,
        }
    }
}
