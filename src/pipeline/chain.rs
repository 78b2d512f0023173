//! Operators, put together to a chain.
//!
//! A [`Chain`] is what the caller builds, from the source on. For running it is turned inside out into [`Stage`]s, each of
//! which owns the next and pushes into it: a record goes through all synchronous operators in one call, with all types known.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Context;

use super::delivery::Delivery;
use super::error::PipelineError;
use super::operator::Operator;

/// Values at the end of the operators, on their way to the sink.
pub(super) type Outputs<O> = Vec<(O, Delivery)>;

/// The operators of a pipeline in the making, from items `In` of the source to values `Out`. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a chain of operators",
    label = "not made by a `Pipeline`",
    note = "a closure of an operator takes the values of the operator before it, and is `Send + 'static`"
)]
pub trait Chain: Send + 'static {
    /// The values that the source gives.
    type In: Send + 'static;
    /// The values that the last operator gives.
    type Out: Send + 'static;

    /// The operators, ready to run, with what comes after them.
    #[doc(hidden)]
    type Stage<D, O>: Stage<Self::In, O>
    where
        D: Stage<Self::Out, O>,
        O: Send + 'static;

    #[doc(hidden)]
    fn build<D, O>(self, down: D) -> Self::Stage<D, O>
    where
        D: Stage<Self::Out, O>,
        O: Send + 'static;

    /// The operator that was added last.
    #[doc(hidden)]
    fn last(&mut self) -> &mut Arc<Operator>;

    /// All operators, the source first.
    #[doc(hidden)]
    fn operators(&self, into: &mut Vec<Arc<Operator>>);

    /// Checks the operators' settings.
    #[doc(hidden)]
    fn check(&self) -> Result<(), PipelineError>;
}

/// An operator that runs, and all after it.
pub trait Stage<T, O>: Send + 'static {
    /// Takes a record and does what can be done without waiting.
    fn push(&mut self, value: T, delivery: Delivery, out: &mut Outputs<O>);

    /// Drives what waits; whether anything came of it.
    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool;

    /// Returns whether nothing is inside.
    fn is_idle(&self) -> bool;
}

/// Nothing but the source, or the start of a branch.
pub struct Start<T> {
    start: Arc<Operator>,
    item: PhantomData<fn() -> T>,
}

impl<T> Start<T> {
    pub(super) fn new(start: Operator) -> Self {
        Self {
            start: Arc::new(start),
            item: PhantomData,
        }
    }
}

impl<T: Send + 'static> Chain for Start<T> {
    type In = T;
    type Out = T;
    type Stage<D, O>
        = D
    where
        D: Stage<T, O>,
        O: Send + 'static;

    fn build<D, O>(self, down: D) -> D
    where
        D: Stage<T, O>,
        O: Send + 'static,
    {
        down
    }

    fn last(&mut self) -> &mut Arc<Operator> {
        &mut self.start
    }

    fn operators(&self, into: &mut Vec<Arc<Operator>>) {
        into.push(Arc::clone(&self.start));
    }

    fn check(&self) -> Result<(), PipelineError> {
        Ok(())
    }
}

impl<T> fmt::Debug for Start<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").finish_non_exhaustive()
    }
}

/// After the last operator.
#[derive(Debug)]
pub(super) struct End;

impl<O: Send + 'static> Stage<O, O> for End {
    fn push(&mut self, value: O, delivery: Delivery, out: &mut Outputs<O>) {
        out.push((value, delivery));
    }

    fn poll(&mut self, _: &mut Context<'_>, _: &mut Outputs<O>) -> bool {
        false
    }

    fn is_idle(&self) -> bool {
        true
    }
}
