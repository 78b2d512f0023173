//! The cache before lookups.

use std::hash::Hash;
use std::time::Duration;

use super::enrichment::Enrichment;
use crate::clock::Clock;

/// The cache of lookups.
///
/// `moka` bounds and evicts; the age of a value is by the crate's own clock, so that tests can
/// pause it.
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

    /// Returns what is known of a key: `Some(None)` that there is nothing.
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
