//! How a lookup is made, and what is kept of it.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use super::dead_letter::{Reason, ReasonKind};
use super::error::PipelineError;
use super::map_async::attempt;
use super::operator::OnFailure;
use super::settings::{
    CAPACITY, CONCURRENCY, NEGATIVE_TIME_TO_LIVE, RETRIES, RETRY_DELAY, TIME_TO_LIVE, TIMEOUT,
    check,
};
use crate::clock::Clock;

/// A lookup by key, and the cache before it.
///
/// Found values are kept for `time_to_live`, the news that there is none for `negative_time_to_live`; failures are not kept.
/// Records that ask for a key that is being looked up share that one lookup. Values are cloned out of the cache: put large
/// ones into an `Arc`.
///
/// ```
/// use std::time::Duration;
/// use dynamodb_connector::pipeline::{Enrichment, OnFailure};
///
/// async fn name_of(customer: u64) -> Result<Option<String>, std::io::Error> {
///     Ok((customer < 100).then(|| format!("customer {customer}")))
/// }
///
/// let names = Enrichment::new(name_of)
///     .capacity(100_000)
///     .time_to_live(Duration::from_secs(60))
///     .timeout(Duration::from_millis(200))
///     .absent(OnFailure::Skip);
/// ```
pub struct Enrichment<K, V> {
    lookup: Arc<Lookup<K, V>>,
    pub(super) capacity: usize,
    pub(super) time_to_live: Duration,
    pub(super) negative_time_to_live: Duration,
    timeout: Duration,
    retries: usize,
    retry_delay: Duration,
    pub(super) concurrency: usize,
    pub(super) absent: OnFailure,
}

type Lookup<K, V> = dyn Fn(K) -> BoxFuture<'static, Result<Option<V>, Reason>> + Send + Sync;

impl<K, V> Enrichment<K, V> {
    /// A lookup: `Ok(None)` where there is nothing of this key. An error's text is taken into the reason, and may appear in
    /// logs.
    pub fn new<F, R, E>(lookup: F) -> Self
    where
        F: Fn(K) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: fmt::Display,
    {
        let failed = |error: E| Reason::new(ReasonKind::Lookup, format!("lookup failed: {error}"));
        Self {
            lookup: Arc::new(move |key| lookup(key).map(move |got| got.map_err(failed)).boxed()),
            capacity: 10_000,
            time_to_live: Duration::from_secs(300),
            negative_time_to_live: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            retries: 2,
            retry_delay: Duration::from_millis(50),
            concurrency: 64,
            absent: OnFailure::default(),
        }
    }

    /// How many keys are kept. 0 keeps none.
    ///
    /// Default: 10,000. Valid: 0 to 100,000,000.
    #[must_use]
    pub fn capacity(mut self, keys: usize) -> Self {
        self.capacity = keys;
        self
    }

    /// How long a found value is used, from its lookup on.
    ///
    /// Default: 5 min. Valid: 0 s to 30 days.
    #[must_use]
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time;
        self
    }

    /// How long it is believed that there is nothing of a key, from its lookup on. 0 looks again each time.
    ///
    /// Default: 10 s. Valid: 0 s to 30 days.
    #[must_use]
    pub fn negative_time_to_live(mut self, time: Duration) -> Self {
        self.negative_time_to_live = time;
        self
    }

    /// How long one attempt may take.
    ///
    /// Default: 1 s. Valid: 1 ms to 1 h.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a lookup that failed, timed out or panicked is tried again.
    ///
    /// Default: 2. Valid: 0 to 100.
    #[must_use]
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// How long to wait before the first retry; twice as long before each further one, up to 10 s.
    ///
    /// Default: 50 ms. Valid: 0 s to 10 s.
    #[must_use]
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = delay;
        self
    }

    /// How many lookups may run at once.
    ///
    /// Default: 64. Valid: 1 to 10,000.
    #[must_use]
    pub fn concurrency(mut self, lookups: usize) -> Self {
        self.concurrency = lookups;
        self
    }

    /// What happens to a record of whose key there is nothing. Lookups that fail follow the operator's
    /// [`on_failure`](super::Pipeline::on_failure).
    ///
    /// Default: [`OnFailure::DeadLetter`]. Has no effect in [`enrich_optional`](super::Pipeline::enrich_optional).
    #[must_use]
    pub fn absent(mut self, policy: OnFailure) -> Self {
        self.absent = policy;
        self
    }

    pub(super) fn check(&self, operator: &Arc<str>) -> Result<(), PipelineError> {
        check(operator, |place| {
            CAPACITY.check(place, self.capacity)?;
            TIME_TO_LIVE.check(place, self.time_to_live)?;
            NEGATIVE_TIME_TO_LIVE.check(place, self.negative_time_to_live)?;
            TIMEOUT.check(place, self.timeout)?;
            RETRIES.check(place, self.retries)?;
            RETRY_DELAY.check(place, self.retry_delay)?;
            CONCURRENCY.check(place, self.concurrency)
        })
    }
}

