//! Lookups.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use super::error::PipelineError;
use super::map_async::{Attempt, attempt};
use super::operator::OnFailure;
use super::reason::{Reason, ReasonKind};
use super::settings::{CAPACITY, CONCURRENCY, NEGATIVE_TIME_TO_LIVE, TIME_TO_LIVE, TIMEOUT, check};
use crate::error::{ErrorKind, text};
use crate::random::entropy;
use crate::retry::{Backoff, RetryPolicy};

/// A lookup by key, and the cache before it.
///
/// A lookup that fails or times out is taken for an outage of what is asked: it is tried again
/// until it succeeds, while the records that ask wait and the source is read no further;
/// [`retry`](Self::retry) can end the pipeline instead. Where the record is at fault, the lookup
/// says so by [`LookupError::record`], and the record is dead-lettered.
///
/// Found values are kept for `time_to_live`, the news that there is none for
/// `negative_time_to_live`; failures are not kept. Records that ask for a key that is being looked
/// up share that one lookup. Values are cloned out of the cache: put large ones into an `Arc`.
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
    retry: RetryPolicy,
    pub(super) concurrency: usize,
    pub(super) absent: OnFailure,
}

type Lookup<K, V> = dyn Fn(K) -> BoxFuture<'static, Result<Option<V>, LookupError>> + Send + Sync;

/// The failure of a lookup.
///
/// Any error converts by `?` or `into()` into an outage, which is tried again: that of a library,
/// an `anyhow::Error`, a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupError {
    reason: Reason,
    blames: Blames,
}

/// The party at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blames {
    /// The service that is asked: an outage.
    Service,
    Record,
    /// The set-up of the lookup.
    Setup,
}

impl LookupError {
    /// Returns the failure of a lookup that can never succeed for this key, such as one that is
    /// malformed: the records that ask for it follow the operator's
    /// [`on_failure`](super::Pipeline::on_failure), with a reason of the kind
    /// [`Invalid`](ReasonKind::Invalid). The reason may appear in logs.
    pub fn record(reason: impl Into<Reason>) -> Self {
        Self {
            reason: reason.into().with_kind(ReasonKind::Invalid),
            blames: Blames::Record,
        }
    }

    /// Returns the failure of a lookup that can't succeed for any key until its set-up is changed, such as one in a table of
    /// another key. It ends the pipeline, and no record is dead-lettered.
    pub fn fatal(reason: impl Into<Reason>) -> Self {
        Self {
            reason: reason.into().with_kind(ReasonKind::Setup),
            blames: Blames::Setup,
        }
    }

