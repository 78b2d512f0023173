//! The operator that looks up what belongs to a value.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::chain::{Chain, Outputs, Stage};
use super::delivery::Delivery;
use super::enrichment::{Enrichment, Looked, Lookups};
use super::error::PipelineError;
use super::lookup_cache::Cache;
use super::operator::{OnFailure, Operator};
use super::reason::{Reason, ReasonKind};
use super::reorder_buffer::{ReorderBuffer, Ticket};
use super::scheduler::Scheduler;
use super::step_fns::JoinFn;
use super::successes::Successes;

/// A key to look up by: what is `Clone`, `Hash`, `Eq`, `Send`, `Sync` and owns its data. Implemented for all such types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of a lookup",
    label = "looks up by `{Self}`",
    note = "a key is cached and compared: `#[derive(Clone, PartialEq, Eq, Hash)]` makes a type one, if it is `Send + Sync + 'static`"
)]
pub trait LookupKey: Clone + Hash + Eq + Send + Sync + 'static {}

// A message then names the trait once, in the place of all that it asks for.
#[diagnostic::do_not_recommend]
impl<K: Clone + Hash + Eq + Send + Sync + 'static> LookupKey for K {}

/// Operators up to a lookup for each value.
pub(super) struct Enrich<P, K, V, F, J> {
    before: P,
    operator: Arc<Operator>,
    enrichment: Enrichment<K, V>,
    key: F,
    join: J,
}

impl<P, K, V, F, J> Enrich<P, K, V, F, J> {
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
        }
    }
}

