//! The ends of a pipeline that are two branches.

use super::branched_sink::{Branched, BranchedSink};
use super::branches::{BranchJob, BranchStart, Branches, Router, SplitBy, Tee, branch_parts};
use super::builder::{Parts, Pipeline};
use super::chain::{Chain, Start};
use super::dead_letter::{DeadLetters, NoDeadLetters};
use super::job::Job;
use super::operator::Operator;
use super::settings::PipelineSettings;
use super::sink::Sink;
use super::source::Source;

/// The beginning of a branch of a [`tee`](Pipeline::tee) or a [`split_by`](Pipeline::split_by).
pub type Branch<T> = Pipeline<BranchStart<T>, Start<T>, NoDeadLetters>;

impl<T: Send + 'static> Branch<T> {
    /// Begins a branch after this many operators.
    fn branch(operators: usize) -> Self {
        let mut parts = Parts {
            source: BranchStart::new(),
            dead_letters: NoDeadLetters(()),
            settings: PipelineSettings::default(),
            operators,
        };
        let chain = Start::new(parts.operator("branch"));
        Self { chain, parts }
    }
}

impl<S, C, D> Pipeline<S, C, D>
where
    S: Source,
    C: Chain<In = S::Item>,
    D: DeadLetters<S::Item>,
{
    /// Ends the pipeline in two branches, each of which sees every value and has operators and a sink of its own. A record is
    /// acknowledged once what both branches made of it is durable.
    ///
    /// The branches run in the pipeline's one task, within its bounds, with its dead letters: settings and dead letters
    /// belong to the pipeline, not to a branch. Order holds within each branch. A sink without room holds the other one up
    /// too: values go to the sinks one after the other. Errors and dead letters name the sink that they are of; a
    /// [stall](super::PipelineError::Stalled) and a close that takes too long are reported of both together, as `sinks-9` for instance.
    ///
    /// ```
    /// use dynamodb_connector::pipeline::Pipeline;
    /// use dynamodb_connector::test_util::{CollectSink, IterSource};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let (all, large) = (CollectSink::new(), CollectSink::new());
    /// let report = Pipeline::from(IterSource::new([5, 80, 7]))
    ///     .tee(
    ///         |every| every.to_named("all", all.clone()),
    ///         |every| every.filter(|n| *n > 10).map(|n| n.to_string()).to_named("large", large.clone()),
    ///     )
    ///     .run()
    ///     .await?;
    /// assert_eq!(all.take(), [5, 80, 7]);
    /// assert_eq!(large.take(), ["80"]);
    /// assert_eq!(report.acknowledged, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(
        clippy::type_complexity,
        reason = "a job with what is known of its parts"
    )]
    pub fn tee<A, J, B, K>(
        self,
        first: impl FnOnce(Branch<C::Out>) -> BranchJob<C::Out, A, J>,
        second: impl FnOnce(Branch<C::Out>) -> BranchJob<C::Out, B, K>,
    ) -> Job<
        S,
        impl Chain<In = S::Item, Out = Branched<A::Out, B::Out>>,
        impl Sink<Branched<A::Out, B::Out>>,
        D,
    >
    where
        C::Out: Clone,
        A: Chain<In = C::Out>,
        J: Sink<A::Out>,
        B: Chain<In = C::Out>,
        K: Sink<B::Out>,
    {
        self.branches("tee", Tee, first, second)
    }

    /// Ends the pipeline in two branches, as [`tee`](Self::tee) does: values of which `f` is true go to the first one, the
    /// others to the second. A sink without room holds the other one up too. For more than two, a branch ends in a `split_by` of its own.
    ///
    /// ```
    /// use dynamodb_connector::pipeline::Pipeline;
    /// use dynamodb_connector::test_util::{CollectSink, IterSource};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let (even, odd) = (CollectSink::new(), CollectSink::new());
    /// Pipeline::from(IterSource::new(0..5))
    ///     .split_by(
    ///         |n| n % 2 == 0,
    ///         |yes| yes.to_named("even", even.clone()),
    ///         |no| no.map(|n| n.to_string()).to_named("odd", odd.clone()),
    ///     )
    ///     .run()
    ///     .await?;
    /// assert_eq!(even.take(), [0, 2, 4]);
    /// assert_eq!(odd.take(), ["1", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(
        clippy::type_complexity,
        reason = "a job with what is known of its parts"
    )]
    pub fn split_by<F, A, J, B, K>(
        self,
        f: F,
        yes: impl FnOnce(Branch<C::Out>) -> BranchJob<C::Out, A, J>,
        no: impl FnOnce(Branch<C::Out>) -> BranchJob<C::Out, B, K>,
    ) -> Job<
        S,
        impl Chain<In = S::Item, Out = Branched<A::Out, B::Out>>,
        impl Sink<Branched<A::Out, B::Out>>,
        D,
    >
    where
        F: FnMut(&C::Out) -> bool + Send + 'static,
        A: Chain<In = C::Out>,
        J: Sink<A::Out>,
        B: Chain<In = C::Out>,
        K: Sink<B::Out>,
    {
        self.branches("split_by", SplitBy(f), yes, no)
    }

    #[expect(
        clippy::type_complexity,
        reason = "a job, of which this is the only place"
    )]
    fn branches<F, A, J, B, K>(
        mut self,
        kind: &'static str,
        router: F,
        first: impl FnOnce(Branch<C::Out>) -> BranchJob<C::Out, A, J>,
        second: impl FnOnce(Branch<C::Out>) -> BranchJob<C::Out, B, K>,
    ) -> Job<S, Branches<C, F, A, B>, BranchedSink<J, K>, D>
    where
        F: Router<C::Out>,
        A: Chain<In = C::Out>,
        J: Sink<A::Out>,
        B: Chain<In = C::Out>,
        K: Sink<B::Out>,
    {
        let operator = self.parts.operator(kind);
        let mut number = self.parts.operators;
        let (first, first_sink) = branch_parts(first(Pipeline::branch(number)), &mut number);
        let (second, second_sink) = branch_parts(second(Pipeline::branch(number)), &mut number);
        let sinks = Operator::numbered("sinks", number + 1);
        let pipeline = Pipeline {
            chain: Branches::new(self.chain, operator, router, first, second),
            parts: self.parts,
        };
        pipeline.end_in(sinks, BranchedSink::new(first_sink, second_sink))
    }
}
