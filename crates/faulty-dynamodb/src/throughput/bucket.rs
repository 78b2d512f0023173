//! A store of write units that refills by the clock.

use std::time::Duration;

use super::settings::Refill;

/// Rounding allowed to the sums of many small refills; far below any item's cost.
const ROUNDING: f64 = 1e-6;

/// The units that come in a second, and the most that are kept while none is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// Units per second; infinite where nothing limits.
    pub(super) units: f64,
    /// Seconds of the rate that are kept.
    pub(super) keeps: f64,
}

impl Rate {
    fn max_units(self) -> f64 {
        self.units * self.keeps
    }
}

/// The moments at which units come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    pub(super) refill: Refill,
    /// The beginning of each second, as a part of one.
    pub(super) phase: Duration,
}

impl Rhythm {
    /// Seconds that have begun until this time.
    fn seconds_begun(self, at: Duration) -> u64 {
        (at + Duration::from_secs(1))
            .saturating_sub(self.phase)
            .as_secs()
    }

    /// Seconds of capacity that come in a span of time.
    fn seconds_between(self, from: Duration, to: Duration) -> f64 {
        match self.refill {
            Refill::Dripping => to.saturating_sub(from).as_secs_f64(),
            Refill::BySecond => {
                let seconds = self.seconds_begun(to) - self.seconds_begun(from);
                Duration::from_secs(seconds).as_secs_f64()
            }
        }
    }
}

/// One limit's account.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    rhythm: Rhythm,
    /// Below zero after a full bucket admitted more than it can hold.
    balance: f64,
    at: Duration,
    granted: f64,
    consumed: f64,
}

impl Bucket {
    /// An empty bucket.
    pub(super) fn empty(rate: Rate, rhythm: Rhythm, now: Duration) -> Self {
        let mut bucket = Self {
            rate,
            rhythm,
            balance: 0.0,
            at: now,
            granted: 0.0,
            consumed: 0.0,
        };
        bucket.open_up();
        bucket
    }

    /// A bucket that holds all that it can.
    pub(super) fn full(rate: Rate, rhythm: Rhythm, now: Duration) -> Self {
        let mut bucket = Self::empty(rate, rhythm, now);
        bucket.balance = rate.max_units();
        bucket.granted = rate.max_units();
        bucket
    }

    /// Brings the bucket up to a time. An earlier one changes nothing: requests that arrive
    /// together may read the clock in another order than they are carried out.
    pub(super) fn advance(&mut self, now: Duration) {
        if now <= self.at {
            return;
        }
        if self.rate.units.is_finite() {
            let fresh = self.rate.units * self.rhythm.seconds_between(self.at, now);
            self.granted += fresh;
            self.balance = (self.balance + fresh).min(self.rate.max_units());
        }
        self.at = now;
    }

    /// Returns whether so many units may be taken now. A full bucket gives more than it can hold and goes
    /// into debt, as a large item would otherwise wait for ever.
    pub(super) fn admits(&self, units: f64) -> bool {
        let full = self.rate.units > 0.0 && self.balance + ROUNDING >= self.rate.max_units();
        units <= self.balance + ROUNDING || full
    }

    /// Takes units, whether they are there or not.
    pub(super) fn take(&mut self, units: f64) {
        self.balance -= units;
        self.consumed += units;
    }

    /// Another rate from now on; what exceeds the new bank is lost. The bucket was brought up to
    /// this time before.
    pub(super) fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
        if self.balance.is_infinite() {
            // Nothing was kept while nothing was limited.
            self.balance = 0.0;
        }
        self.balance = self.balance.min(rate.max_units());
        self.open_up();
    }

    fn open_up(&mut self) {
        if self.rate.units.is_infinite() {
            self.balance = f64::INFINITY;
            self.granted = f64::INFINITY;
        }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// All units that have come so far, those included that no room was left for.
    pub(super) fn granted(&self) -> f64 {
        self.granted
    }

    /// All units taken so far.
    pub(super) fn consumed(&self) -> f64 {
        self.consumed
    }
}
