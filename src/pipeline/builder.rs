//! The builder of a pipeline.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::apply::{Apply, StepFn};
use super::branches::SINK;
use super::chain::{Chain, Start};
use super::dead_letter::{DeadLetter, DeadLetters, DeadLettersTo, NoDeadLetters, Reason};
use super::enrich::{Enrich, LookupKey};
use super::enrichment::Enrichment;
use super::flat_map::FlatMap;
use super::job::Job;
use super::keyed::Keyed;
use super::map_async::MapAsync;
use super::operator::{OnFailure, Operator};
use super::settings::PipelineSettings;
use super::sink::{IntoSink, Sink};
use super::source::Source;
use super::step_fns::{
    FilterFn, FilterMapFn, FoundFn, InspectFn, KeyByFn, MapFn, MapValueFn, OptionalFn, TryMapFn,
    ValidateFn,
};

/// The function that clones a record.
type CloneOf<T> = fn(&T) -> T;

/// A source and operators, to which more can be added.
///
/// Operators see the records of a partition in the source's order, each operator by itself. Their
/// closures are called by one task, so that they may keep what they count; what must survive a
/// restart does not belong in them. They must not block.
///
/// A closure that panics has its record treated as an invalid one; the others go on. One that makes dead letters ends the pipeline:
/// there is no other place for what it was given.
#[must_use = "a pipeline does nothing until it has a sink and is run"]
pub struct Pipeline<S, C, D> {
    pub(super) chain: C,
    pub(super) parts: Parts<S, D>,
}

/// All of a pipeline but its operators: one type, however many there are.
pub(super) struct Parts<S, D> {
    pub(super) source: S,
    pub(super) dead_letters: D,
    pub(super) settings: PipelineSettings,
    /// Operators so far.
    pub(super) operators: usize,
}

impl<S, D> Parts<S, D> {
    /// Counts one more operator, and returns it.
    pub(super) fn operator(&mut self, kind: &'static str) -> Operator {
        self.operators += 1;
        Operator::numbered(kind, self.operators)
    }
}

impl<S: Source> Pipeline<S, Start<S::Item>, NoDeadLetters> {
    /// Begins a pipeline.
    pub fn from(source: S) -> Self {
        let parts = Parts {
            source,
            dead_letters: NoDeadLetters(()),
            settings: PipelineSettings::default(),
            operators: 0,
        };
        let chain = Start::new(Operator::new("source", "source"));
        Self { chain, parts }
    }
}

