//! Running a pipeline, to any of its ends.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::FusedFuture;

use super::batch_channel::BatchChannel;
use super::boxed_chain::BoxChain;
use super::chain::{Chain, Outputs};
use super::dead_letter::{DeadLetter, DeadLetters};
use super::delivery::Holder;
use super::driver;
use super::ending::{Abort, Ending};
use super::endpoint_error::EndpointError;
use super::error::PipelineError;
use super::flow::Flow;
use super::job::Job;
use super::meter::Meter;
use super::monitor::Monitor;
use super::shared::{CloseLetters, Shared};
use super::signal::until_signal;
use super::sink::Sink;
use super::source::Source;
use super::stats::PipelineReport;
use crate::clock::Clock;

impl<S, C, K, D> Job<S, C, K, D>
where
    S: Source,
    C: Chain<In = S::Item>,
    K: Sink<C::Out>,
    D: DeadLetters<S::Item>,
{
    // The futures say themselves that they are `Send`: inferred where a pipeline is spawned, it can
    // fail for types with lifetimes.

    /// Runs until the source ends and all that it gave is durable.
    ///
    /// # Errors
    ///
    /// See [`Job`].
    pub fn run(self) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        run(self.without_chain(), pending(), pending())
    }

    /// Runs until the source ends or `shutdown` resolves. Then the source is stopped, what is in
    /// flight is finished, the sink is flushed and the source closed, so that positions are stored.
    ///
    /// # Errors
    ///
    /// See [`Job`]; [`PipelineError::DrainTimeout`] where finishing takes longer than
    /// [`stop_timeout`](super::PipelineSettings::stop_timeout) allows.
    pub fn run_until(
        self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        run(self.without_chain(), shutdown, pending())
    }

    /// Runs as [`run_until`](Self::run_until) does, and where `abort` resolves, all that is in flight is
    /// given up at once: the sink is dropped, the source closed with what was acknowledged by then.
    ///
    /// # Errors
    ///
    /// See [`Job`]; [`PipelineError::Aborted`] after `abort`.
    pub fn run_until_or_abort(
        self,
        shutdown: impl Future<Output = ()> + Send,
        abort: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        run(self.without_chain(), shutdown, abort)
    }

    /// Runs until the source ends or SIGTERM or ctrl-C ends the process: the first signal has it
    /// stop as [`run_until`](Self::run_until) does, a second one gives up what is in flight.
    ///
    /// From then on these signals no longer end the process by themselves, also after this has
    /// returned.
    ///
    /// # Errors
    ///
    /// See [`Job`]; [`PipelineError::Signal`] where the signals can't be listened for,
    /// [`PipelineError::Aborted`] after the second one.
    pub fn run_until_signal(
        self,
    ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        run_until_signal(self.without_chain())
    }
}

/// A job whose operators are behind one pointer.
///
/// The futures of a run, and what is generic over them, would otherwise have the whole chain in their names and be compiled
/// anew for each. A record takes one virtual call more, to the first operator.
type AnyChain<S, O, K, D> = Job<S, BoxChain<<S as Source>::Item, O>, K, D>;

impl<S, C, K, D> Job<S, C, K, D>
where
    S: Source,
    C: Chain<In = S::Item>,
{
    fn without_chain(self) -> AnyChain<S, C::Out, K, D> {
        Job {
            source: self.source,
            chain: BoxChain::new(self.chain),
            sink: self.sink,
            dead_letters: self.dead_letters,
            settings: self.settings,
            operators: self.operators,
            sink_operator: self.sink_operator,
            dead_letter_operator: self.dead_letter_operator,
            in_flight: self.in_flight,
            lag: self.lag,
            driver: self.driver,
            group: self.group,
        }
    }
}

fn run_until_signal<S, O, K, D>(
    job: AnyChain<S, O, K, D>,
) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send
where
    S: Source,
    O: Send + 'static,
    K: Sink<O>,
    D: DeadLetters<S::Item>,
{
    until_signal(|first, second| run(job, first, second))
}