impl<P, K, V, F, J> Chain for Enrich<P, K, V, F, J>
where
    P: Chain,
    K: LookupKey,
    V: Clone + Send + Sync + 'static,
    F: FnMut(&P::Out) -> K + Send + 'static,
    J: JoinFn<P::Out, V>,
{
    type In = P::In;
    type Out = J::Out;
    type Stage<D, O>
        = P::Stage<EnrichStage<P::Out, K, V, F, J, D>, O>
    where
        D: Stage<J::Out, O>,
        O: Send + 'static;

    fn build<D, O>(self, down: D) -> Self::Stage<D, O>
    where
        D: Stage<J::Out, O>,
        O: Send + 'static,
    {
        let lookups = Lookups::new(&self.enrichment);
        self.operator.report("lookup", lookups.longest_gap());
        self.before.build(EnrichStage {
            operator: self.operator,
            successes: Successes::start(),
            absent: self.enrichment.absent,
            scheduler: Scheduler::new(self.enrichment.concurrency),
            cache: Cache::new(&self.enrichment),
            lookups,
            key: self.key,
            join: self.join,
            running: FuturesUnordered::new(),
            asking: HashMap::new(),
            reorder_buffer: ReorderBuffer::new(),
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
pub(super) struct EnrichStage<T, K, V, F, J, D>
where
    J: JoinFn<T, V>,
{
    operator: Arc<Operator>,
    absent: OnFailure,
    key: F,
    join: J,
    cache: Cache<K, V>,
    lookups: Lookups<K, V>,
    successes: Successes,
    /// Keys to look up, once for each partition that waits for one: the first that is scheduled
    /// starts it.
    scheduler: Scheduler<(K, u64)>,
    running: FuturesUnordered<BoxFuture<'static, Answer<K, V>>>,
    asking: HashMap<K, Asking<T>>,
    reorder_buffer: ReorderBuffer<(J::Out, Delivery)>,
    down: D,
}

/// The partition that it was scheduled for, the key, and the result.
type Answer<K, V> = (u64, K, Looked<V>);

/// A key that is looked up, or is to be.
struct Asking<T> {
    waiting: Vec<(T, Delivery, Ticket)>,
    is_running: bool,
    /// The failures in a row, the first, and when they were last warned of.
    failures: u32,
    since: Duration,
    warned: Duration,
}

impl<T, K, V, F, J, D> EnrichStage<T, K, V, F, J, D>
where
    K: LookupKey,
    V: Clone + Send + Sync + 'static,
    J: JoinFn<T, V>,
{
    fn start(&mut self) {
        while let Some((key, partition)) = self.scheduler.next() {
            match self.asking.get_mut(&key) {
                Some(asking) if !asking.is_running => {
                    asking.is_running = true;
                    self.look_up(key, partition, 0);
                }
                // The key was scheduled for another partition first.
                _ => self.scheduler.finished(partition),
            }
        }
    }

    fn look_up(&mut self, key: K, partition: u64, failures: u32) {
        let lookup = self.lookups.start(key, failures);
        self.running.push(Box::pin(async move {
            let (key, looked) = lookup.await;
            (partition, key, looked)
        }));
    }

    /// Has a lookup that failed tried again, unless the pipeline is to end or nothing waits for it.
    fn retry<O>(&mut self, partition: u64, key: K, reason: &Reason, out: &mut Outputs<O>)
    where
        D: Stage<J::Out, O>,
    {
        self.operator.failed(reason.text().to_owned());
        let now = self.successes.now();
        let Some(mut asking) = self.asking.remove(&key) else {
            return self.scheduler.finished(partition);
        };
        // Records that are another reader's by now must not be waited for.
        for (value, delivery, ticket) in std::mem::take(&mut asking.waiting) {
            match self.operator.current(delivery) {
                Some(delivery) => asking.waiting.push((value, delivery, ticket)),
                None => self.settle(ticket, None, out),
            }
        }
        if asking.failures == 0 {
            (asking.since, asking.warned) = (now, now);
        }
        asking.failures = asking.failures.saturating_add(1);
        if asking.waiting.is_empty() {
            return self.scheduler.finished(partition);
        }
        if !self.lookups.may_retry(asking.failures) {
            self.scheduler.finished(partition);
            return self.give_up(asking.waiting, reason, out);
        }
        if self.successes.is_warning_due(asking.since, asking.warned) {
            asking.warned = now;
            let position = asking
                .waiting
                .first()
                .and_then(|(_, delivery, _)| delivery.position());
            tracing::warn!(
                operator = &*self.operator.name,
                position = position.map(tracing::field::display),
                failures = asking.failures,
                lasting_seconds = now.saturating_sub(asking.since).as_secs(),
                %reason,
                "a record's lookup fails while others succeed; retrying"
            );
        }
        let failures = asking.failures;
        self.asking.insert(key.clone(), asking);
        self.look_up(key, partition, failures);
    }

    /// Ends the pipeline with these records.
    fn give_up<O>(
        &mut self,
        waiting: Vec<(T, Delivery, Ticket)>,
        reason: &Reason,
        out: &mut Outputs<O>,
    ) where
        D: Stage<J::Out, O>,
    {
        for (_, delivery, ticket) in waiting {
            self.operator.end(delivery, reason.clone(), OnFailure::Stop);
            self.settle(ticket, None, out);
        }
    }

    /// Returns the value that goes on from a record and the result of its lookup.
    fn join(
        &mut self,
        value: T,
        delivery: Delivery,
        found: Option<V>,
    ) -> Option<(J::Out, Delivery)> {
        match catch_unwind(AssertUnwindSafe(|| self.join.join(value, found))) {
            Ok(Some(joined)) => return Some((joined, delivery)),
            Ok(None) => {
                let reason = Reason::new(ReasonKind::Absent, "there is nothing of this key");
                self.operator.end(delivery, reason, self.absent);
            }
            Err(_) => self.operator.fail(delivery, Reason::panicked()),
        }
        None
    }

    fn settle<O>(
        &mut self,
        ticket: Ticket,
        joined: Option<(J::Out, Delivery)>,
        out: &mut Outputs<O>,
    ) where
        D: Stage<J::Out, O>,
    {
        self.reorder_buffer
            .settle(ticket, joined, |(value, delivery)| {
                self.operator.counts.passed.add_one();
                self.down.push(value, delivery, out);
            });
    }
}

impl<T, K, V, F, J, D, O> Stage<T, O> for EnrichStage<T, K, V, F, J, D>
where
    T: Send + 'static,
    K: LookupKey,
    V: Clone + Send + Sync + 'static,
    F: FnMut(&T) -> K + Send + 'static,
    J: JoinFn<T, V>,
    D: Stage<J::Out, O>,
{
    fn push(&mut self, value: T, delivery: Delivery, out: &mut Outputs<O>) {
        self.operator.counts.taken.add_one();
        let Ok(key) = catch_unwind(AssertUnwindSafe(|| (self.key)(&value))) else {
            return self.operator.fail(delivery, Reason::panicked());
        };
        let partition = delivery.partition();
        if let Some(found) = self.cache.get(&key) {
            let clear = self.reorder_buffer.is_clear(partition);
            let joined = self.join(value, delivery, found);
            if !clear {
                let ticket = self.reorder_buffer.enter(partition);
                self.settle(ticket, joined, out);
            } else if let Some((value, delivery)) = joined {
                self.operator.counts.passed.add_one();
                self.down.push(value, delivery, out);
            }
            return;
        }
        let ticket = self.reorder_buffer.enter(partition);
        let asking = self.asking.entry(key.clone()).or_insert_with(|| Asking {
            waiting: Vec::new(),
            is_running: false,
            failures: 0,
            since: Duration::ZERO,
            warned: Duration::ZERO,
        });
        asking.waiting.push((value, delivery, ticket));
        if !asking.is_running {
            self.scheduler.offer(partition, (key, partition));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outputs<O>) -> bool {
        let mut moved = false;
        loop {
            self.start();
            let Poll::Ready(Some((partition, key, looked))) = self.running.poll_next_unpin(cx)
            else {
                break;
            };
            moved = true;
            let result = match looked {
                Looked::Found(found) => Ok(found),
                Looked::OfRecord(reason) => Err(reason),
                Looked::Outage(reason) => {
                    self.retry(partition, key, &reason, out);
                    continue;
                }
                Looked::Fatal(reason) => {
                    self.scheduler.finished(partition);
                    if let Some(asking) = self.asking.remove(&key) {
                        self.give_up(asking.waiting, &reason, out);
                    }
                    continue;
                }
            };
            // Also where the record is at fault: an answer came.
            self.successes.note();
            self.operator.succeeded();
            self.scheduler.finished(partition);
            let (waiting, failures) = match self.asking.remove(&key) {
                Some(asking) => (asking.waiting, asking.failures),
                None => (Vec::new(), 0),
            };
            if let Ok(found) = &result {
                self.cache.put(key, found.clone());
            }
            for (value, delivery, ticket) in waiting {
                let joined = match (self.operator.current(delivery), &result) {
                    (Some(delivery), Ok(found)) => self.join(value, delivery, found.clone()),
                    (Some(delivery), Err(reason)) => {
                        let attempts = failures.saturating_add(1);
                        self.operator.fail_after(delivery, reason.clone(), attempts);
                        None
                    }
                    (None, _) => None,
                };
                self.settle(ticket, joined, out);
            }
        }
        self.down.poll(cx, out) || moved
    }

    fn is_idle(&self) -> bool {
        self.reorder_buffer.is_empty() && self.down.is_idle()
    }
}
