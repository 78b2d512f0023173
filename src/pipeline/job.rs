//! A complete pipeline, ready to run.

use std::fmt;
use std::sync::Arc;

use super::chain::Chain;
use super::dead_letter::DeadLetters;
use super::driver::Driver;
use super::error::{DEAD_LETTERS, PipelineError};
use super::in_flight::InFlight;
use super::lag::LastLag;
use super::operator::Operator;
use super::settings::PipelineSettings;
use super::sink::Sink;
use super::source::Source;
use super::stats::PipelineStats;

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
    /// Where it ends in transactions.
    pub(super) driver: Option<Box<dyn Driver>>,
    /// Its number, where it is one of several groups.
    pub(super) group: Option<u32>,
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
            driver: None,
            group: None,
            settings,
            operators: operators.into(),
            sink_operator,
            dead_letter_operator: Arc::new(Operator::new("dead_letter", DEAD_LETTERS)),
        }
    }

    /// Reads the counts while the pipeline runs.
    #[must_use]
    pub fn stats(&self) -> PipelineStats {
        let stats = PipelineStats::new(
            Arc::clone(&self.operators),
            Arc::clone(&self.dead_letter_operator),
            Arc::clone(&self.in_flight),
            self.lag.clone(),
        );
        #[cfg(feature = "kafka")]
        let stats = stats.with_transactions(self.driver.as_ref().map(|driver| driver.counts()));
        stats
    }

    pub(super) fn check(&self) -> Result<(), PipelineError> {
        self.settings.validate()?;
        self.chain.check()
    }
}

impl<S, C, K, D> fmt::Debug for Job<S, C, K, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.operators.iter().map(|at| &at.name).collect();
        f.debug_struct("Job")
            .field("operators", &names)
            .finish_non_exhaustive()
    }
}