impl<K, V> fmt::Debug for Enrichment<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrichment")
            .field("capacity", &self.capacity)
            .field("time_to_live", &self.time_to_live)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// The part of an enrichment that looks up.
pub(super) struct Lookups<K, V> {
    lookup: Arc<Lookup<K, V>>,
    timeout: Duration,
    retries: usize,
    retry_delay: Duration,
}

impl<K, V> Lookups<K, V>
where
    K: Clone + Send + 'static,
    V: Send + 'static,
{
    pub(super) fn new(enrichment: &Enrichment<K, V>) -> Self {
        Self {
            lookup: Arc::clone(&enrichment.lookup),
            timeout: enrichment.timeout,
            retries: enrichment.retries,
            retry_delay: enrichment.retry_delay,
        }
    }

    /// Looks up, again and again as the settings say. Gives the key back.
    pub(super) fn start(&self, key: K) -> BoxFuture<'static, (K, Result<Option<V>, Reason>)> {
        let lookup = Arc::clone(&self.lookup);
        let (timeout, mut retries, mut delay) = (self.timeout, self.retries, self.retry_delay);
        async move {
            loop {
                let asked = key.clone();
                // The call itself is within, since it too may panic.
                let result = attempt(async { lookup(asked).await }, timeout).await;
                if result.is_ok() || retries == 0 {
                    return (key, result);
                }
                retries -= 1;
                tokio::time::sleep(delay).await;
                delay = delay.saturating_mul(2).min(LONGEST_DELAY);
            }
        }
        .boxed()
    }
}

/// What is kept of lookups.
///
/// `moka` bounds and evicts; when a value is too old is told by the crate's own clock, so that tests can pause it.
pub(super) struct Cache<K, V> {
    kept: moka::sync::Cache<K, Kept<V>>,
    clock: Clock,
    found: Duration,
    absent: Duration,
}

#[derive(Clone)]
struct Kept<V> {
    value: Option<V>,
    until: Duration,
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(enrichment: &Enrichment<K, V>) -> Self {
        Self {
            kept: moka::sync::Cache::new(enrichment.capacity as u64),
            clock: Clock::start(),
            found: enrichment.time_to_live,
            absent: enrichment.negative_time_to_live,
        }
    }

    /// What is known of a key: `Some(None)` that there is nothing.
    #[expect(clippy::option_option, reason = "known to be absent, or not known")]
    pub(super) fn get(&self, key: &K) -> Option<Option<V>> {
        let kept = self.kept.get(key)?;
        (self.clock.now() < kept.until).then_some(kept.value)
    }

    pub(super) fn put(&self, key: K, value: Option<V>) {
        let life = if value.is_some() {
            self.found
        } else {
            self.absent
        };
        if !life.is_zero() {
            let until = self.clock.now() + life;
            self.kept.insert(key, Kept { value, until });
        }
    }

    #[cfg(test)]
    fn len(&self) -> u64 {
        self.kept.run_pending_tasks();
        self.kept.entry_count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(capacity: usize) -> Cache<u32, u32> {
        let nothing = |_: u32| async { Ok::<Option<u32>, String>(None) };
        let enrichment = Enrichment::new(nothing).capacity(capacity);
        Cache::new(&enrichment.time_to_live(Duration::from_secs(60)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_keeps_no_more_keys_than_it_may() {
        let cache = cache(10);
        for key in 0..1_000 {
            cache.put(key, Some(key));
        }
        assert_eq!(cache.len(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_and_what_was_not_age_by_the_paused_clock() {
        let cache = cache(10);
        cache.put(1, Some(7));
        cache.put(2, None);
        assert_eq!(
            (cache.get(&1), cache.get(&2), cache.get(&3)),
            (Some(Some(7)), Some(None), None)
        );
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!((cache.get(&1), cache.get(&2)), (Some(Some(7)), None));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(cache.get(&1), None);
    }
}
