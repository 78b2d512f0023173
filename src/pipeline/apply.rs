//! The operator that every synchronous one is, save `flat_map`: a closure that says what becomes of
//! a value.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Context;

use super::chain::{Chain, Outputs, Stage};
use super::delivery::Delivery;
use super::error::PipelineError;
use super::operator::Operator;
use super::reason::Reason;

/// The result of an operator for a value.
pub(super) enum Step<U> {
    /// This comes of it.
    Pass(U),
    /// Nothing comes of it, and nothing is wrong with that.
    Skip,
    /// The operator refuses it.
    Fail(Reason),
}

/// Operators up to a closure on each value.
pub(super) struct Apply<P, F, U> {
    before: P,
    operator: Arc<Operator>,
    f: F,
    out: PhantomData<fn() -> U>,
}

impl<P, F, U> Apply<P, F, U> {
    pub(super) fn new(before: P, operator: Operator, f: F) -> Self {
        Self {
            before,
            operator: Arc::new(operator),
            f,
            out: PhantomData,
        }
    }
}

impl<P, F, U> Chain for Apply<P, F, U>
where
    P: Chain,
    F: FnMut(P::Out) -> Step<U> + Send + 'static,
    U: Send + 'static,
{
    type In = P::In;
    type Out = U;
    type Stage<D, O>
        = P::Stage<ApplyStage<F, U, D>, O>
    where
        D: Stage<U, O>,
        O: Send + 'static;

    fn build<D, O>(self, down: D) -> Self::Stage<D, O>
    where
        D: Stage<U, O>,
        O: Send + 'static,
    {
        self.before.build(ApplyStage {
            operator: self.operator,
            f: self.f,
            down,
            out: PhantomData,
        })
    }

    fn last(&mut self) -> &mut Arc<Operator> {
        &mut self.operator
    }

    fn operators(&self, into: &mut Vec<Arc<Operator>>) {
        self.before.operators(into);
        into.push(Arc::clone(&self.operator));
    }

    fn check(&self) -> Result<(), PipelineError> {
        self.before.check()
    }
}

/// A closure on each value, and what comes after.
pub(super) struct ApplyStage<F, U, D> {
    operator: Arc<Operator>,
    f: F,
    down: D,
    out: PhantomData<fn() -> U>,
}

impl<T, U, O, F, D> Stage<T, O> for ApplyStage<F, U, D>
where
    T: Send + 'static,
    U: Send + 'static,
    F: FnMut(T) -> Step<U> + Send + 'static,
    D: Stage<U, O>,
{
    fn push(&mut self, value: T, delivery: Delivery, out: &mut Outputs<O>) {
        self.operator.counts.taken.add_one();
        match catch_unwind(AssertUnwindSafe(|| (self.f)(value))) {
            Ok(Step::Pass(value)) => {
                self.operator.counts.passed.add_one();
                self.down.push(value, delivery, out);
            }
            Ok(Step::Skip) => self.operator.skip(delivery),
            Ok(Step::Fail(reason)) => self.operator.fail(delivery, reason),
            Err(_) => self.operator.fail(delivery, Reason::panicked()),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool {
        self.down.poll(cx, out)
    }

    fn is_idle(&self) -> bool {
        self.down.is_idle()
    }
}
