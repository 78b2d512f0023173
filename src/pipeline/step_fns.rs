//! The functions of the synchronous operators, each a type of its own around the caller's closure.
//!
//! A closure within a method of [`Pipeline`](super::Pipeline) would have the whole chain in its name, and stand in the name of the
//! next chain beside it: names would double with each operator.

use super::apply::{Step, StepFn};
use super::dead_letter::Reason;
use super::keyed::Keyed;

pub(super) struct MapFn<F>(pub(super) F);

impl<T, U, F> StepFn<T> for MapFn<F>
where
    U: Send + 'static,
    F: FnMut(T) -> U + Send + 'static,
{
    type Out = U;

    fn step(&mut self, value: T) -> Step<U> {
        Step::Pass((self.0)(value))
    }
}

pub(super) struct TryMapFn<F>(pub(super) F);

impl<T, U, R, F> StepFn<T> for TryMapFn<F>
where
    U: Send + 'static,
    R: Into<Reason>,
    F: FnMut(T) -> Result<U, R> + Send + 'static,
{
    type Out = U;

    fn step(&mut self, value: T) -> Step<U> {
        match (self.0)(value) {
            Ok(value) => Step::Pass(value),
            Err(reason) => Step::Fail(reason.into()),
        }
    }
}

pub(super) struct ValidateFn<F>(pub(super) F);

impl<T, R, F> StepFn<T> for ValidateFn<F>
where
    T: Send + 'static,
    R: Into<Reason>,
    F: FnMut(&T) -> Result<(), R> + Send + 'static,
{
    type Out = T;

    fn step(&mut self, value: T) -> Step<T> {
        match (self.0)(&value) {
            Ok(()) => Step::Pass(value),
            Err(reason) => Step::Fail(reason.into()),
        }
    }
}

pub(super) struct FilterFn<F>(pub(super) F);

impl<T, F> StepFn<T> for FilterFn<F>
where
    T: Send + 'static,
    F: FnMut(&T) -> bool + Send + 'static,
{
    type Out = T;

    fn step(&mut self, value: T) -> Step<T> {
        match (self.0)(&value) {
            true => Step::Pass(value),
            false => Step::Skip,
        }
    }
}

pub(super) struct FilterMapFn<F>(pub(super) F);

impl<T, U, F> StepFn<T> for FilterMapFn<F>
where
    U: Send + 'static,
    F: FnMut(T) -> Option<U> + Send + 'static,
{
    type Out = U;

    fn step(&mut self, value: T) -> Step<U> {
        (self.0)(value).map_or(Step::Skip, Step::Pass)
    }
}

pub(super) struct InspectFn<F>(pub(super) F);

impl<T, F> StepFn<T> for InspectFn<F>
where
    T: Send + 'static,
    F: FnMut(&T) + Send + 'static,
{
    type Out = T;

    fn step(&mut self, value: T) -> Step<T> {
        (self.0)(&value);
        Step::Pass(value)
    }
}

pub(super) struct KeyByFn<F>(pub(super) F);

impl<T, K, F> StepFn<T> for KeyByFn<F>
where
    T: Send + 'static,
    K: Send + 'static,
    F: FnMut(&T) -> K + Send + 'static,
{
    type Out = Keyed<K, T>;

    fn step(&mut self, value: T) -> Step<Keyed<K, T>> {
        Step::Pass(Keyed::new((self.0)(&value), value))
    }
}

pub(super) struct MapValueFn<F>(pub(super) F);

impl<K, T, U, F> StepFn<Keyed<K, T>> for MapValueFn<F>
where
    K: Send + 'static,
    U: Send + 'static,
    F: FnMut(T) -> U + Send + 'static,
{
    type Out = Keyed<K, U>;

    fn step(&mut self, keyed: Keyed<K, T>) -> Step<Keyed<K, U>> {
        Step::Pass(keyed.map(&mut self.0))
    }
}

/// A function that joins a value with the result of its lookup. `None` where it makes nothing.
pub(super) trait JoinFn<T, V>: Send + 'static {
    /// The values that it makes.
    type Out: Send + 'static;

    fn join(&mut self, value: T, found: Option<V>) -> Option<Self::Out>;
}

/// Makes something only where something was found.
pub(super) struct FoundFn<F>(pub(super) F);

impl<T, V, U, F> JoinFn<T, V> for FoundFn<F>
where
    U: Send + 'static,
    F: FnMut(T, V) -> U + Send + 'static,
{
    type Out = U;

    fn join(&mut self, value: T, found: Option<V>) -> Option<U> {
        found.map(|found| (self.0)(value, found))
    }
}

pub(super) struct OptionalFn<F>(pub(super) F);

impl<T, V, U, F> JoinFn<T, V> for OptionalFn<F>
where
    U: Send + 'static,
    F: FnMut(T, Option<V>) -> U + Send + 'static,
{
    type Out = U;

    fn join(&mut self, value: T, found: Option<V>) -> Option<U> {
        Some((self.0)(value, found))
    }
}
