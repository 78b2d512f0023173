//! Task groups: several pipelines of one kind in a process, each on a thread of its own.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use futures::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::box_job::BoxJob;
use super::builder::Pipeline;
use super::endpoint_error::EndpointError;
use super::error::PipelineError;
use super::signal::until_signal;
use super::stats::PipelineReport;
use crate::random::entropy;
use crate::retry::{Backoff, RetryPolicy};

/// Several pipelines of one kind, each on a thread of its own: a pipeline runs in one task, and groups of it use more than one
/// core, as members of one consumer group. Made by [`Pipeline::groups`].
///
/// # Errors
///
/// A group that fails by an error that is [retryable](PipelineError::is_retryable) is made again and goes on, with a delay that grows; any
/// other error ends all groups, and is returned once they have stopped.
///
/// # Cancel safety
///
/// Dropped, a run is as a crash of all groups: they give up what is in flight, and their threads end once their sources and
/// sinks are closed.
#[must_use = "groups do nothing until they are run"]
pub struct Groups {
    count: u32,
    make: Arc<Make>,
}

type Make = dyn Fn(u32) -> MakeJob + Send + Sync;
/// Made and run on the group's thread.
type MakeJob = Pin<Box<dyn Future<Output = Result<BoxJob, PipelineError>>>>;

/// The state that all groups are to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Wish {
    Run,
    Stop,
    Abort,
}

impl Pipeline<(), (), ()> {
    /// Returns `count` groups of the pipeline that `make` builds: it is called for each, with its number from 0 on, and again when the
    /// group has failed. A pipeline [to transactions](Pipeline::to_transactional) has a transactional id for each group.
    ///
    /// `make` opens the source: each group is a member of its own. One group is as the job alone, on a thread.
    ///
    /// ```no_run
    /// use dynamodb_connector::kafka::{KafkaError, KafkaSettings, KafkaSource};
    /// use dynamodb_connector::pipeline::{Pipeline, PipelineError};
    /// use dynamodb_connector::test_util::CollectSink;
    ///
    /// # async fn example() -> Result<(), PipelineError> {
    /// let kafka = KafkaSettings::new("localhost:9092");
    /// let report = Pipeline::groups(2, move |_group| {
    ///     let kafka = kafka.clone();
    ///     async move {
    ///         let source = KafkaSource::open(&kafka, "scoring", ["decisions"]).await?;
    ///         Ok::<_, KafkaError>(Pipeline::from(source).to(CollectSink::new()).boxed())
    ///     }
    /// })
    /// .run_until_signal()
    /// .await?;
    /// println!("{report}");
    /// # Ok(()) }
    /// ```
    pub fn groups<R, E>(count: u32, make: impl Fn(u32) -> R + Send + Sync + 'static) -> Groups
    where
        R: Future<Output = Result<BoxJob, E>> + 'static,
        E: Into<EndpointError>,
    {
        let make = move |group| -> MakeJob {
            let made = make(group);
            Box::pin(async move {
                let job = made.await.map_err(|error| PipelineError::Source {
                    operator: format!("group {group}").into(),
                    error: error.into(),
                })?;
                Ok(job.in_group(group))
            })
        };
        Groups {
            count,
            make: Arc::new(make),
        }
    }
}

impl Groups {
    /// Runs until the sources of all groups end and all that they gave is durable. Returns the sums of all groups' reports.
    ///
    /// # Errors
    ///
    /// See [`Groups`].
    pub fn run(self) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        self.run_until_or_abort(pending(), pending())
    }

    /// Runs as [`Job::run_until`](super::Job::run_until) does, all groups.
    ///
    /// # Errors
    ///
    /// See [`Groups`].
    pub fn run_until(
        self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        self.run_until_or_abort(shutdown, pending())
    }

