//! The operator that looks up what belongs to a value.

use std::collections::HashMap;
use std::hash::Hash;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::chain::{Chain, Outputs, Stage};
use super::dead_letter::{Reason, ReasonKind};
use super::delivery::Delivery;
use super::enrichment::{Cache, Enrichment, Lookups};
use super::error::PipelineError;
use super::lanes::{Lanes, Ticket};
use super::operator::{OnFailure, Operator};
use super::turns::Turns;

/// Operators up to a lookup for each value.
pub(super) struct Enrich<P, K, V, F, J, U> {
    before: P,
    operator: Arc<Operator>,
    enrichment: Enrichment<K, V>,
    key: F,
    join: J,
    out: PhantomData<fn() -> U>,
}

impl<P, K, V, F, J, U> Enrich<P, K, V, F, J, U> {
    pub(super) fn new(
        before: P,
        operator: Operator,
        enrichment: Enrichment<K, V>,
        key: F,
        join: J,
    ) -> Self {
        Self {
            before,
            operator: Arc::new(operator),
            enrichment,
            key,
            join,
            out: PhantomData,
        }
    }
}

impl<P, K, V, F, J, U> Chain for Enrich<P, K, V, F, J, U>
where
    P: Chain,
    K: Clone + Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: FnMut(&P::Out) -> K + Send + 'static,
    J: FnMut(P::Out, Option<V>) -> Option<U> + Send + 'static,
    U: Send + 'static,
{
    type In = P::In;
    type Out = U;
    type Stage<D, O>
        = P::Stage<EnrichStage<P::Out, K, V, F, J, U, D>, O>
    where
        D: Stage<U, O>,
        O: Send + 'static;

    fn build<D, O>(self, down: D) -> Self::Stage<D, O>
    where
        D: Stage<U, O>,
        O: Send + 'static,
    {
        self.before.build(EnrichStage {
            operator: self.operator,
            absent: self.enrichment.absent,
            turns: Turns::new(self.enrichment.concurrency),
            cache: Cache::new(&self.enrichment),
            lookups: Lookups::new(&self.enrichment),
            key: self.key,
            join: self.join,
            running: FuturesUnordered::new(),
            asking: HashMap::new(),
            lanes: Lanes::new(),
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
        self.before.check()?;
        self.enrichment.check(&self.operator.name)
    }
}

/// A lookup for each value, and what comes after.
pub(super) struct EnrichStage<T, K, V, F, J, U, D> {
    operator: Arc<Operator>,
    absent: OnFailure,
    key: F,
    join: J,
    cache: Cache<K, V>,
    lookups: Lookups<K, V>,
    /// Keys to look up; the turn is that of the record that asked first.
    turns: Turns<(K, u64)>,
    running: FuturesUnordered<BoxFuture<'static, Answer<K, V>>>,
    /// By key, who waits for its lookup, queued or running.
    asking: HashMap<K, Vec<(T, Delivery, Ticket)>>,
    lanes: Lanes<(U, Delivery)>,
    down: D,
}

/// The lane whose turn it was, the key, and what was found.
type Answer<K, V> = (u64, K, Result<Option<V>, Reason>);

impl<T, K, V, F, J, U, D> EnrichStage<T, K, V, F, J, U, D>
where
    K: Clone + Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    J: FnMut(T, Option<V>) -> Option<U>,
{
    fn start(&mut self) {
        while let Some((key, lane)) = self.turns.next() {
            let lookup = self.lookups.start(key);
            self.running.push(Box::pin(async move {
                let (key, found) = lookup.await;
                (lane, key, found)
            }));
        }
    }

    /// What goes on from a record, now that it is known what belongs to it.
    fn join(&mut self, value: T, delivery: Delivery, found: Option<V>) -> Option<(U, Delivery)> {
        match catch_unwind(AssertUnwindSafe(|| (self.join)(value, found))) {
            Ok(Some(joined)) => return Some((joined, delivery)),
            Ok(None) => {
                let reason = Reason::new(ReasonKind::Absent, "there is nothing of this key");
                self.operator.end(delivery, reason, self.absent);
            }
            Err(_) => self.operator.fail(delivery, Reason::panicked()),
        }
        None
    }

    fn settle<O>(&mut self, ticket: Ticket, joined: Option<(U, Delivery)>, out: &mut Outputs<O>)
    where
        D: Stage<U, O>,
    {
        self.lanes.settle(ticket, joined, |(value, delivery)| {
            self.operator.counts.passed.add_one();
            self.down.push(value, delivery, out);
        });
    }
}

impl<T, K, V, F, J, U, D, O> Stage<T, O> for EnrichStage<T, K, V, F, J, U, D>
where
    T: Send + 'static,
    K: Clone + Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: FnMut(&T) -> K + Send + 'static,
    J: FnMut(T, Option<V>) -> Option<U> + Send + 'static,
    U: Send + 'static,
    D: Stage<U, O>,
{
    fn push(&mut self, value: T, delivery: Delivery, out: &mut Outputs<O>) {
        self.operator.counts.taken.add_one();
        let Ok(key) = catch_unwind(AssertUnwindSafe(|| (self.key)(&value))) else {
            return self.operator.fail(delivery, Reason::panicked());
        };
        let lane = delivery.lane();
        if let Some(found) = self.cache.get(&key) {
            let clear = self.lanes.is_clear(lane);
            let joined = self.join(value, delivery, found);
            if !clear {
                let ticket = self.lanes.enter(lane);
                self.settle(ticket, joined, out);
            } else if let Some((value, delivery)) = joined {
                self.operator.counts.passed.add_one();
                self.down.push(value, delivery, out);
            }
            return;
        }
        let ticket = self.lanes.enter(lane);
        match self.asking.get_mut(&key) {
            Some(asking) => asking.push((value, delivery, ticket)),
            None => {
                let asking = vec![(value, delivery, ticket)];
                self.asking.insert(key.clone(), asking);
                self.turns.offer(lane, (key, lane));
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool {
        let mut moved = false;
        loop {
            self.start();
            let Poll::Ready(Some((lane, key, result))) = self.running.poll_next_unpin(cx) else {
                break;
            };
            moved = true;
            self.turns.finished(lane);
            let asking = self.asking.remove(&key).unwrap_or_default();
            if let Ok(found) = &result {
                self.cache.put(key, found.clone());
            }
            for (value, delivery, ticket) in asking {
                let joined = match &result {
                    Ok(found) => self.join(value, delivery, found.clone()),
                    Err(reason) => {
                        self.operator.fail(delivery, reason.clone());
                        None
                    }
                };
                self.settle(ticket, joined, out);
            }
        }
        self.down.poll(cx, out) || moved
    }

    fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.down.is_idle()
    }
}