/// Set once the sink is flushed: no dead letter comes after that.
#[derive(Default)]
struct Flushed(AtomicBool);

async fn run<S, O, K, D>(
    job: AnyChain<S, O, K, D>,
    drain: impl Future<Output = ()> + Send,
    abort: impl Future<Output = ()> + Send,
) -> Result<PipelineReport, PipelineError>
where
    S: Source,
    O: Send + 'static,
    K: Sink<O>,
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
        dead_letter_operator,
        in_flight,
        lag,
        mut driver,
        group,
    } = job;
    let (convert, mut dead) = dead_letters.into_parts();
    let shared = Arc::new(Shared::new(
        Arc::clone(&operators),
        sink_operator,
        dead_letter_operator,
        Arc::clone(&in_flight),
        dead.is_some(),
        driver.as_ref().map(|driver| driver.turns()),
    ));
    let _closing = CloseLetters(&shared);
    let clock = in_flight.clock();
    let probe = source.lag();
    let mut meter = Meter::new(settings.get_name(), group, stats.clone(), &in_flight);
    let abort = pin!(abort);
    let mut abort = Abort::new(abort);
    // When the end began, if it was asked for.
    let asked = OnceLock::new();

    let (result, begun) = {
        let channel = BatchChannel::new();
        let flushed = Flushed::default();
        let flow = Flow {
            convert,
            shared: &shared,
        };
        let delivering = pin!(deliver(&mut sink, &channel, &shared, &flushed).fuse());
        let mut delivering: Part<'_> = delivering;
        let writing_letters = pin!(write_dead_letters(dead.as_mut(), &shared, &flushed).fuse());
        let mut writing_letters: Part<'_> = writing_letters;
        let result = {
            let mut work = pin!(async {
                let working = async {
                    tokio::try_join!(
                        flow.run(&mut source, chain.into_stage(), &channel),
                        &mut delivering,
                        &mut writing_letters,
                    )?;
                    shared.turns.iter().for_each(|turns| turns.finish());
                    Ok(())
                };
                tokio::try_join!(working, driver::run(driver.as_deref_mut(), shared.room()))
            });
            let monitor = Monitor::new(
                in_flight,
                &mut meter,
                settings.stall(),
                &operators,
                &shared.sink,
                &shared.dead_letters,
                shared.turns.is_some(),
            );
            tokio::select! {
                biased;
                () = abort.fired() => Err(PipelineError::Aborted { in_flight: shared.in_flight() }),
                failed = shared.failed() => failed.map(|never| match never {}),
                done = &mut work => done.map(drop).and_then(|()| unsettled(&shared)),
                // After the work, which may give the reason.
                lost = shared.losing() => Err(lost),
                stalled = monitor.run() => Err(stalled),
                never = lag.follow(probe, clock) => match never {},
                () = drained(drain, &shared, &clock, &asked, settings.drain()) => Err(PipelineError::DrainTimeout {
                    in_flight: shared.in_flight(),
                    timeout: settings.drain(),
                }),
            }
        };
        shared.turns.iter().for_each(|turns| turns.shut());
        let begun = asked.get().copied().unwrap_or_else(|| clock.now());
        let result = match result {
            Err(lost @ PipelineError::Lost { .. }) => {
                channel.finish();
                shared.letters_wake.notify_one();
                let by = clock.until(begun + settings.drain());
                let cause = cause_of_loss(&mut delivering, &mut writing_letters, &shared);
                tokio::select! {
                    biased;
                    () = abort.fired() => Err(lost),
                    cause = cause => Err(cause.err().unwrap_or(lost)),
                    () = by => Err(lost),
                }
            }
            result => result,
        };
        (result, begun)
    };
    driver::close(driver, &mut abort).await;
    // What was in the operators is dropped by now, un-acknowledged; so are letters that were not
    // written.
    shared.close_letters();
    let mut ending = Ending::new(
        shared.source(),
        &shared.sink,
        clock,
        begun,
        &settings,
        abort,
    );
    ending.end(result, source, sink, dead).await?;
    Ok(stats.report())
}

