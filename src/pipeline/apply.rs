//! The operator that every synchronous one is, save `flat_map`: a function that says what becomes of
//! a value.

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

/// A function on each value.
pub(super) trait StepFn<T>: Send + 'static {
    /// The values that it makes.
    type Out: Send + 'static;

    fn step(&mut self, value: T) -> Step<Self::Out>;
}

/// Operators up to a function on each value.
pub(super) struct Apply<P, F> {
    before: P,
    operator: Arc<Operator>,
    f: F,
}

impl<P, F> Apply<P, F> {
    pub(super) fn new(before: P, operator: Operator, f: F) -> Self {
        Self {
            before,
            operator: Arc::new(operator),
            f,
        }
    }
}

impl<P, F> Chain for Apply<P, F>
where
    P: Chain,
    F: StepFn<P::Out>,
{
    type In = P::In;
    type Out = F::Out;
    type Stage<D, O>
        = P::Stage<ApplyStage<F, D>, O>
    where
        D: Stage<F::Out, O>,
        O: Send + 'static;

    fn build<D, O>(self, down: D) -> Self::Stage<D, O>
    where
        D: Stage<F::Out, O>,
        O: Send + 'static,
    {
        self.before.build(ApplyStage {
            operator: self.operator,
            f: self.f,
            down,
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

/// A function on each value, and what comes after.
pub(super) struct ApplyStage<F, D> {
    operator: Arc<Operator>,
    f: F,
    down: D,
}

impl<T, O, F, D> Stage<T, O> for ApplyStage<F, D>
where
    T: Send + 'static,
    F: StepFn<T>,
    D: Stage<F::Out, O>,
{
    fn push(&mut self, value: T, delivery: Delivery, out: &mut Outputs<O>) {
        self.operator.counts.taken.add_one();
        match catch_step(&mut self.f, value) {
            Some(Step::Pass(value)) => {
                self.operator.counts.passed.add_one();
                self.down.push(value, delivery, out);
            }
            Some(Step::Skip) => self.operator.skip(delivery),
            Some(Step::Fail(reason)) => self.operator.fail(delivery, reason),
            None => self.operator.fail(delivery, Reason::panicked()),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool {
        self.down.poll(cx, out)
    }

    fn is_idle(&self) -> bool {
        self.down.is_idle()
    }
}

/// Returns `None` after a panic. Its name holds no chain, as that of a closure in `push` would.
fn catch_step<T, F: StepFn<T>>(f: &mut F, value: T) -> Option<Step<F::Out>> {
    let (mut value, mut step) = (Some(value), None);
    catch(&mut || {
        if let Some(value) = value.take() {
            step = Some(f.step(value));
        }
    });
    step
}

/// Has a panic end `run` alone. By a pointer, so that what the standard library does about a panic is compiled once, not for
/// each operator; inlined, so that an optimized call is direct.
#[inline]
fn catch(run: &mut dyn FnMut()) {
    // Without a result, the caller sees that it did not return.
    let _ = catch_unwind(AssertUnwindSafe(run));
}
