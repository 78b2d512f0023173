//! Two branches of operators behind one, each with a sink of its own.
//!
//! A branch is built as a pipeline is, from a start that has no source; the outputs of both go to one sink, which routes each
//! value by its branch. So the branches run in the pipeline's one task, by its settings, and a record is acknowledged
//! once what both made of it is durable.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Context;

use super::branched_sink::{BranchSink, Branched};
use super::chain::{Chain, End, Outputs, Stage};
use super::dead_letter::{NoDeadLetters, Reason};
use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::error::PipelineError;
use super::job::Job;
use super::operator::Operator;
use super::source::{NextEvent, Source};

/// The name of a sink that was given none.
pub(super) const SINK: &str = "sink";

/// The choice of branches for a value.
pub(super) enum Route<T> {
    First(T),
    Second(T),
    Both(T, T),
}

/// Chooses the branches for each value.
pub(super) trait Router<T>: Send + 'static {
    fn route(&mut self, value: T) -> Route<T>;
}

/// Both branches.
pub(super) struct Tee;

impl<T: Clone> Router<T> for Tee {
    fn route(&mut self, value: T) -> Route<T> {
        Route::Both(value.clone(), value)
    }
}

/// The first branch for values of which the closure is true.
pub(super) struct SplitBy<F>(pub(super) F);

impl<T, F: FnMut(&T) -> bool + Send + 'static> Router<T> for SplitBy<F> {
    fn route(&mut self, value: T) -> Route<T> {
        match (self.0)(&value) {
            true => Route::First(value),
            false => Route::Second(value),
        }
    }
}

/// Operators up to two branches.
pub(super) struct Branches<P, F, L, R> {
    before: P,
    operator: Arc<Operator>,
    router: F,
    first: BranchChain<L>,
    second: BranchChain<R>,
}

/// The operators of a branch.
pub(super) struct BranchChain<C> {
    chain: C,
    /// Its start, its operators, and its sink.
    operators: Vec<Arc<Operator>>,
}

impl<P, F, L, R> Branches<P, F, L, R> {
    pub(super) fn new(
        before: P,
        operator: Operator,
        router: F,
        first: BranchChain<L>,
        second: BranchChain<R>,
    ) -> Self {
        Self {
            before,
            operator: Arc::new(operator),
            router,
            first,
            second,
        }
    }
}

impl<P, F, L, R> Chain for Branches<P, F, L, R>
where
    P: Chain,
    F: Router<P::Out>,
    L: Chain<In = P::Out>,
    R: Chain<In = P::Out>,
{
    type In = P::In;
    type Out = Branched<L::Out, R::Out>;
    type Stage<D, O>
        = P::Stage<BranchesStage<F, BranchStage<L>, BranchStage<R>, D>, O>
    where
        D: Stage<Self::Out, O>,
        O: Send + 'static;

    fn build<D, O>(self, down: D) -> Self::Stage<D, O>
    where
        D: Stage<Self::Out, O>,
        O: Send + 'static,
    {
        self.before.build(BranchesStage {
            operator: self.operator,
            router: self.router,
            first: BranchStage::new(self.first),
            second: BranchStage::new(self.second),
            down,
        })
    }

    fn last(&mut self) -> &mut Arc<Operator> {
        &mut self.operator
    }

    fn operators(&self, into: &mut Vec<Arc<Operator>>) {
        self.before.operators(into);
        into.push(Arc::clone(&self.operator));
        into.extend(self.first.operators.iter().cloned());
        into.extend(self.second.operators.iter().cloned());
    }

    fn check(&self) -> Result<(), PipelineError> {
        self.before.check()?;
        self.first.chain.check()?;
        self.second.chain.check()
    }
}

/// The choice between two branches, both branches, and what comes after them.
pub(super) struct BranchesStage<F, L, R, D> {
    operator: Arc<Operator>,
    router: F,
    first: L,
    second: R,
    down: D,
}

/// The operators of a branch at work.
pub(super) struct BranchStage<C: Chain> {
    start: Option<Arc<Operator>>,
    stage: C::Stage<End, C::Out>,
    /// Empty between two calls.
    made: Outputs<C::Out>,
}

