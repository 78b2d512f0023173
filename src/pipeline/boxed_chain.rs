//! Type-erased operators.

use std::fmt;
use std::sync::Arc;
use std::task::Context;

use super::boxed::BoxSource;
use super::builder::{Parts, Pipeline};
use super::chain::{Chain, End, Outputs, Stage};
use super::dead_letter::{DeadLetters, NoDeadLetters};
use super::delivery::Delivery;
use super::error::PipelineError;
use super::operator::Operator;
use super::source::Source;

/// A [`Chain`] of operators of any types, by [`Pipeline::boxed`](super::Pipeline::boxed). Each record costs a virtual call
/// more.
pub struct BoxChain<T, U>(Box<dyn DynChain<T, U>>);

impl<T: Send + 'static, U: Send + 'static> BoxChain<T, U> {
    pub(super) fn new(chain: impl Chain<In = T, Out = U>) -> Self {
        Self(Box::new(chain))
    }

    /// Returns the operators, ready to run.
    pub(super) fn into_stage(self) -> Box<dyn Stage<T, U>> {
        self.0.build()
    }
}

/// A chain that is built without what comes after it.
trait DynChain<T, U>: Send {
    fn build(self: Box<Self>) -> Box<dyn Stage<T, U>>;
    fn last(&mut self) -> &mut Arc<Operator>;
    fn operators(&self, into: &mut Vec<Arc<Operator>>);
    fn check(&self) -> Result<(), PipelineError>;
}

impl<C: Chain> DynChain<C::In, C::Out> for C {
    fn build(self: Box<Self>) -> Box<dyn Stage<C::In, C::Out>> {
        Box::new(Chain::build(*self, End))
    }

    fn last(&mut self) -> &mut Arc<Operator> {
        Chain::last(self)
    }

    fn operators(&self, into: &mut Vec<Arc<Operator>>) {
        Chain::operators(self, into);
    }

    fn check(&self) -> Result<(), PipelineError> {
        Chain::check(self)
    }
}

impl<T: Send + 'static, U: Send + 'static> Chain for BoxChain<T, U> {
    type In = T;
    type Out = U;
    type Stage<D, O>
        = BoxStage<T, U, D>
    where
        D: Stage<U, O>,
        O: Send + 'static;

    fn build<D, O>(self, down: D) -> BoxStage<T, U, D>
    where
        D: Stage<U, O>,
        O: Send + 'static,
    {
        BoxStage {
            stage: self.0.build(),
            made: Outputs::new(),
            down,
        }
    }

    fn last(&mut self) -> &mut Arc<Operator> {
        self.0.last()
    }

    fn operators(&self, into: &mut Vec<Arc<Operator>>) {
        self.0.operators(into);
    }

    fn check(&self) -> Result<(), PipelineError> {
        self.0.check()
    }
}

impl<T, U> fmt::Debug for BoxChain<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxChain").finish_non_exhaustive()
    }
}

impl<T: 'static, O: 'static> Stage<T, O> for Box<dyn Stage<T, O>> {
    fn push(&mut self, value: T, delivery: Delivery, out: &mut Outputs<O>) {
        (**self).push(value, delivery, out);
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool {
        (**self).poll(cx, out)
    }

    fn is_idle(&self) -> bool {
        (**self).is_idle()
    }
}

/// Type-erased operators and the stage after them.
pub struct BoxStage<T, U, D> {
    stage: Box<dyn Stage<T, U>>,
    /// Empty between two calls.
    made: Outputs<U>,
    down: D,
}

impl<T, U, D> BoxStage<T, U, D> {
    fn pass_on<O>(&mut self, out: &mut Outputs<O>)
    where
        D: Stage<U, O>,
    {
        for (value, delivery) in self.made.drain(..) {
            self.down.push(value, delivery, out);
        }
    }
}

impl<T, U, O, D> Stage<T, O> for BoxStage<T, U, D>
where
    T: Send + 'static,
    U: Send + 'static,
    D: Stage<U, O>,
{
    fn push(&mut self, value: T, delivery: Delivery, out: &mut Outputs<O>) {
        self.stage.push(value, delivery, &mut self.made);
        self.pass_on(out);
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool {
        let moved = self.stage.poll(cx, &mut self.made);
        self.pass_on(out);
        self.down.poll(cx, out) || moved
    }

    fn is_idle(&self) -> bool {
        self.stage.is_idle() && self.down.is_idle()
    }
}

impl<T, U, D> fmt::Debug for BoxStage<T, U, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxStage").finish_non_exhaustive()
    }
}

/// A pipeline with one type for all sources of `T` and operators from there to `U`: see [`Pipeline::boxed`].
pub type BoxPipeline<T, U, D = NoDeadLetters> = Pipeline<BoxSource<T>, BoxChain<T, U>, D>;

impl<S, C, D> Pipeline<S, C, D>
where
    S: Source,
    C: Chain<In = S::Item>,
    D: DeadLetters<S::Item>,
{
    /// Returns the pipeline with one type for all sources and operators between these values: for a field of a struct, or
    /// for a choice at run time. Call it before [`dead_letter`](Self::dead_letter), whose type it keeps.
    ///
    /// ```
    /// use dynamodb_connector::pipeline::{BoxPipeline, Pipeline};
    /// use dynamodb_connector::test_util::{CollectSink, IterSource};
    ///
    /// fn numbers(doubled: bool) -> BoxPipeline<u32, u32> {
    ///     let numbers = Pipeline::from(IterSource::new(0..3));
    ///     match doubled {
    ///         true => numbers.map(|n| n * 2).boxed(),
    ///         false => numbers.boxed(),
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let sink = CollectSink::new();
    /// numbers(true).to(sink.clone()).run().await?;
    /// assert_eq!(sink.take(), [0, 2, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn boxed(self) -> BoxPipeline<S::Item, C::Out, D> {
        let parts = Parts {
            source: self.parts.source.boxed(),
            dead_letters: self.parts.dead_letters,
            settings: self.parts.settings,
            operators: self.parts.operators,
        };
        let chain = BoxChain::new(self.chain);
        Pipeline { chain, parts }
    }

    /// Returns the pipeline with one type for all operators between these values, as [`boxed`](Self::boxed) does, with its
    /// source as it is: for a branch that is chosen at run time.
    pub fn boxed_operators(self) -> Pipeline<S, BoxChain<S::Item, C::Out>, D> {
        let chain = BoxChain::new(self.chain);
        Pipeline {
            chain,
            parts: self.parts,
        }
    }
}