/// Fails if the work is over and not all records are settled.
fn unsettled<L>(shared: &Shared<L>) -> Result<(), PipelineError> {
    // A record that was refused in the last write, and ended the pipeline.
    shared.check()?;
    if let Some(lost) = shared.lost() {
        return Err(lost);
    }
    match shared.in_flight() {
        0 => Ok(()),
        records => Err(PipelineError::Lost {
            operator: Arc::clone(&shared.sink.name),
            records: records as u64,
        }),
    }
}

/// A part of a run, without its type: what joins the parts would be compiled anew for each.
type Part<'a> = Pin<&'a mut (dyn FusedFuture<Output = Result<(), PipelineError>> + Send + 'a)>;

/// Finishes the writes that have begun, and flushes, for the reason why deliveries were dropped.
///
/// A sink may drop a delivery well before the write that did so returns its error.
async fn cause_of_loss<L>(
    delivering: &mut Part<'_>,
    writing_letters: &mut Part<'_>,
    shared: &Shared<L>,
) -> Result<(), PipelineError> {
    // A record that was refused is a reason of its own.
    shared.check()?;
    let delivering = async {
        match delivering.is_terminated() {
            true => Ok(()),
            false => delivering.await,
        }
    };
    let writing_letters = async {
        match writing_letters.is_terminated() {
            true => Ok(()),
            false => writing_letters.await,
        }
    };
    tokio::try_join!(delivering, writing_letters)?;
    shared.check()
}

/// Resolves when the drain was asked for and has taken too long.
async fn drained<L>(
    drain: impl Future<Output = ()>,
    shared: &Shared<L>,
    clock: &Clock,
    asked: &OnceLock<Duration>,
    max: Duration,
) {
    drain.await;
    let now = *asked.get_or_init(|| clock.now());
    shared.drain();
    clock.until(now + max).await;
}

/// Writes what the operators give, until they give no more and all of it is durable.
async fn deliver<O, K: Sink<O>, L>(
    sink: &mut K,
    channel: &BatchChannel<O>,
    shared: &Shared<L>,
    flushed: &Flushed,
) -> Result<(), PipelineError> {
    let operator = &shared.sink;
    let failed = |error: EndpointError| PipelineError::Sink {
        operator: error.sink_or(&operator.name),
        error,
    };
    sink.open().await.map_err(failed)?;
    let mut outputs = Outputs::new();
    'values: while channel.take(&mut outputs).await {
        for (value, delivery) in outputs.drain(..) {
            if shared.lost().is_some() {
                // The pipeline ends: nothing more is written behind what was dropped.
                break 'values;
            }
            operator.counts.taken.add_one();
            let Some(delivery) = operator.hand(delivery, Holder::Sink) else {
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
async fn write_dead_letters<R, D>(
    dead: Option<&mut D>,
    shared: &Shared<R>,
    flushed: &Flushed,
) -> Result<(), PipelineError>
where
    D: Sink<DeadLetter<R>>,
{
    let Some(dead) = dead else { return Ok(()) };
    dead.open().await.map_err(PipelineError::DeadLetter)?;
    loop {
        // Looked at before the letters are: none is posted after it is set.
        let last = flushed.0.load(Ordering::SeqCst) || shared.lost().is_some();
        let letters = shared.take_letters();
        if letters.is_empty() {
            if last {
                break;
            }
            shared.letters_wake.notified().await;
        }
        for (letter, delivery) in letters {
            // The next reader of a record that is not current makes a letter of its own.
            let Some(delivery) = shared.dead_letters.hand(delivery, Holder::DeadLetters) else {
                continue;
            };
            dead.write(letter, delivery)
                .await
                .map_err(PipelineError::DeadLetter)?;
        }
    }
    dead.flush().await.map_err(PipelineError::DeadLetter)
}