impl<C: Chain> BranchStage<C> {
    fn new(branch: BranchChain<C>) -> Self {
        Self {
            start: branch.operators.first().cloned(),
            stage: branch.chain.build(End),
            made: Outputs::new(),
        }
    }

    fn push(&mut self, value: C::In, delivery: Delivery) {
        if let Some(start) = &self.start {
            start.counts.taken.add_one();
            start.counts.passed.add_one();
        }
        self.stage.push(value, delivery, &mut self.made);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.stage.poll(cx, &mut self.made)
    }

    fn is_idle(&self) -> bool {
        self.stage.is_idle()
    }
}

impl<F, L, R, D> BranchesStage<F, BranchStage<L>, BranchStage<R>, D>
where
    L: Chain,
    R: Chain,
{
    fn pass_on<O>(&mut self, out: &mut Outputs<O>)
    where
        D: Stage<Branched<L::Out, R::Out>, O>,
    {
        for (value, delivery) in self.first.made.drain(..) {
            self.down.push(Branched::First(value), delivery, out);
        }
        for (value, delivery) in self.second.made.drain(..) {
            self.down.push(Branched::Second(value), delivery, out);
        }
    }
}

impl<T, O, F, L, R, D> Stage<T, O> for BranchesStage<F, BranchStage<L>, BranchStage<R>, D>
where
    T: Send + 'static,
    F: Router<T>,
    L: Chain<In = T>,
    R: Chain<In = T>,
    D: Stage<Branched<L::Out, R::Out>, O>,
{
    fn push(&mut self, value: T, delivery: Delivery, out: &mut Outputs<O>) {
        self.operator.counts.taken.add_one();
        let Some(route) = catch_route(&mut self.router, value) else {
            return self.operator.fail(delivery, Reason::panicked());
        };
        self.operator.counts.passed.add_one();
        match route {
            Route::First(value) => self.first.push(value, delivery),
            Route::Second(value) => self.second.push(value, delivery),
            Route::Both(one, other) => {
                self.first.push(one, delivery.split());
                self.second.push(other, delivery);
            }
        }
        self.pass_on(out);
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool {
        let first = self.first.poll(cx);
        let second = self.second.poll(cx);
        self.pass_on(out);
        self.down.poll(cx, out) || first || second
    }

    fn is_idle(&self) -> bool {
        self.first.is_idle() && self.second.is_idle() && self.down.is_idle()
    }
}

/// Returns `None` after a panic, of the closure or of the value's `clone`.
fn catch_route<T, F: Router<T>>(router: &mut F, value: T) -> Option<Route<T>> {
    catch_unwind(AssertUnwindSafe(|| router.route(value))).ok()
}

/// A complete branch: made by [`Pipeline::to`](super::Pipeline::to) of a [`Branch`](super::Branch), not to be run by itself.
pub type BranchJob<T, C, K> = Job<BranchStart<T>, C, K, NoDeadLetters>;

/// Takes a branch apart, and counts its operators.
pub(super) fn branch_parts<T, C, K>(
    job: BranchJob<T, C, K>,
    number: &mut usize,
) -> (BranchChain<C>, BranchSink<K>) {
    let mut operators = job.operators.to_vec();
    *number += operators.len();
    let mut operator = job.sink_operator;
    if &*operator.name == SINK {
        // Branches are distinguished by the names of their sinks.
        operator = Arc::new(Operator::numbered(operator.kind, *number));
        operators.pop();
        operators.push(Arc::clone(&operator));
    }
    let chain = BranchChain {
        chain: job.chain,
        operators,
    };
    (chain, BranchSink::new(job.sink, operator))
}

/// The start of a branch, in the place of a source.
pub struct BranchStart<T>(PhantomData<fn() -> T>);

impl<T> BranchStart<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

/// Never yields: the pipeline pushes values into the branch.
#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Source for BranchStart<T> {
    type Item = T;

    async fn next_event(&mut self) -> NextEvent<T> {
        None
    }

    fn stop(&mut self) {}

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

impl<T> fmt::Debug for BranchStart<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BranchStart").finish_non_exhaustive()
    }
}
