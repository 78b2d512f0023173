//! A token bucket of write units whose rate may change: the only file that uses `governor`.
//!
//! `governor` keeps the account and never lets more out than its quota. It can't change its quota,
//! take units back or go into debt, and a fresh limiter starts with a full burst. So it runs on a
//! clock that counts units instead of seconds, one microsecond a unit. The rate is the speed of
//! that clock. Units given back set the clock forward. A debt stops it until the debt is paid.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// The length of one unit on the clock of units, in nanoseconds.
///
/// Chosen: a fraction of a unit still counts, and 64 bits last for 10^16 units.
const NANOS_PER_UNIT: u64 = 1_000;

/// The highest rate of a bucket.
///
/// Chosen: far above any table's. Where there is no limit there is no bucket.
pub(super) const MAX_UNITS_PER_SECOND: f64 = 1e9;

/// A clock whose time is units.
#[derive(Clone, Debug, Default)]
struct UnitClock(Arc<AtomicU64>);

impl Clock for UnitClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, UnitClock, NoOpMiddleware<Duration>>;

/// A bucket of units that may be sent now, refilled at a rate, up to a burst.
#[derive(Debug)]
pub(super) struct Bucket {
    limiter: Limiter,
    clock: UnitClock,
    burst: NonZeroU32,
    /// Units a second.
    rate: f64,
    advanced_at: Duration,
    /// The debt that is paid before the clock goes on, in units. Negative for the fraction of a
    /// unit that the clock has not gone yet.
    owed: f64,
}

impl Bucket {
    /// Creates an empty bucket.
    pub(super) fn new(now: Duration, rate: f64, burst: NonZeroU32) -> Self {
        // The clock starts late enough for a full burst to lie behind it.
        let start = (u64::from(burst.get()) + 1) * NANOS_PER_UNIT;
        let clock = UnitClock(Arc::new(AtomicU64::new(start)));
        let quota = Quota::with_period(Duration::from_nanos(NANOS_PER_UNIT))
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(burst);
        let bucket = Self {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
            burst,
            rate: rate.clamp(0.0, MAX_UNITS_PER_SECOND),
            advanced_at: now,
            owed: 0.0,
        };
        let full = bucket.limiter.check_n(burst);
        debug_assert!(matches!(full, Ok(Ok(()))), "a fresh limiter is full");
        bucket
    }

    /// Returns a bucket of another rate and burst, with the units and the debt of this one.
    pub(super) fn resized(mut self, now: Duration, rate: f64, burst: NonZeroU32) -> Self {
        let available = self.available(now).min(burst.get());
        let mut resized = Self::new(now, rate, burst);
        resized.give_back(available);
        resized.owed += self.owed;
        resized
    }

    /// Returns the largest number of units that the bucket holds.
    pub(super) fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// Sets the rate from now on.
    pub(super) fn set_rate(&mut self, now: Duration, rate: f64) {
        self.advance(now);
        self.rate = rate.clamp(0.0, MAX_UNITS_PER_SECOND);
    }

