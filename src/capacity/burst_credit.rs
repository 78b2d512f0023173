//! Unused capacity that DynamoDB keeps, and how fast it may be spent.
//!
//! A sink knows the units that it left unused itself. Those from before it, or left by others, it
//! finds by doubling its speed each half second until the first refusal.

use std::time::Duration;

use super::allowance::{CAPACITY_PERIOD_SECONDS, LONGEST_PAUSE, UTILIZED_RATIO};

/// The time between two looks at the speed, and the least between two doublings. Chosen: long
/// beside a round trip.
const TICK: Duration = Duration::from_millis(500);

/// Seconds of unused capacity that DynamoDB keeps (developer guide, "Burst capacity").
const KEPT_SECONDS: f64 = 300.0;

/// The share of the speed below which it is halved. Chosen: half of it is then twice as much as is
/// wanted.
const UNWANTED_SHARE: f64 = 0.25;

/// Use of a budget since the last tick.
#[derive(Debug)]
struct Tick {
    at: Duration,
    used: f64,
    waited: bool,
    refused: bool,
}

impl Tick {
    fn new(at: Duration) -> Self {
        Self {
            at,
            used: 0.0,
            waited: false,
            refused: false,
        }
    }
}

/// The use of a budget in the time between two ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    /// Units a second.
    pub(super) demand: f64,
    pub(super) passed: Duration,
    pub(super) refused: bool,
    waited: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct BurstCredit {
    /// Set if credit may be spent at all, and if that of others may.
    allowed: bool,
    may_seek: bool,
    seeking: bool,
    multiple: f64,
    /// Set if the last change of the speed was a doubling.
    doubled: bool,
    /// Units left unused.
    credit: f64,
    no_credit_until: Duration,
    refused_at: Option<Duration>,
    tick: Tick,
}

impl BurstCredit {
    /// Creates one. `may_seek` allows it to spend what others left unused.
    pub(super) fn new(now: Duration, allowed: bool, may_seek: bool) -> Self {
        Self {
            allowed,
            may_seek,
            seeking: allowed && may_seek,
            multiple: 1.0,
            doubled: false,
            credit: 0.0,
            no_credit_until: Duration::ZERO,
            refused_at: None,
            tick: Tick::new(now),
        }
    }

    /// Returns the multiple of the rate that may leave.
    pub(super) fn multiple(&self) -> f64 {
        self.multiple
    }

    pub(super) fn is_bursting(&self) -> bool {
        self.multiple > 1.0
    }

    /// Returns whether the last change of the speed was a doubling, once.
    pub(super) fn take_doubled(&mut self) -> bool {
        std::mem::take(&mut self.doubled)
    }

    /// Notes that units left.
    pub(super) fn used(&mut self, units: f64) {
        self.tick.used += units;
    }

    /// Notes that writes wait for units.
    pub(super) fn waited(&mut self) {
        self.tick.waited = true;
    }

    /// Notes that units were refused for want of capacity.
    pub(super) fn refused(&mut self) {
        self.tick.refused = true;
    }

    /// Ends a burst: units were refused, and nothing is left to be spent.
    pub(super) fn end(&mut self, now: Duration) {
        self.refused();
        self.seeking = false;
        self.credit = 0.0;
        // Nothing counts as left unused in the longest pause and after it.
        self.no_credit_until = now + LONGEST_PAUSE * 2;
        self.refused_at = Some(now);
        self.multiple = 1.0;
    }

    /// Goes back to the rate, since that has changed.
    pub(super) fn reset(&mut self) {
        self.multiple = 1.0;
    }

    /// Advances the time. Returns the use since the last tick, if there was a tick.
    pub(super) fn tick(&mut self, now: Duration, rate: Option<f64>) -> Option<Use> {
        let passed = now.saturating_sub(self.tick.at);
        if passed < TICK {
            return None;
        }
        let tick = std::mem::replace(&mut self.tick, Tick::new(now));
        if let Some(rate) = rate {
            let mut unused = rate * passed.as_secs_f64() - tick.used;
            if tick.at < self.no_credit_until {
                unused = unused.min(0.0);
            }
            self.credit = (self.credit + unused).clamp(0.0, rate * KEPT_SECONDS);
        }
        Some(Use {
            demand: tick.used / passed.as_secs_f64(),
            passed,
            refused: tick.refused,
            waited: tick.waited,
        })
    }

    /// Chooses the speed of a budget of this rate, of which `speed` could leave until now.
    pub(super) fn choose(&mut self, now: Duration, rate: f64, speed: f64, of: Use) {
        // The credit of others may have filled by then.
        let is_quiet = |at: Duration| now.saturating_sub(at).as_secs_f64() >= KEPT_SECONDS;
        if self.refused_at.is_some_and(is_quiet) {
            self.seeking = self.allowed && self.may_seek;
        }
        if !self.allowed {
            return;
        }
        // Half a period is left over: the service may count by whole seconds.
        let enough = if self.is_bursting() {
            CAPACITY_PERIOD_SECONDS / 2.0
        } else {
            CAPACITY_PERIOD_SECONDS
        };
        if !self.seeking && self.credit < rate * enough {
            self.multiple = 1.0;
        } else if (of.waited || of.demand >= speed * UTILIZED_RATIO)
            && speed >= rate * self.multiple
        {
            self.multiple *= 2.0;
            self.doubled = true;
        } else if of.demand < speed * UNWANTED_SHARE {
            self.multiple = (self.multiple / 2.0).max(1.0);
        }
    }
}
