//! Lag: since when each shard is not read up, by the service's clock.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Gauge, gauge};
use parking_lot::Mutex;

use super::ShardId;
use super::time::millis;
use crate::transport::ServiceClock;

/// The time by which a read may be late before its shard counts as behind, in milliseconds.
const LATE: u64 = 1_000;

/// The time up to which a shard is read, in milliseconds since 1970 by the service's clock: written by the
/// shard's task, read by statistics.
#[derive(Debug)]
pub(crate) struct ReadUp {
    /// Every change made before is read.
    until: AtomicU64,
    /// The time until which the shard counts as read up.
    current_until: AtomicU64,
}

impl ReadUp {
    fn new(until: u64) -> Self {
        Self {
            until: AtomicU64::new(until),
            current_until: AtomicU64::new(0),
        }
    }

    /// Notes that a read sent at `sent` showed all that there was; the next one is to end `pause` later.
    pub(crate) fn all(&self, sent: u64, pause: Duration) {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.until.store(sent, Ordering::Relaxed);
        let current = sent.saturating_add(pause).saturating_add(LATE);
        self.current_until.store(current, Ordering::Relaxed);
    }

    /// Notes that the shard was read up to a change made at this time, and that there may be more.
    pub(crate) fn up_to(&self, created: u64) {
        self.until.store(created, Ordering::Relaxed);
        self.current_until.store(0, Ordering::Relaxed);
    }

    /// Notes that nothing is left to read.
    pub(crate) fn ended(&self) {
        self.current_until.store(u64::MAX, Ordering::Relaxed);
    }

    /// Notes that a read failed.
    pub(crate) fn failed(&self) {
        self.current_until.store(0, Ordering::Relaxed);
    }

    fn lag(&self, now: u64) -> Duration {
        if now <= self.current_until.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        since(self.until.load(Ordering::Relaxed), now)
    }
}

fn since(time: u64, now: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(time))
}

/// The lag of all shards that a worker reads, or sees unread.
#[derive(Debug)]
pub(crate) struct Lags {
    time: Arc<ServiceClock>,
    state: Mutex<State>,
    shards: Gauge,
    ready: Gauge,
    unread: Gauge,
    seconds: Gauge,
}

#[derive(Debug, Default)]
struct State {
    read: BTreeMap<ShardId, Arc<ReadUp>>,
    ready: usize,
    /// The shards that no worker reads, each with the time since which that is so.
    unread: BTreeMap<ShardId, u64>,
}

/// The lag of a shard that is read.
#[derive(Debug)]
pub(crate) struct Entry {
    lags: Arc<Lags>,
    shard: ShardId,
    read_up: Arc<ReadUp>,
}

impl Deref for Entry {
    type Target = ReadUp;

    fn deref(&self) -> &ReadUp {
        &self.read_up
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.lags.state.lock();
        // The shard may have been taken again since.
        if state
            .read
            .get(&self.shard)
            .is_some_and(|read| Arc::ptr_eq(read, &self.read_up))
        {
            state.read.remove(&self.shard);
            self.lags.shards.set(count(state.read.len()));
        }
    }
}

/// The shards of a stream and their lag, at one moment.
pub(crate) struct Lag {
    pub(crate) read: BTreeMap<ShardId, Duration>,
    pub(crate) unread: BTreeMap<ShardId, Duration>,
    pub(crate) ready: usize,
}

impl Lags {
    pub(crate) fn new(table: &str, time: &Arc<ServiceClock>) -> Self {
        let gauge = |name: &'static str| gauge!(name, "table" => table.to_owned());
        Self {
            time: Arc::clone(time),
            state: Mutex::default(),
            shards: gauge("dynamodb_streams_shards"),
            ready: gauge("dynamodb_streams_ready_shards"),
            unread: gauge("dynamodb_streams_unread_shards"),
            seconds: gauge("dynamodb_streams_lag_seconds"),
        }
    }

    /// Returns the service's time, in milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        millis(self.time.now())
    }

    /// Adds a shard that this worker reads until the result is dropped. `since` is when it was made, if nothing of it has been read.
    pub(crate) fn begins(self: &Arc<Self>, shard: &ShardId, since: Option<u64>) -> Entry {
        let read_up = Arc::new(ReadUp::new(since.unwrap_or_else(|| self.now())));
        let mut state = self.state.lock();
        state.unread.remove(shard);
        state.read.insert(shard.clone(), Arc::clone(&read_up));
        self.shards.set(count(state.read.len()));
        drop(state);
        Entry {
            lags: Arc::clone(self),
            shard: shard.clone(),
            read_up,
        }
    }

    /// Stores the number of shards that may be read, and those of them that no worker reads, each
    /// with the time since when.
    pub(crate) fn saw(&self, ready: usize, unread: BTreeMap<ShardId, u64>) {
        self.ready.set(count(ready));
        self.unread.set(count(unread.len()));
        let mut state = self.state.lock();
        (state.ready, state.unread) = (ready, unread);
    }

    /// Sets the gauge of the longest lag.
    pub(crate) fn measure(&self) {
        let now = self.now();
        let state = self.state.lock();
        let read = state.read.values().map(|read| read.lag(now));
        let unread = state.unread.values().map(|time| since(*time, now));
        let most = read.chain(unread).max().unwrap_or_default();
        self.seconds.set(most.as_secs_f64());
    }

    pub(crate) fn lag(&self) -> Lag {
        let now = self.now();
        let state = self.state.lock();
        let read = state.read.iter();
        let unread = state.unread.iter();
        Lag {
            read: read
                .map(|(shard, read)| (shard.clone(), read.lag(now)))
                .collect(),
            unread: unread
                .map(|(shard, time)| (shard.clone(), since(*time, now)))
                .collect(),
            ready: state.ready,
        }
    }
}

/// Returns a count as a gauge takes it.
fn count(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_behind_once_a_read_is_late_or_fails_or_shows_that_there_is_more() {
        let read = ReadUp::new(1_000);
        assert_eq!(
            read.lag(3_000),
            Duration::from_secs(2),
            "nothing is read yet"
        );
        read.all(5_000, Duration::from_secs(4));
        assert_eq!(read.lag(10_000), Duration::ZERO);
        assert_eq!(
            read.lag(10_001),
            Duration::from_millis(5_001),
            "the next is late"
        );
        read.all(5_000, Duration::from_secs(4));
        read.failed();
        assert_eq!(read.lag(6_000), Duration::from_secs(1));
        read.all(6_000, Duration::ZERO);
        read.up_to(4_000);
        assert_eq!(read.lag(6_500), Duration::from_millis(2_500));
        read.ended();
        assert_eq!(read.lag(9_000_000), Duration::ZERO);
    }
}
