//! Task groups: several pipelines of one kind in a process, each on a thread of its own.
//!
//! **A group that is made again** has a job of its own. What is counted goes on: the report and the metrics have the
//! sums of all its runs. What is a level, such as the records in flight and the lag, is of the last run alone: what the one
//! before had in flight is given again, and its partitions are other groups' meanwhile. Counts are summed up by the
//! operator's name; operators of one name in a job by their order.
//!
//! ```text
//!             make(group) ─▶ run ─┬─ ended, stopped, for good ─▶ its end
//!                  ▲              │ an error that may pass
//!                  └─── delay ◀───┘
//! ```

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::box_job::{BoxJob, Ended, RunFuture, run_methods};
use super::builder::Pipeline;
use super::endpoint_error::EndpointError;
use super::error::PipelineError;
use super::signal::until_signal;
use super::stats::PipelineReport;
use crate::clock::Clock;
use crate::random::entropy;
use crate::retry::{Backoff, RetryPolicy};
use crate::settings::{Bound, SettingsPlace};

/// Each has a thread, and clients with threads of their own.
const GROUPS: Bound<u32> = Bound::new("groups", 1, 1_000);

/// Several pipelines of one kind, each on a thread of its own: a pipeline runs in one task, and groups of it use more than one
/// core, as members of one consumer group. Made by [`Pipeline::groups`].
///
/// A run ends once the sources of all groups have ended and all that they gave is durable, and returns the sums of all
/// groups' reports. [`BoxJob::stats`] gives the counts and the health of one group, before the closure returns its job.
///
/// # Errors
///
/// A group that fails by an error that is [retryable](PipelineError::is_retryable) is made again and goes on, after a delay that grows up
/// to 10 s while it fails. Any other error, and a panic, ends all groups: the others finish what they have in flight, and the
/// error is returned once they have stopped. After a stop no group is made again: one that fails then, or that waited to be
/// made again, ends by its error.
///
/// [`PipelineError::Config`] where there is no group, or more than 1,000.
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
                let job = made.await.map_err(|error| failed(group, error.into()))?;
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
    fn run_boxed<'a>(self, shutdown: BoxFuture<'a, ()>, abort: BoxFuture<'a, ()>) -> RunFuture<'a> {
        Box::pin(self.run_all(shutdown, abort))
    }

    async fn run_all(self, shutdown: BoxFuture<'_, ()>, abort: BoxFuture<'_, ()>) -> Ended {
        GROUPS.check(&SettingsPlace::Pipeline, self.count)?;
        let wish = Wishes(watch::channel(Wish::Run).0);
        let ends: Vec<_> = (0..self.count)
            .map(|group| (group, start(group, &self.make, &wish)))
            .collect();
        let first: Mutex<Option<PipelineError>> = Mutex::new(None);
        let (first_error, wishes) = (&first, &wish);
        let ends = ends.into_iter().map(|(group, end)| async move {
            // Dropped without an answer by a thread that unwinds.
            let ended = end.await;
            let ended =
                ended.unwrap_or_else(|_| Err(failed(group, EndpointError::new("it panicked"))));
            ended.unwrap_or_else(|error| {
                first_error.lock().get_or_insert(error);
                // The others end as well.
                wishes.raise(Wish::Stop);
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

run_methods!(Groups);

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
                Err(error) => Err(failed(group, no_thread(&error))),
            };
            // Dropped where the run was: it is over for all.
            let _ = end.send(result);
        });
    match started {
        Ok(_) => ended,
        Err(error) => {
            let (end, ended) = oneshot::channel();
            let _ = end.send(Err(failed(group, no_thread(&error))));
            ended
        }
    }
}

fn no_thread(error: &io::Error) -> EndpointError {
    EndpointError::new(format!("its thread does not start: {error}"))
}

/// Returns the error of a group that has no job.
fn failed(group: u32, error: EndpointError) -> PipelineError {
    PipelineError::Source {
        operator: format!("group {group}").into(),
        error,
    }
}

/// The failures of a group, one after the other.
struct Failures {
    count: u32,
    last: Option<PipelineError>,
    /// The time for which a run that acknowledges records has to last, to be none that has failed at once.
    lasts: Duration,
}

impl Failures {
    /// Notes a run that has lasted for so long.
    fn ran(&mut self, acknowledged: u64, took: Duration) {
        // Each member that comes or goes has all others rebalance: one that fails again and again is not made at once, also
        // where it does a little each time.
        if acknowledged > 0 && took >= self.lasts {
            self.count = 0;
        }
    }
}

/// Runs a group until it ends, or fails for good.
async fn run(group: u32, make: &Make, wishes: watch::Receiver<Wish>) -> Ended {
    let backoff = Backoff::new(&RetryPolicy::default());
    let (mut rng, clock) = (fastrand::Rng::with_seed(entropy()), Clock::start());
    let mut sum = PipelineReport::default();
    let mut failures = Failures {
        count: 0,
        last: None,
        lasts: backoff.longest(),
    };
    loop {
        let made = tokio::select! {
            made = make(group) => made,
            () = wished(&wishes, Wish::Stop) => return failures.last.map_or(Ok(sum), Err),
        };
        let error = match made {
            Ok(job) => {
                let (stats, began) = (job.stats(), clock.now());
                let (stop, abort) = (stopped(&wishes), wished(&wishes, Wish::Abort));
                let ended = job.run_until_or_abort(stop, abort).await;
                let report = stats.report();
                failures.ran(report.acknowledged, clock.now().saturating_sub(began));
                match ended {
                    Ok(_) => return Ok(sum.plus(&report)),
                    Err(error) => {
                        sum = sum.plus(&report.of_the_past());
                        error
                    }
                }
            }
            Err(error) => error,
        };
        if !error.is_retryable() || *wishes.borrow() != Wish::Run {
            return Err(error);
        }
        failures.count = failures.count.saturating_add(1);
        // Rarely where it lasts.
        if failures.count.is_power_of_two() {
            let times = failures.count;
            tracing::warn!(group, times, %error, "a task group has failed, and is made again");
        }
        let delay = backoff.delay(failures.count, &mut rng);
        failures.last = Some(error);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = wished(&wishes, Wish::Stop) => return failures.last.map_or(Ok(sum), Err),
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

/// Resolves once a stop is wished. Not where all is to be given up at once: a job that sees the stop first might be
/// done before it sees the abort.
fn stopped(wishes: &watch::Receiver<Wish>) -> BoxFuture<'static, ()> {
    let mut wishes = wishes.clone();
    Box::pin(async move {
        let wish = wishes.wait_for(|wish| *wish >= Wish::Stop).await;
        let is_stop = wish.is_ok_and(|wish| *wish == Wish::Stop);
        if !is_stop {
            pending::<()>().await;
        }
    })
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_fails_soon_after_each_start_is_delayed_more_and_more() {
        let lasts = Duration::from_secs(10);
        let mut failures = Failures {
            count: 7,
            last: None,
            lasts,
        };
        failures.ran(1_000, lasts / 2);
        failures.ran(0, lasts * 2);
        assert_eq!(failures.count, 7);
        failures.ran(1, lasts);
        assert_eq!(failures.count, 0);
    }
}
