//! The distance of a pipeline's source from the end of what it reads.
//!
//! A source is read by one part of the pipeline alone, and asking for its lag may take a request. So
//! the source gives a probe, which is used beside it.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::clock::Clock;

/// The time before the first measurement, and between two of them. Chosen: a source may need a
/// request for each of its partitions, and alerts look at minutes.
const INTERVAL: Duration = Duration::from_secs(10);

/// The distance of a source from the end of what it reads, in the unit that the source knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceLag {
    /// The records between the first one that is not acknowledged and the end, over all partitions
    /// that the source has; `None` where the source does not count them.
    pub records: Option<u64>,
    /// The time since the partition that is furthest behind was read up to its end; `None` where the
    /// source does not know.
    pub age: Option<Duration>,
}

impl SourceLag {
    /// Returns a lag of so many records.
    #[must_use]
    pub fn of_records(records: u64) -> Self {
        Self {
            records: Some(records),
            age: None,
        }
    }

    /// Returns the lag of two sources together.
    pub(super) fn and(self, other: Self) -> Self {
        let records = [self.records, other.records].into_iter().flatten();
        Self {
            records: records.reduce(u64::saturating_add),
            age: self.age.max(other.age),
        }
    }

    /// Returns a lag of this age.
    #[must_use]
    pub fn of_age(age: Duration) -> Self {
        Self {
            records: None,
            age: Some(age),
        }
    }
}

/// A means to measure the lag of a source while a pipeline reads it. Made by
/// [`Source::lag`](super::Source::lag).
pub struct LagProbe(Box<dyn FnMut() -> BoxFuture<'static, Option<SourceLag>> + Send>);

impl LagProbe {
    /// Returns a probe that measures by this closure. `None` says that the lag is not known at
    /// present.
    pub fn new<F, A>(mut measure: F) -> Self
    where
        F: FnMut() -> A + Send + 'static,
        A: Future<Output = Option<SourceLag>> + Send + 'static,
    {
        Self(Box::new(move || Box::pin(measure())))
    }

    /// Returns a probe of two sources together: the sum of the records, and the larger age, of those that know. One that does
    /// not know at present counts as it was last measured: it may have ended, and the other goes on.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        let lasts = Arc::new(Mutex::new([None, None]));
        Self(Box::new(move || {
            let (one, other, lasts) = ((self.0)(), (other.0)(), Arc::clone(&lasts));
            Box::pin(async move {
                let (one, other) = futures::join!(one, other);
                if one.is_none() && other.is_none() {
                    return None;
                }
                let mut lasts = lasts.lock();
                *lasts = [one.or(lasts[0]), other.or(lasts[1])];
                lasts.into_iter().flatten().reduce(SourceLag::and)
            })
        }))
    }

    /// Measures the lag. Returns `None` where it is not known at present.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn measure(&mut self) -> Option<SourceLag> {
        (self.0)().await
    }
}

impl fmt::Debug for LagProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LagProbe").finish_non_exhaustive()
    }
}

/// The lag as it was last measured.
#[derive(Clone, Debug, Default)]
pub(super) struct LastLag(Arc<Mutex<Option<SourceLag>>>);

impl LastLag {
    pub(super) fn get(&self) -> Option<SourceLag> {
        *self.0.lock()
    }

    /// Measures again and again. What can't be measured leaves the last lag as it is.
    pub(super) async fn follow(&self, probe: Option<LagProbe>, clock: Clock) -> Infallible {
        let Some(mut probe) = probe else {
            return pending().await;
        };
        loop {
            clock.until(clock.now() + INTERVAL).await;
            if let Some(lag) = probe.measure().await {
                *self.0.lock() = Some(lag);
            }
        }
    }
}
