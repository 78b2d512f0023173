//! The operator that makes any number of values of one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Context;

use super::chain::{Chain, Outputs, Stage};
use super::delivery::Delivery;
use super::error::PipelineError;
use super::operator::Operator;
use super::reason::Reason;

/// Operators up to a closure that makes several values of each.
pub(super) struct FlatMap<P, F> {
    before: P,
    operator: Arc<Operator>,
    f: F,
}

impl<P, F> FlatMap<P, F> {
    pub(super) fn new(before: P, operator: Operator, f: F) -> Self {
        let operator = Arc::new(operator);
        Self {
            before,
            operator,
            f,
        }
    }
}

impl<P, F, I> Chain for FlatMap<P, F>
where
    P: Chain,
    F: FnMut(P::Out) -> I + Send + 'static,
    I: IntoIterator + 'static,
    I::Item: Send + 'static,
{
    type In = P::In;
    type Out = I::Item;
    type Stage<D, O>
        = P::Stage<FlatMapStage<F, D>, O>
    where
        D: Stage<I::Item, O>,
        O: Send + 'static;

    fn build<D, O>(self, down: D) -> Self::Stage<D, O>
    where
        D: Stage<I::Item, O>,
        O: Send + 'static,
    {
        self.before.build(FlatMapStage {
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

/// A closure that makes several values of each, and what comes after.
pub(super) struct FlatMapStage<F, D> {
    operator: Arc<Operator>,
    f: F,
    down: D,
}

impl<F, D> FlatMapStage<F, D> {
    fn pass<U, O>(&mut self, value: U, delivery: Delivery, out: &mut Outputs<O>)
    where
        D: Stage<U, O>,
    {
        self.operator.counts.passed.add_one();
        self.down.push(value, delivery, out);
    }
}

impl<T, O, F, I, D> Stage<T, O> for FlatMapStage<F, D>
where
    T: Send + 'static,
    F: FnMut(T) -> I + Send + 'static,
    I: IntoIterator + 'static,
    I::Item: Send + 'static,
    D: Stage<I::Item, O>,
{
    fn push(&mut self, value: T, delivery: Delivery, out: &mut Outputs<O>) {
        self.operator.counts.taken.add_one();
        let values = catch_unwind(AssertUnwindSafe(|| (self.f)(value).into_iter()));
        let Ok(mut values) = values else {
            return self.operator.fail(delivery, Reason::panicked());
        };
        // One behind, so that the last value takes the delivery itself: a record with one value
        // costs no more than in `map`.
        let mut before = None;
        loop {
            match catch_unwind(AssertUnwindSafe(|| values.next())) {
                Ok(Some(value)) => {
                    if let Some(before) = before.replace(value) {
                        self.pass(before, delivery.split(), out);
                    }
                }
                Ok(None) => match before {
                    Some(last) => return self.pass(last, delivery, out),
                    None => return self.operator.skip(delivery),
                },
                Err(_) => {
                    if let Some(before) = before {
                        self.pass(before, delivery.split(), out);
                    }
                    return self.operator.fail(delivery, Reason::panicked());
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool {
        self.down.poll(cx, out)
    }

    fn is_idle(&self) -> bool {
        self.down.is_idle()
    }
}
