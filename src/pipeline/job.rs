//! A complete pipeline, ready to run.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::box_job::BoxJob;
use super::chain::Chain;
use super::dead_letter::DeadLetters;
use super::error::{DEAD_LETTERS, PipelineError};
use super::in_flight::InFlight;
use super::lag::LastLag;
use super::operator::Operator;
use super::run::run;
use super::settings::PipelineSettings;
use super::signal::Signals;
use super::sink::Sink;
use super::source::Source;
use super::stats::{PipelineReport, PipelineStats};

/// A pipeline from its source to its sink. Made by [`Pipeline::to`](super::Pipeline::to).
///
/// It runs in the task that awaits it, all of it: operators need no `Sync`, and dropping the future
/// ends it.
///
/// # Errors
///
/// Each way of running it ends with the first [`PipelineError`]. Then nothing more is taken from
/// the source, what is in the operators is dropped un-acknowledged, the sink is flushed for what it
/// holds, and the source is closed, so that the positions of what is durable are stored. A new run
/// begins there.
///
/// # Cancel safety
///
/// Dropped, or taken down by a source or sink that panics, a run is as a crash: what was not
/// acknowledged is given again by the source, whose last positions may not be stored. Prefer
/// [`run_until`](Self::run_until).
#[must_use = "a pipeline does nothing until it is run"]
pub struct Job<S, C, K, D> {
    pub(super) source: S,
    pub(super) chain: C,
    pub(super) sink: K,
    pub(super) dead_letters: D,
    pub(super) settings: PipelineSettings,
    /// The source first, the sink last.
    pub(super) operators: Arc<[Arc<Operator>]>,
    pub(super) sink_operator: Arc<Operator>,
    pub(super) dead_letter_operator: Arc<Operator>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) lag: LastLag,
}

impl<S, C, K, D> Job<S, C, K, D>
where
    S: Source,
    C: Chain<In = S::Item>,
    K: Sink<C::Out>,
    D: DeadLetters<S::Item>,
{
    pub(super) fn new(
        source: S,
        chain: C,
        sink: K,
        sink_operator: Operator,
        dead_letters: D,
        settings: PipelineSettings,
    ) -> Self {
        let sink_operator = Arc::new(sink_operator);
        let mut operators = Vec::new();
        chain.operators(&mut operators);
        operators.push(Arc::clone(&sink_operator));
        Self {
            source,
            chain,
            sink,
            dead_letters,
            in_flight: Arc::new(InFlight::new(settings.limits())),
            lag: LastLag::default(),
            settings,
            operators: operators.into(),
            sink_operator,
            dead_letter_operator: Arc::new(Operator::new("dead_letter", DEAD_LETTERS)),
        }
    }

    /// Reads the counts while the pipeline runs.
    #[must_use]
    pub fn stats(&self) -> PipelineStats {
        PipelineStats::new(
            Arc::clone(&self.operators),
            Arc::clone(&self.dead_letter_operator),
            Arc::clone(&self.in_flight),
            self.lag.clone(),
        )
    }

    // The futures say themselves that they are `Send`: inferred where a pipeline is spawned, it can
    // fail for types with lifetimes.

    /// Runs until the source ends and all that it gave is durable.
    ///
    /// # Errors
    ///
    /// See [`Job`].
    pub fn run(self) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        run(self, pending(), pending())
    }

    /// Runs until the source ends or `shutdown` resolves. Then the source is stopped, what is in
    /// flight is finished, the sink is flushed and the source closed, so that positions are stored.
    ///
    /// # Errors
    ///
    /// See [`Job`]; [`PipelineError::DrainTimeout`] where finishing takes longer than
    /// [`stop_timeout`](PipelineSettings::stop_timeout) allows.
    pub fn run_until(
        self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        run(self, shutdown, pending())
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
        run(self, shutdown, abort)
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
        until_signal(|first, second| run(self, first, second))
    }

    /// Returns the job without its types.
    pub fn boxed(self) -> BoxJob {
        BoxJob::new(self)
    }

    pub(super) fn check(&self) -> Result<(), PipelineError> {
        self.settings.validate()?;
        self.chain.check()
    }
}

/// Runs `run` with the first and the second signal that end the process.
pub(super) async fn until_signal<R>(
    run: impl FnOnce(Signaled, Signaled) -> R,
) -> Result<PipelineReport, PipelineError>
where
    R: Future<Output = Result<PipelineReport, PipelineError>>,
{
    let mut signals = Signals::listen().map_err(PipelineError::Signal)?;
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let running = run(signaled(&first), signaled(&second));
    let watch = async {
        signals.next().await;
        tracing::info!("stopping: what is in flight is finished; a second signal gives it up");
        first.notify_one();
        signals.next().await;
        second.notify_one();
        pending::<Infallible>().await
    };
    tokio::select! {
        ended = running => ended,
        never = watch => match never {},
    }
}

/// Resolves once a signal has come.
pub(super) type Signaled = BoxFuture<'static, ()>;

fn signaled(signal: &Arc<Notify>) -> Signaled {
    let signal = Arc::clone(signal);
    Box::pin(async move { signal.notified().await })
}

impl<S, C, K, D> fmt::Debug for Job<S, C, K, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.operators.iter().map(|at| &at.name).collect();
        f.debug_struct("Job")
            .field("operators", &names)
            .finish_non_exhaustive()
    }
}
