//! A type-erased pipeline.

use std::fmt;
use std::future::{Future, pending};

use futures::future::BoxFuture;

use super::chain::Chain;
use super::dead_letter::DeadLetters;
use super::error::PipelineError;
use super::job::Job;
use super::signal::until_signal;
use super::sink::Sink;
use super::source::Source;
use super::stats::{PipelineReport, PipelineStats};

/// A type-erased [`Job`], by [`Job::boxed`]: several in a list, one in a field of a struct. It runs as the job does, at the
/// same cost, with the errors of a [`Job`].
///
/// ```
/// use dynamodb_connector::pipeline::{BoxJob, Pipeline};
/// use dynamodb_connector::test_util::{CollectSink, IterSource};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let (numbers, texts) = (CollectSink::new(), CollectSink::new());
/// let jobs: Vec<BoxJob> = vec![
///     Pipeline::from(IterSource::new(0..3)).to(numbers.clone()).boxed(),
///     Pipeline::from(IterSource::new(0..3)).map(|n| n.to_string()).to(texts.clone()).boxed(),
/// ];
/// for job in jobs {
///     job.run().await?;
/// }
/// assert_eq!(numbers.take(), [0, 1, 2]);
/// assert_eq!(texts.take(), ["0", "1", "2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a pipeline does nothing until it is run"]
pub struct BoxJob(Box<dyn DynJob>);

/// The result of a run.
pub(super) type Ended = Result<PipelineReport, PipelineError>;
pub(super) type RunFuture<'a> = BoxFuture<'a, Ended>;

trait DynJob: Send {
    fn stats(&self) -> PipelineStats;
    fn set_group(&mut self, group: u32);
    fn run<'a>(
        self: Box<Self>,
        shutdown: BoxFuture<'a, ()>,
        abort: BoxFuture<'a, ()>,
    ) -> RunFuture<'a>;
}

impl<S, C, K, D> DynJob for Job<S, C, K, D>
where
    S: Source,
    C: Chain<In = S::Item>,
    K: Sink<C::Out>,
    D: DeadLetters<S::Item>,
{
    fn stats(&self) -> PipelineStats {
        Self::stats(self)
    }

    fn set_group(&mut self, group: u32) {
        self.group = Some(group);
        if let Some(driver) = &mut self.driver {
            driver.set_group(group);
        }
    }

    fn run<'a>(
        self: Box<Self>,
        shutdown: BoxFuture<'a, ()>,
        abort: BoxFuture<'a, ()>,
    ) -> RunFuture<'a> {
        Box::pin(self.run_until_or_abort(shutdown, abort))
    }
}

impl<S, C, K, D> Job<S, C, K, D>
where
    S: Source,
    C: Chain<In = S::Item>,
    K: Sink<C::Out>,
    D: DeadLetters<S::Item>,
{
    /// Returns the job without its types.
    pub fn boxed(self) -> BoxJob {
        BoxJob(Box::new(self))
    }
}

impl BoxJob {
    /// Returns the job as that of one of several groups.
    pub(super) fn in_group(mut self, group: u32) -> Self {
        self.0.set_group(group);
        self
    }

    /// Reads the counts while the pipeline runs, as [`Job::stats`] does.
    #[must_use]
    pub fn stats(&self) -> PipelineStats {
        self.0.stats()
    }

    fn run_boxed<'a>(self, shutdown: BoxFuture<'a, ()>, abort: BoxFuture<'a, ()>) -> RunFuture<'a> {
        self.0.run(shutdown, abort)
    }
}

/// Gives a type the ways to run of a [`Job`], by its `run_boxed`.
macro_rules! run_methods {
    ($type:ty) => {
        impl $type {
            /// Runs as [`Job::run`](crate::pipeline::Job::run) does.
            ///
            /// # Errors
            ///
            /// See the type.
            pub fn run(self) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
                self.run_until_or_abort(pending(), pending())
            }

            /// Runs as [`Job::run_until`](crate::pipeline::Job::run_until) does.
            ///
            /// # Errors
            ///
            /// See the type, and [`Job::run_until`](crate::pipeline::Job::run_until).
            pub fn run_until(
                self,
                shutdown: impl Future<Output = ()> + Send,
            ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
                self.run_until_or_abort(shutdown, pending())
            }

            /// Runs as [`Job::run_until_or_abort`](crate::pipeline::Job::run_until_or_abort) does.
            ///
            /// # Errors
            ///
            /// See the type, and [`Job::run_until_or_abort`](crate::pipeline::Job::run_until_or_abort).
            // An `async fn` would not say that its future is `Send`.
            pub fn run_until_or_abort(
                self,
                shutdown: impl Future<Output = ()> + Send,
                abort: impl Future<Output = ()> + Send,
            ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
                async move { self.run_boxed(Box::pin(shutdown), Box::pin(abort)).await }
            }

            /// Runs as [`Job::run_until_signal`](crate::pipeline::Job::run_until_signal) does.
            ///
            /// # Errors
            ///
            /// See the type, and [`Job::run_until_signal`](crate::pipeline::Job::run_until_signal).
            pub fn run_until_signal(
                self,
            ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
                until_signal(|first, second| self.run_until_or_abort(first, second))
            }
        }
    };
}
pub(super) use run_methods;

run_methods!(BoxJob);

/// Shows the counts.
impl fmt::Debug for BoxJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BoxJob").field(&self.stats()).finish()
    }
}