    /// Runs as [`Job::run_until_or_abort`](super::Job::run_until_or_abort) does, all groups.
    ///
    /// # Errors
    ///
    /// See [`Groups`].
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` does not say that its future is `Send`"
    )]
    pub fn run_until_or_abort(
        self,
        shutdown: impl Future<Output = ()> + Send,
        abort: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        async move {
            let wish = Wishes(watch::channel(Wish::Run).0);
            let ends: Vec<_> = (0..self.count)
                .map(|group| start(group, &self.make, &wish))
                .collect();
            let first: Mutex<Option<PipelineError>> = Mutex::new(None);
            let ends = ends.into_iter().map(|end| async {
                let ended = end.await.unwrap_or_else(|_| Err(no_thread("it panicked")));
                ended.unwrap_or_else(|error| {
                    first.lock().get_or_insert(error);
                    // The others end as well.
                    wish.raise(Wish::Stop);
                    PipelineReport::default()
                })
            });
            let asked = async {
                tokio::join!(
                    async {
                        shutdown.await;
                        wish.raise(Wish::Stop);
                    },
                    async {
                        abort.await;
                        wish.raise(Wish::Abort);
                    }
                );
                pending::<Infallible>().await
            };
            let reports = tokio::select! {
                reports = join_all(ends) => reports,
                never = asked => match never {},
            };
            match first.into_inner() {
                Some(error) => Err(error),
                None => Ok(reports
                    .iter()
                    .fold(PipelineReport::default(), PipelineReport::plus)),
            }
        }
    }

    /// Runs as [`Job::run_until_signal`](super::Job::run_until_signal) does, all groups.
    ///
    /// # Errors
    ///
    /// See [`Groups`]; [`PipelineError::Signal`] where the signals can't be listened for.
    pub fn run_until_signal(
        self,
    ) -> impl Future<Output = Result<PipelineReport, PipelineError>> + Send {
        until_signal(|first, second| self.run_until_or_abort(first, second))
    }
}

/// The wish, for all groups. Dropped, they are to give up.
struct Wishes(watch::Sender<Wish>);

impl Wishes {
    fn raise(&self, to: Wish) {
        self.0.send_if_modified(|wish| {
            let rises = to > *wish;
            *wish = if rises { to } else { *wish };
            rises
        });
    }
}

impl Drop for Wishes {
    fn drop(&mut self) {
        self.raise(Wish::Abort);
    }
}

type Ended = Result<PipelineReport, PipelineError>;

/// Starts a group's thread, which says how it ended.
fn start(group: u32, make: &Arc<Make>, wish: &Wishes) -> oneshot::Receiver<Ended> {
    let (end, ended) = oneshot::channel();
    let (make, wishes) = (Arc::clone(make), wish.0.subscribe());
    let started = thread::Builder::new()
        .name(format!("pipeline-{group}"))
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let result = match runtime {
                Ok(runtime) => runtime.block_on(run(group, &*make, wishes)),
                Err(error) => Err(no_thread(&error.to_string())),
            };
            // Dropped where the run was: it is over for all.
            let _ = end.send(result);
        });
    match started {
        Ok(_) => ended,
        Err(error) => {
            let (end, ended) = oneshot::channel();
            let _ = end.send(Err(no_thread(&error.to_string())));
            ended
        }
    }
}

fn no_thread(reason: &str) -> PipelineError {
    PipelineError::Source {
        operator: "group".into(),
        error: EndpointError::new(format!("the group's thread does not run: {reason}")),
    }
}

/// Runs a group until it ends, or fails for good.
async fn run(group: u32, make: &Make, wishes: watch::Receiver<Wish>) -> Ended {
    let backoff = Backoff::new(&RetryPolicy::default());
    let mut rng = fastrand::Rng::with_seed(entropy());
    let (mut sum, mut failures) = (PipelineReport::default(), 0);
    loop {
        let made = tokio::select! {
            made = make(group) => made,
            () = wished(&wishes, Wish::Stop) => return Ok(sum),
        };
        let ended = match made {
            Ok(job) => {
                let stats = job.stats();
                let (stop, abort) = (wished(&wishes, Wish::Stop), wished(&wishes, Wish::Abort));
                let ended = job.run_until_or_abort(stop, abort).await;
                let report = stats.report();
                if report.acknowledged > 0 {
                    failures = 0;
                }
                sum = sum.plus(&report);
                ended.map(drop)
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => return Ok(sum),
            Err(error) if error.is_retryable() && *wishes.borrow() == Wish::Run => {
                failures += 1;
                tracing::warn!(group, %error, "a task group has failed, and is made again");
                tokio::select! {
                    () = tokio::time::sleep(backoff.delay(failures, &mut rng)) => {}
                    () = wished(&wishes, Wish::Stop) => return Ok(sum),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Resolves once this, or more, is wished.
fn wished(wishes: &watch::Receiver<Wish>, at_least: Wish) -> BoxFuture<'static, ()> {
    let mut wishes = wishes.clone();
    Box::pin(async move {
        // The sender goes with the run, after its last wish.
        let _ = wishes.wait_for(|wish| *wish >= at_least).await;
    })
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