impl<S, C, D> Pipeline<S, C, D>
where
    S: Source,
    C: Chain<In = S::Item>,
    D: DeadLetters<S::Item>,
{
    /// Sets the bounds of the pipeline.
    pub fn settings(mut self, settings: PipelineSettings) -> Self {
        self.parts.settings = settings;
        self
    }

    /// Names the operator that was added last, or the source where there is none, for errors, dead
    /// letters and counts.
    ///
    /// Default: its kind and its place, such as `map-3`.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        let last = self.chain.last();
        let mut operator = Operator::new(last.kind, name);
        operator.on_failure = last.on_failure;
        *last = Arc::new(operator);
        self
    }

    /// Sets what happens to records that the operator added last refuses.
    ///
    /// Default: [`OnFailure::DeadLetter`].
    pub fn on_failure(mut self, policy: OnFailure) -> Self {
        let last = self.chain.last();
        let mut operator = Operator::new(last.kind, Arc::clone(&last.name));
        operator.on_failure = policy;
        *last = Arc::new(operator);
        self
    }

    /// Sends records that are refused to `sink`, as the source gave them, with the reason. Without,
    /// the first of them stops the pipeline.
    ///
    /// A dead letter that is durable counts as the record's effect. Each record is cloned as it
    /// comes in; for one that is expensive to clone see
    /// [`dead_letter_with`](Self::dead_letter_with).
    pub fn dead_letter<K: Sink<DeadLetter<S::Item>>>(
        self,
        sink: K,
    ) -> Pipeline<S, C, DeadLettersTo<CloneOf<S::Item>, K>>
    where
        S::Item: Clone,
    {
        self.dead_letter_with(Clone::clone as CloneOf<S::Item>, sink)
    }

    /// Sets the dead-letter output as [`dead_letter`](Self::dead_letter) does, with what `convert` makes of each record as it comes
    /// in.
    pub fn dead_letter_with<R, F, K>(
        self,
        convert: F,
        sink: K,
    ) -> Pipeline<S, C, DeadLettersTo<F, K>>
    where
        R: Clone + Send + 'static,
        F: FnMut(&S::Item) -> R + Send + 'static,
        K: Sink<DeadLetter<R>>,
    {
        let parts = Parts {
            source: self.parts.source,
            dead_letters: DeadLettersTo { convert, sink },
            settings: self.parts.settings,
            operators: self.parts.operators,
        };
        let chain = self.chain;
        Pipeline { chain, parts }
    }

    /// Makes one value of each.
    pub fn map<U, F>(self, f: F) -> Pipeline<S, impl Chain<In = S::Item, Out = U>, D>
    where
        U: Send + 'static,
        F: FnMut(C::Out) -> U + Send + 'static,
    {
        self.apply("map", MapFn(f))
    }

    /// Makes one value of each, or gives the reason why that can't be.
    pub fn try_map<U, R, F>(self, f: F) -> Pipeline<S, impl Chain<In = S::Item, Out = U>, D>
    where
        U: Send + 'static,
        R: Into<Reason>,
        F: FnMut(C::Out) -> Result<U, R> + Send + 'static,
    {
        self.apply("try_map", TryMapFn(f))
    }

    /// Passes on what is valid. An invalid record goes to the dead-letter output with the reason.
    pub fn validate<R, F>(self, f: F) -> Pipeline<S, impl Chain<In = S::Item, Out = C::Out>, D>
    where
        R: Into<Reason>,
        F: FnMut(&C::Out) -> Result<(), R> + Send + 'static,
    {
        self.apply("validate", ValidateFn(f))
    }

    /// Passes on what `f` is true of, skips the rest.
    pub fn filter<F>(self, f: F) -> Pipeline<S, impl Chain<In = S::Item, Out = C::Out>, D>
    where
        F: FnMut(&C::Out) -> bool + Send + 'static,
    {
        self.apply("filter", FilterFn(f))
    }

    /// Makes one value of each, or skips it.
    pub fn filter_map<U, F>(self, f: F) -> Pipeline<S, impl Chain<In = S::Item, Out = U>, D>
    where
        U: Send + 'static,
        F: FnMut(C::Out) -> Option<U> + Send + 'static,
    {
        self.apply("filter_map", FilterMapFn(f))
    }

    /// Looks at each value.
    pub fn inspect<F>(self, f: F) -> Pipeline<S, impl Chain<In = S::Item, Out = C::Out>, D>
    where
        F: FnMut(&C::Out) + Send + 'static,
    {
        self.apply("inspect", InspectFn(f))
    }

    /// Makes any number of values of each, which stay in order. The record is acknowledged when all
    /// of them are durable; at once where there are none.
    ///
    /// All values of one record are held at once: one that makes very many needs the memory for
    /// them.
    pub fn flat_map<I, F>(mut self, f: F) -> Pipeline<S, impl Chain<In = S::Item, Out = I::Item>, D>
    where
        I: IntoIterator + 'static,
        I::Item: Send + 'static,
        F: FnMut(C::Out) -> I + Send + 'static,
    {
        let operator = self.parts.operator("flat_map");
        let chain = FlatMap::new(self.chain, operator, f);
        Pipeline {
            chain,
            parts: self.parts,
        }
    }

    /// Chooses the key by which values are grouped. Later operators see [`Keyed`] values;
    /// [`map_value`](Self::map_value) keeps the key.
    pub fn key_by<K, F>(
        self,
        key: F,
    ) -> Pipeline<S, impl Chain<In = S::Item, Out = Keyed<K, C::Out>>, D>
    where
        K: Send + 'static,
        F: FnMut(&C::Out) -> K + Send + 'static,
    {
        self.apply("key_by", KeyByFn(key))
    }

    /// Makes one value of each, or gives the reason why that can't be, with waiting: several at
    /// once, by default 64, and what comes of them stays in order within each partition. One that
    /// takes too long, by default 10 s, ends the pipeline, since that is no fault of the record's;
    /// a closure that knows better has a time-out of its own.
    ///
    /// ```
    /// # use dynamodb_connector::pipeline::{Pipeline, Reason};
    /// # use dynamodb_connector::test_util::IterSource;
    /// # use std::time::Duration;
    /// # async fn score(n: u64) -> Result<u64, Reason> { Ok(n) }
    /// let scored = Pipeline::from(IterSource::new(0..3))
    ///     .map_async(score)
    ///     .concurrency(16)
    ///     .timeout(Duration::from_secs(2));
    /// ```
    pub fn map_async<U, R, E, F>(mut self, f: F) -> Pipeline<S, MapAsync<C, F, U>, D>
    where
        U: Send + 'static,
        E: Into<Reason>,
        R: Future<Output = Result<U, E>> + Send + 'static,
        F: FnMut(C::Out) -> R + Send + 'static,
    {
        let operator = self.parts.operator("map_async");
        let chain = MapAsync::new(self.chain, operator, f);
        Pipeline {
            chain,
            parts: self.parts,
        }
    }

    /// Looks up what belongs to each value by `key`, and joins the two. A value of whose key there
    /// is nothing follows [`Enrichment::absent`]. A lookup that fails is tried again; one that
    /// fails by the record's fault ([`LookupError::record`](super::LookupError::record)) follows
    /// [`on_failure`](Self::on_failure).
    pub fn enrich<K, V, U, F, J>(
        self,
        key: F,
        enrichment: Enrichment<K, V>,
        join: J,
    ) -> Pipeline<S, impl Chain<In = S::Item, Out = U>, D>
    where
        K: LookupKey,
        V: Clone + Send + Sync + 'static,
        U: Send + 'static,
        F: FnMut(&C::Out) -> K + Send + 'static,
        J: FnMut(C::Out, V) -> U + Send + 'static,
    {
        self.join(enrichment, key, FoundFn(join))
    }

    /// Looks up as [`enrich`](Self::enrich) does, with `None` for a value of whose key there is nothing.
    pub fn enrich_optional<K, V, U, F, J>(
        self,
        key: F,
        enrichment: Enrichment<K, V>,
        join: J,
    ) -> Pipeline<S, impl Chain<In = S::Item, Out = U>, D>
    where
        K: LookupKey,
        V: Clone + Send + Sync + 'static,
        U: Send + 'static,
        F: FnMut(&C::Out) -> K + Send + 'static,
        J: FnMut(C::Out, Option<V>) -> U + Send + 'static,
    {
        self.join(enrichment, key, OptionalFn(join))
    }

    // No closure stands in these methods: its name would hold the whole chain, and stand in the next chain's name, so that names
    // double with each operator.

    fn apply<F: StepFn<C::Out>>(mut self, kind: &'static str, f: F) -> Pipeline<S, Apply<C, F>, D> {
        let operator = self.parts.operator(kind);
        let chain = Apply::new(self.chain, operator, f);
        Pipeline {
            chain,
            parts: self.parts,
        }
    }

    fn join<K, V, F, J>(
        mut self,
        enrichment: Enrichment<K, V>,
        key: F,
        join: J,
    ) -> Pipeline<S, Enrich<C, K, V, F, J>, D> {
        let operator = self.parts.operator("enrich");
        let chain = Enrich::new(self.chain, operator, enrichment, key, join);
        Pipeline {
            chain,
            parts: self.parts,
        }
    }

    /// Ends the pipeline in a sink, by the name `sink`; in a branch, by `sink` and its place, such as `sink-5`.
    pub fn to<M, K: IntoSink<C::Out, M>>(self, sink: K) -> Job<S, C, K::Sink, D> {
        self.to_named(SINK, sink)
    }

    /// Ends the pipeline in a sink of this name.
    pub fn to_named<M, K: IntoSink<C::Out, M>>(
        self,
        name: impl Into<Arc<str>>,
        sink: K,
    ) -> Job<S, C, K::Sink, D> {
        self.end_in(Operator::new(SINK, name), sink.into_sink())
    }

    pub(super) fn end_in<K: Sink<C::Out>>(self, operator: Operator, sink: K) -> Job<S, C, K, D> {
        let (chain, parts) = (self.chain, self.parts);
        let (source, dead_letters) = (parts.source, parts.dead_letters);
        Job::new(source, chain, sink, operator, dead_letters, parts.settings)
    }
}

