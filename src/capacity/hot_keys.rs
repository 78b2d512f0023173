//! Partition keys that ask for more than their partition gives.
//!
//! One partition takes a thousand write units a second, however many the table has (developer
//! guide, "Best practices for designing and using partition keys"). The service does not report the
//! key that met this limit: unprocessed items of a batch bear no reason. So refusals and successes
//! are counted by key. A key that is refused far more often than the others is hot, and gets a
//! budget of its own. Its writes then wait apart, and those of other keys in the same partition are
//! no longer refused. While it is refused no more often than the others are, its partition is not
//! the cause, and its rate stays.

use std::collections::HashMap;
use std::time::Duration;

use super::allowance::Allowance;
use super::budget::Budget;
use super::ceiling::MIN_CUT_INTERVAL;
use super::speed::SpeedConfig;

/// The least number of refusals, halved each second, for a key to be hot.
///
/// Chosen: a key at its partition's limit has that many within a second or two, and chance alone
/// rarely gives as many.
const MIN_REFUSALS: f64 = 8.0;

/// The least share of all refusals, those of keys known as hot left out, that fall on a key for it
/// to be hot.
///
/// Chosen: on a table that is short as a whole refusals spread over all keys, and none has this
/// share.
const MIN_REFUSAL_SHARE: f64 = 0.02;

/// The least ratio of a key's refusal rate to that of the other keys for it to be hot.
///
/// Chosen: a key that is most of the traffic of a short table is refused as often as the others, at
/// a ratio of 1.
const MIN_REFUSAL_RATIO: f64 = 2.0;

/// The least number of a hot key's refusals, halved each second, beyond those that others' explain,
/// for its rate to be lowered.
///
/// Chosen: of a slow key whose share is as large as the others', chance rarely gives as many.
const MIN_EXCESS_REFUSALS: f64 = 2.0;

/// The largest number of keys that are watched. Chosen: bounds the memory.
const MAX_WATCHED_KEYS: usize = 256;

/// The largest number of hot keys. Chosen: the parked writes of each are considered before each
/// request.
const MAX_HOT_KEYS: usize = 64;

/// The number of refusals, halved each second, down to which a key is watched.
///
/// Chosen: one refusal is forgotten after four seconds.
const MIN_WATCHED_REFUSALS: f64 = 0.1;

/// The time for which a key that was found hot is observed before its rate is limited.
///
/// Chosen: the rate that its partition gives is measured over the last second.
const OBSERVATION_TIME: Duration = Duration::from_secs(1);

/// The time after its last refusal when a key is no longer hot.
///
/// Chosen: a key that still asks for too much is refused again well before.
const COOL_DOWN_TIME: Duration = Duration::from_secs(30);

/// The time after a hot key's refusal in which a few refusals of other keys are attributed to it.
///
/// Chosen: they share its partition, and are sent again some times before they pass.
const NEIGHBOR_WINDOW: Duration = Duration::from_secs(5);

/// Refusals and successes, of a key that is hot or may become so or of several, halved each second.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    refused: f64,
    passed: f64,
}

impl Watched {
    fn share(self) -> f64 {
        self.refused / (self.refused + self.passed).max(1.0)
    }

    /// Returns whether writes pass. Where none of the others does, the table is short, and not a
    /// key's partition.
    fn passes(self) -> bool {
        self.passed >= 1.0
    }

    /// Returns whether far more of these are refused than of others that pass.
    fn is_beyond(self, others: Self) -> bool {
        let explained = others.share() * MIN_REFUSAL_RATIO * (self.refused + self.passed);
        others.passes() && self.refused >= explained + MIN_EXCESS_REFUSALS
    }

    /// Returns these without those of one key.
    fn without(self, key: Self) -> Self {
        Self {
            refused: (self.refused - key.refused).max(0.0),
            passed: (self.passed - key.passed).max(0.0),
        }
    }

    fn scale(&mut self, factor: f64) {
        self.refused *= factor;
        self.passed *= factor;
    }
}

/// A key that is limited by a budget of its own.
#[derive(Debug)]
struct HotKey {
    budget: Budget,
    since: Duration,
    refused_at: Duration,
    /// The time of the last cut of its rate; `None` while it is still observed.
    cut_at: Option<Duration>,
    counts: Watched,
}

impl HotKey {
    /// Reduces the rate after a refusal.
    ///
    /// The first cut starts from the rate that the partition was seen to give, so it needs a second
    /// of observation.
    fn cut(&mut self, now: Duration) {
        match self.cut_at {
            None if now < self.since + OBSERVATION_TIME => return,
            None => self.budget.cap_at_delivered(now),
            Some(at) if now < at + MIN_CUT_INTERVAL => return,
            Some(_) => self.budget.lower_ceiling(now),
        }
        self.cut_at = Some(now);
    }
}

/// The watched and the hot keys of a table, by the hash of the partition key.
///
/// See the module's documentation.
#[derive(Debug)]
pub(super) struct HotKeys {
    watched: HashMap<u64, Watched>,
    hot: HashMap<u64, HotKey>,
    /// Those of all keys that are not hot.
    cold: Watched,
    halved_at: Duration,
    /// The time of the last refusal of a hot key.
    refused_at: Option<Duration>,
}