    /// Sets the clock of units forward by the time that has passed.
    fn advance(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.advanced_at);
        if !elapsed.is_zero() {
            self.advanced_at = now;
            self.forward(elapsed.as_secs_f64() * self.rate);
        }
    }

    /// Sets the clock forward by so many units, less the debt.
    fn forward(&mut self, units: f64) {
        self.owed -= units;
        if self.owed < 0.0 {
            let nanos = (-self.owed * NANOS_PER_UNIT as f64).floor().min(1e15);
            self.owed += nanos / NANOS_PER_UNIT as f64;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, not negative, below 10^15"
            )]
            self.clock.0.fetch_add(nanos as u64, Ordering::Relaxed);
        }
    }

    /// Returns the units that may be taken now.
    pub(super) fn available(&mut self, now: Duration) -> u32 {
        self.advance(now);
        match self.limiter.check_n(self.burst) {
            Ok(Ok(())) => {
                // `governor` can't be asked without taking. The clock gives the burst back.
                self.clock.0.fetch_add(
                    u64::from(self.burst.get()) * NANOS_PER_UNIT,
                    Ordering::Relaxed,
                );
                self.burst.get()
            }
            Ok(Err(not_yet)) => {
                let wait = not_yet.wait_time_from(self.clock.now()).as_nanos();
                let missing =
                    u32::try_from(wait.div_ceil(u128::from(NANOS_PER_UNIT))).unwrap_or(u32::MAX);
                self.burst.get().saturating_sub(missing)
            }
            Err(_) => 0,
        }
    }

    /// Takes units, if they are available, and returns whether it did.
    ///
    /// A full bucket gives more than it holds and goes into debt for the rest. Otherwise a write
    /// that costs more than a burst could never leave.
    pub(super) fn take(&mut self, now: Duration, units: u32) -> bool {
        self.advance(now);
        let Some(wanted) = NonZeroU32::new(units.min(self.burst.get())) else {
            return true;
        };
        let given = matches!(self.limiter.check_n(wanted), Ok(Ok(())));
        if given {
            self.owed += f64::from(units - wanted.get());
        }
        given
    }

    /// Returns the time until so many units are available, at the present rate: zero if they are
    /// available now, a year if the rate is zero.
    pub(super) fn wait(&mut self, now: Duration, units: u32) -> Duration {
        let available = self.available(now);
        let missing = units.min(self.burst.get()).saturating_sub(available);
        if missing == 0 {
            return Duration::ZERO;
        }
        let units = f64::from(missing) + self.owed.max(0.0);
        // Chosen: never reached in practice, and no overflow of a time.
        const MAX_WAIT_SECONDS: f64 = 365.0 * 24.0 * 3600.0;
        // One microsecond more, for the fraction of a unit that the clock rounds off.
        Duration::from_secs_f64((units / self.rate.max(1e-9)).min(MAX_WAIT_SECONDS))
            + Duration::from_micros(1)
    }

    /// Charges units that were used without having been taken. Those that are not available become
    /// debt.
    pub(super) fn owe(&mut self, now: Duration, units: u32) {
        if units == 0 {
            return;
        }
        let available = self.available(now).min(units);
        if self.take(now, available) {
            self.owed += f64::from(units - available);
        }
    }

    /// Returns units that were taken and not used.
    pub(super) fn give_back(&mut self, units: u32) {
        self.forward(f64::from(units));
    }

    /// Takes all units that are available.
    pub(super) fn empty(&mut self, now: Duration) {
        let available = self.available(now);
        self.take(now, available);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn bucket(rate: f64, burst: u32) -> Bucket {
        Bucket::new(at(0), rate, NonZeroU32::new(burst).expect("not zero"))
    }

    #[test]
    fn a_new_one_is_empty_and_fills_at_its_rate_up_to_its_burst() {
        let mut bucket = bucket(1000.0, 100);
        assert_eq!(bucket.available(at(0)), 0);
        assert_eq!(bucket.available(at(50)), 50);
        assert!(bucket.take(at(50), 30));
        assert!(!bucket.take(at(50), 21), "not what is not there");
        assert_eq!(bucket.available(at(50)), 20);
        assert_eq!(bucket.available(at(10_000)), 100);
    }

    #[test]
    fn the_rate_changes_from_now_on() {
        let mut bucket = bucket(1000.0, 1000);
        bucket.set_rate(at(100), 10.0);
        assert_eq!(bucket.available(at(100)), 100);
        assert_eq!(bucket.available(at(1_100)), 110);
        assert_eq!(
            bucket.wait(at(1_100), 111),
            Duration::from_millis(100) + Duration::from_micros(1)
        );
        bucket.set_rate(at(1_100), 0.0);
        assert!(bucket.wait(at(1_100), 111) > Duration::from_secs(1_000_000));
        assert_eq!(bucket.wait(at(1_100), 110), Duration::ZERO);
    }

    #[test]
    fn a_full_one_gives_more_than_it_holds_and_owes_it() {
        let mut bucket = bucket(100.0, 100);
        assert!(!bucket.take(at(500), 400), "half full");
        assert!(bucket.take(at(1_000), 400));
        assert_eq!(bucket.available(at(3_990)), 0);
        assert_eq!(bucket.available(at(4_010)), 1);
    }

    #[test]
    fn what_was_used_beside_is_paid_first_and_what_was_not_used_comes_back() {
        let mut bucket = bucket(1000.0, 100);
        bucket.owe(at(50), 80);
        assert_eq!(bucket.available(at(50)), 0);
        assert_eq!(bucket.available(at(80)), 0);
        assert_eq!(bucket.available(at(90)), 10);
        bucket.give_back(25);
        assert_eq!(bucket.available(at(90)), 35);
        bucket.empty(at(90));
        assert_eq!(bucket.available(at(90)), 0);
    }

    proptest! {
        /// Over any period no more leaves than the rate gives and one burst, whatever is taken
        /// when.
        #[test]
        fn it_never_gives_more_than_its_rate_and_a_burst(
            rate in 1_u32..5_000,
            burst in 1_u32..2_000,
            asks in prop::collection::vec((0_u64..300, 1_u32..400), 1..200),
        ) {
            let mut bucket = bucket(f64::from(rate), burst);
            let mut now = 0;
            let mut given: Vec<(u64, u32)> = Vec::new();
            for (wait, units) in asks {
                now += wait;
                let units = units.min(burst);
                if bucket.take(at(now), units) {
                    given.push((now, units));
                }
                prop_assert!(bucket.available(at(now)) <= burst);
            }
            for (n, (from, _)) in given.iter().enumerate() {
                let mut sum = 0.0;
                for (to, units) in &given[n..] {
                    sum += f64::from(*units);
                    let seconds = at(to - from).as_secs_f64();
                    prop_assert!(sum <= f64::from(rate) * seconds + f64::from(burst) + 1.0);
                }
            }
        }
    }
}
