//! Partition keys that ask for more than their partition gives.
//!
//! One partition takes a thousand write units a second, whatever the table has. Nobody tells which
//! key met that limit: a batch's unprocessed items bear no reason. But refusals that fall on one
//! partition key far more often than on the others are that key's own. It gets a budget of its own,
//! which keeps it out of its neighbours' way; they go on.

use std::collections::HashMap;
use std::time::Duration;

use super::budget::Budget;
use super::control::Base;

/// Refusals, halved each second, from which on a key may be hot.
const MIN_REFUSALS: f64 = 8.0;

/// The share of the refusals of keys that aren't known to be hot that fall on a hot key, at least.
const MIN_REFUSAL_SHARE: f64 = 0.02;

/// How many times as often as the others it is refused.
const MIN_REFUSAL_RATIO: f64 = 2.0;

/// How many keys are watched, and how many held back, at most.
const MAX_WATCHED_KEYS: usize = 256;
const MAX_HOT_KEYS: usize = 64;

/// Refusals, halved each second, below which a key is watched no more.
const MIN_WATCHED_REFUSALS: f64 = 0.1;

/// What a refusal takes off a hot key's rate. Little: its partition is shared with keys that must
/// not suffer from its finding out again how much it may have.
const CUT_SHARE: f64 = 0.1;

/// The most often that is done.
const MIN_CUT_INTERVAL: Duration = Duration::from_millis(250);

/// For how long a key is observed before it is held back.
const OBSERVATION_TIME: Duration = Duration::from_secs(1);

/// How long after its last refusal a key is no longer held back.
const COOL_DOWN_TIME: Duration = Duration::from_secs(30);

/// For how long after a hot key's refusal those of a few other keys count as its neighbours'.
const NEIGHBOR_WINDOW: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Watched {
    refused: f64,
    passed: f64,
}

#[derive(Debug)]
struct HotKey {
    budget: Budget,
    since: Duration,
    refused_at: Duration,
    /// When its rate was last cut; none while it is still observed.
    cut_at: Option<Duration>,
}

impl HotKey {
    /// Refused: less from now on. First it is seen for a second how much the partition takes of it.
    fn cut(&mut self, now: Duration) {
        match self.cut_at {
            None if now < self.since + OBSERVATION_TIME => return,
            None => self.budget.start_at_delivered(now),
            Some(at) if now < at + MIN_CUT_INTERVAL => return,
            Some(_) => {}
        }
        self.cut_at = Some(now);
        self.budget.trim(now, CUT_SHARE);
    }
}

/// See the module's documentation. Keys are hashes of partition keys.
#[derive(Debug)]
pub(super) struct HotKeys {
    watched: HashMap<u64, Watched>,
    hot: HashMap<u64, HotKey>,
    refused: f64,
    passed: f64,
    halved_at: Duration,
    refused_at: Option<Duration>,
}

impl HotKeys {
    pub(super) fn new() -> Self {
        Self {
            watched: HashMap::new(),
            hot: HashMap::new(),
            refused: 0.0,
            passed: 0.0,
            halved_at: Duration::ZERO,
            refused_at: None,
        }
    }

    /// Whether nothing has to be looked at.
    pub(super) fn is_idle(&self) -> bool {
        self.watched.is_empty() && self.hot.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.hot.len()
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.hot.contains_key(&key)
    }

    pub(super) fn budget(&mut self, key: u64) -> Option<&mut Budget> {
        self.hot.get_mut(&key).map(|hot| &mut hot.budget)
    }

    /// Whether refusals of a few other keys are explained by a hot key beside them: it was refused itself,
    /// or it is held and the table as a whole has units left.
    pub(super) fn explains(&self, now: Duration, units_left: bool) -> bool {
        let lately = self
            .refused_at
            .is_some_and(|at| now.saturating_sub(at) < NEIGHBOR_WINDOW);
        lately || (units_left && !self.hot.is_empty())
    }

    /// A write of this key was taken.
    pub(super) fn passed(&mut self, now: Duration, key: u64, units: u32) {
        self.halve(now);
        if let Some(hot) = self.hot.get_mut(&key) {
            hot.budget.control.delivered(now, f64::from(units));
            return;
        }
        self.passed += 1.0;
        if let Some(watched) = self.watched.get_mut(&key) {
            watched.passed += 1.0;
        }
    }

    /// A write of this key was refused, for this key's sake or for a reason that is not known.
    /// `told` says which.
    pub(super) fn refused(&mut self, now: Duration, key: u64, reported: bool) {
        self.halve(now);
        if let Some(hot) = self.hot.get_mut(&key) {
            hot.refused_at = now;
            self.refused_at = Some(now);
            hot.cut(now);
            return;
        }
        self.refused += 1.0;
        if self.watched.len() < MAX_WATCHED_KEYS || self.watched.contains_key(&key) {
            self.watched.entry(key).or_default().refused += 1.0;
        }
        if self.hot.len() < MAX_HOT_KEYS && self.stands_out(key, reported) {
            // From now on it counts for itself.
            if let Some(watched) = self.watched.remove(&key) {
                self.refused = (self.refused - watched.refused).max(0.0);
                self.passed = (self.passed - watched.passed).max(0.0);
            }
            let hot = HotKey {
                budget: Budget::new(now, Base::Unknown, false),
                since: now,
                refused_at: now,
                cut_at: None,
            };
            self.hot.insert(key, hot);
            self.refused_at = Some(now);
        }
    }

    fn stands_out(&self, key: u64, reported: bool) -> bool {
        let Some(watched) = self.watched.get(&key) else {
            return false;
        };
        let own = watched.refused / (watched.refused + watched.passed);
        let (refused, passed) = (
            (self.refused - watched.refused).max(0.0),
            (self.passed - watched.passed).max(0.0),
        );
        let others = refused / (refused + passed).max(1.0);
        // Where the others don't pass either it is no matter of this key, unless it is told that it is.
        (reported || passed >= 1.0)
            && watched.refused >= MIN_REFUSALS
            && watched.refused >= self.refused * MIN_REFUSAL_SHARE
            && own >= others * MIN_REFUSAL_RATIO
    }

    /// Old news count less and less.
    fn halve(&mut self, now: Duration) {
        let mut seconds = now.saturating_sub(self.halved_at).as_secs();
        if seconds == 0 {
            return;
        }
        self.halved_at += Duration::from_secs(seconds);
        seconds = seconds.min(63);
        let factor = 0.5_f64.powi(i32::try_from(seconds).unwrap_or(i32::MAX));
        self.refused *= factor;
        self.passed *= factor;
        self.watched.retain(|_, watched| {
            watched.refused *= factor;
            watched.passed *= factor;
            watched.refused > MIN_WATCHED_REFUSALS
        });
    }

    /// Lets go of the keys that were not refused for long. `waits` says whether writes of a key wait.
    pub(super) fn release_cooled(&mut self, now: Duration, waits: impl Fn(u64) -> bool) {
        self.hot
            .retain(|key, hot| now.saturating_sub(hot.refused_at) < COOL_DOWN_TIME || waits(*key));
    }
}