impl<S, P, F, U, D> Pipeline<S, MapAsync<P, F, U>, D> {
    /// Sets how many values `map_async` may be at work on at once; one partition takes at most
    /// three quarters of it.
    ///
    /// Default: 64. Valid: 1 to 10,000.
    pub fn concurrency(mut self, values: usize) -> Self {
        self.chain.concurrency = values;
        self
    }

    /// Sets how long `map_async` may take with one value.
    ///
    /// Default: 10 s. Valid: 1 ms to 1 h.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.chain.timeout = timeout;
        self
    }
}

impl<S, C, D, K, T> Pipeline<S, C, D>
where
    S: Source,
    C: Chain<In = S::Item, Out = Keyed<K, T>>,
    D: DeadLetters<S::Item>,
    K: Send + 'static,
    T: Send + 'static,
{
    /// Makes one value of each, of the same key.
    pub fn map_value<U, F>(
        self,
        f: F,
    ) -> Pipeline<S, impl Chain<In = S::Item, Out = Keyed<K, U>>, D>
    where
        U: Send + 'static,
        F: FnMut(T) -> U + Send + 'static,
    {
        self.apply("map_value", MapValueFn(f))
    }
}

impl<S, C, D> fmt::Debug for Pipeline<S, C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("operators", &self.parts.operators)
            .finish_non_exhaustive()
    }
}