impl HotKeys {
    /// Creates an empty set.
    pub(super) fn new() -> Self {
        Self {
            watched: HashMap::new(),
            hot: HashMap::new(),
            cold: Watched::default(),
            halved_at: Duration::ZERO,
            refused_at: None,
        }
    }

    /// Returns whether no key is watched or hot, so that successes need no count.
    pub(super) fn is_idle(&self) -> bool {
        self.watched.is_empty() && self.hot.is_empty()
    }

    /// Returns the number of hot keys.
    pub(super) fn len(&self) -> usize {
        self.hot.len()
    }

    /// Returns whether a key is hot.
    pub(super) fn contains(&self, key: u64) -> bool {
        self.hot.contains_key(&key)
    }

    /// Returns the budget of a hot key.
    pub(super) fn budget(&mut self, key: u64) -> Option<&mut Budget> {
        self.hot.get_mut(&key).map(|hot| &mut hot.budget)
    }

    /// Returns whether a hot key explains a few refusals of other keys.
    ///
    /// It does so where a hot key was refused shortly before, or where there is one and the table
    /// as a whole has units left (`units_left`).
    pub(super) fn explains(&self, now: Duration, units_left: bool) -> bool {
        let lately = self
            .refused_at
            .is_some_and(|at| now.saturating_sub(at) < NEIGHBOR_WINDOW);
        lately || (units_left && !self.hot.is_empty())
    }

    /// Counts a write of this key that the service took.
    pub(super) fn passed(&mut self, now: Duration, key: u64, units: u32) {
        self.halve(now);
        if let Some(hot) = self.hot.get_mut(&key) {
            hot.budget.speed.delivered(now, f64::from(units));
            hot.counts.passed += 1.0;
            return;
        }
        self.cold.passed += 1.0;
        if let Some(watched) = self.watched.get_mut(&key) {
            watched.passed += 1.0;
        }
    }

    /// Counts a write of this key that the service refused, and makes the key hot where it stands
    /// out. Returns whether the key is hot, and the cause.
    ///
    /// `reported` is whether the service reported a key range as the reason. Without it the cause
    /// is not known.
    pub(super) fn refused(&mut self, now: Duration, key: u64, reported: bool) -> bool {
        self.halve(now);
        if let Some(hot) = self.hot.get_mut(&key) {
            hot.counts.refused += 1.0;
            // Until its rate is limited, it may be the reason why others do not pass.
            let is_cause = reported || hot.cut_at.is_none() || hot.counts.is_beyond(self.cold);
            if is_cause {
                hot.refused_at = now;
                self.refused_at = Some(now);
                hot.cut(now);
            }
            return is_cause;
        }
        self.cold.refused += 1.0;
        if self.watched.len() < MAX_WATCHED_KEYS || self.watched.contains_key(&key) {
            self.watched.entry(key).or_default().refused += 1.0;
        }
        if self.hot.len() < MAX_HOT_KEYS && self.stands_out(key, reported) {
            // A hot key's counts would distort the comparison of the others.
            let counts = self.watched.remove(&key).unwrap_or_default();
            self.cold = self.cold.without(counts);
            let hot = HotKey {
                budget: Budget::new(now, Allowance::Unknown, SpeedConfig::plain()),
                since: now,
                refused_at: now,
                cut_at: None,
                counts,
            };
            self.hot.insert(key, hot);
            self.refused_at = Some(now);
            return true;
        }
        false
    }

    /// Returns whether a watched key is refused far more often than the others.
    fn stands_out(&self, key: u64, reported: bool) -> bool {
        let Some(watched) = self.watched.get(&key) else {
            return false;
        };
        let others = self.cold.without(*watched);
        watched.refused >= MIN_REFUSALS
            && watched.refused >= self.cold.refused * MIN_REFUSAL_SHARE
            && watched.share() >= others.share() * MIN_REFUSAL_RATIO
            && (reported || others.passes())
    }

    /// Halves all counts for each second since the last call, so that old answers count less and
    /// less.
    fn halve(&mut self, now: Duration) {
        let mut seconds = now.saturating_sub(self.halved_at).as_secs();
        if seconds == 0 {
            return;
        }
        self.halved_at += Duration::from_secs(seconds);
        seconds = seconds.min(63);
        let factor = 0.5_f64.powi(i32::try_from(seconds).unwrap_or(i32::MAX));
        self.cold.scale(factor);
        for hot in self.hot.values_mut() {
            hot.counts.scale(factor);
        }
        self.watched.retain(|_, watched| {
            watched.scale(factor);
            watched.refused > MIN_WATCHED_REFUSALS
        });
    }

    /// Drops the hot keys that have not been refused for [`COOL_DOWN_TIME`].
    ///
    /// `waits` returns whether writes of a key are parked: such a key stays, since its writes leave
    /// by its budget.
    pub(super) fn release_cooled(&mut self, now: Duration, waits: impl Fn(u64) -> bool) {
        self.hot
            .retain(|key, hot| now.saturating_sub(hot.refused_at) < COOL_DOWN_TIME || waits(*key));
    }
}