    /// Returns the kind of error: [`Unavailable`](ErrorKind::Unavailable) for an outage,
    /// [`Invalid`](ErrorKind::Invalid) for a fault of the [`record`](Self::record),
    /// [`Config`](ErrorKind::Config) for a [`fatal`](Self::fatal) one.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.reason.kind().error_kind()
    }

    /// Returns whether the lookup is tried again: whether the failure is an outage.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.blames == Blames::Service
    }

    fn panicked() -> Self {
        Self {
            reason: Reason::panicked(),
            blames: Blames::Record,
        }
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for LookupError {
    fn from(error: E) -> Self {
        let reason = format!("lookup failed: {}", text(&*error.into()));
        Self {
            reason: Reason::new(ReasonKind::Lookup, reason),
            blames: Blames::Service,
        }
    }
}

impl<K, V> Enrichment<K, V> {
    /// Returns a lookup: `Ok(None)` where there is nothing of this key. The text of an error, with its
    /// causes, may appear in logs.
    pub fn new<F, R, E>(lookup: F) -> Self
    where
        F: Fn(K) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Into<LookupError>,
    {
        Self {
            lookup: Arc::new(move |key| lookup(key).map(|got| got.map_err(Into::into)).boxed()),
            capacity: 10_000,
            time_to_live: Duration::from_secs(300),
            negative_time_to_live: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            retry: RetryPolicy::default(),
            concurrency: 64,
            absent: OnFailure::default(),
        }
    }

    /// Sets how many keys are kept. 0 keeps none.
    ///
    /// Default: 10,000. Valid: 0 to 100,000,000.
    #[must_use]
    pub fn capacity(mut self, keys: usize) -> Self {
        self.capacity = keys;
        self
    }

    /// Sets how long a found value is used, from its lookup on.
    ///
    /// Default: 5 min. Valid: 0 s to 30 days.
    #[must_use]
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time;
        self
    }

    /// Sets how long it is believed that there is nothing of a key, from its lookup on. 0 looks
    /// again each time.
    ///
    /// Default: 10 s. Valid: 0 s to 30 days.
    #[must_use]
    pub fn negative_time_to_live(mut self, time: Duration) -> Self {
        self.negative_time_to_live = time;
        self
    }

    /// Sets how long one attempt may take.
    ///
    /// Default: 1 s. Valid: 1 ms to 1 h.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets when a lookup that failed or timed out is tried again. With `max_attempts` the pipeline
    /// ends with an error after so many failures of one key in a row; its budget is not used.
    ///
    /// Default: without end, after 50 ms, and twice as long after each further failure, up to 10 s.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets how many lookups may run at once.
    ///
    /// Default: 64. Valid: 1 to 10,000.
    #[must_use]
    pub fn concurrency(mut self, lookups: usize) -> Self {
        self.concurrency = lookups;
        self
    }

    /// Sets what happens to a record of whose key there is nothing. One whose lookup fails by its
    /// fault follows the operator's [`on_failure`](super::Pipeline::on_failure).
    ///
    /// Default: [`OnFailure::DeadLetter`]. Has no effect in
    /// [`enrich_optional`](super::Pipeline::enrich_optional).
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
            self.retry.check_within(place)?;
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
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// The part of an enrichment that looks up.
pub(super) struct Lookups<K, V> {
    lookup: Arc<Lookup<K, V>>,
    timeout: Duration,
    backoff: Backoff,
    max_attempts: Option<u32>,
    rng: fastrand::Rng,
}

/// The result of a lookup.
pub(super) enum Looked<V> {
    Found(Option<V>),
    /// The record is at fault.
    OfRecord(Reason),
    /// The service that is asked is out of order, or out of reach.
    Outage(Reason),
    /// No lookup can succeed.
    Fatal(Reason),
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
            backoff: Backoff::new(&enrichment.retry),
            max_attempts: enrichment.retry.get_max_attempts(),
            rng: fastrand::Rng::with_seed(entropy()),
        }
    }

    /// Returns the longest time between two attempts of a lookup.
    pub(super) fn longest_gap(&self) -> Duration {
        self.timeout.saturating_add(self.backoff.longest())
    }

    /// Returns whether a lookup that has failed so often in a row is tried again.
    pub(super) fn may_retry(&self, failures: u32) -> bool {
        self.max_attempts.is_none_or(|max| failures < max)
    }

    /// Looks up once, after the delay that follows so many failures. Returns the key with the
    /// result.
    pub(super) fn start(&mut self, key: K, failures: u32) -> BoxFuture<'static, (K, Looked<V>)> {
        let lookup = Arc::clone(&self.lookup);
        let timeout = self.timeout;
        let delay = (failures > 0).then(|| self.backoff.delay(failures, &mut self.rng));
        async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            let asked = key.clone();
            // The call itself is within, since it too may panic.
            let result = attempt(
                async { lookup(asked).await },
                timeout,
                LookupError::panicked,
            );
            let looked = match result.await {
                Ok(found) => Looked::Found(found),
                Err(Attempt::OfRecord(error)) => match error.blames {
                    Blames::Record => Looked::OfRecord(error.reason),
                    Blames::Service => Looked::Outage(error.reason),
                    Blames::Setup => Looked::Fatal(error.reason),
                },
                Err(Attempt::TimedOut(reason)) => Looked::Outage(reason),
            };
            (key, looked)
        }
        .boxed()
    }
}
