//! How many retries all records of a table may cause together.
//!
//! When a service fails, every client's retries are added to the load it already cannot bear: with three attempts each, three
//! times the load. Backoff spreads those over time but does not lessen them. So retries are paid for, after tower's retry
//! budget: each success earns a share of one and time earns a few more, and what cannot be paid waits. Tower drops
//! what cannot be paid; a sink may not, so here the answer is a time to ask again.

use std::time::Duration;

use super::RetryBudgetSettings;

/// One retry in the fixed-point numbers of the balance. A retry a second then earns one of these a microsecond.
const ONE: u64 = 1_000_000;

/// A bucket of retries, in requests: a retry is one request sent again, a success one request answered without failure.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    balance: u64,
    most: u64,
    per_success: u64,
    per_micro: u64,
    /// Up to when time has been paid for; whole microseconds, so that no fraction is lost.
    paid_until: Duration,
}

impl RetryBudget {
    /// A full bucket.
    pub(crate) fn new(settings: &RetryBudgetSettings) -> Self {
        let most = u64::from(settings.get_burst().max(1)) * ONE;
        Self {
            balance: most,
            most,
            per_success: millionths(settings.get_ratio()),
            per_micro: u64::from(settings.get_min_per_second().max(1)),
            paid_until: Duration::ZERO,
        }
    }

    /// Takes note of a success at `now`, a time since the sink was opened.
    pub(crate) fn deposit(&mut self, now: Duration) {
        self.advance(now);
        self.balance = self.balance.saturating_add(self.per_success).min(self.most);
    }

    /// Pays for one retry at `now`.
    ///
    /// # Errors
    /// The time, on the same clock as `now`, at which the passing of time alone will have earned a retry; successes may
    /// earn it sooner.
    pub(crate) fn try_withdraw(&mut self, now: Duration) -> Result<(), Duration> {
        self.advance(now);
        if let Some(rest) = self.balance.checked_sub(ONE) {
            self.balance = rest;
            return Ok(());
        }
        let wait = (ONE - self.balance).div_ceil(self.per_micro);
        Err(self
            .paid_until
            .max(now)
            .saturating_add(Duration::from_micros(wait)))
    }

    fn advance(&mut self, now: Duration) {
        // A clock that steps back earns nothing until it has caught up.
        let passed = now.saturating_sub(self.paid_until).as_micros();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.paid_until = self
            .paid_until
            .saturating_add(Duration::from_micros(passed));
        let earned = passed.saturating_mul(self.per_micro);
        self.balance = self.balance.saturating_add(earned).min(self.most);
    }
}

fn millionths(ratio: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float turned into an integer saturates, and one that is not a number becomes 0"
    )]
    let millionths = (ratio * 1_000_000.0).round() as u64;
    millionths
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(ratio: f64, min_per_second: u32, burst: u32) -> RetryBudget {
        RetryBudget::new(
            &RetryBudgetSettings::default()
                .ratio(ratio)
                .min_per_second(min_per_second)
                .burst(burst),
        )
    }

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_burst_is_there_at_the_start_and_then_time_earns() {
        let mut budget = budget(0.0, 10, 3);
        for _ in 0..3 {
            budget.try_withdraw(millis(0)).expect("saved up");
        }
        assert_eq!(budget.try_withdraw(millis(0)), Err(millis(100)));
        assert_eq!(budget.try_withdraw(millis(60)), Err(millis(100)));
        budget.try_withdraw(millis(100)).expect("earned by time");
        assert_eq!(budget.try_withdraw(millis(100)), Err(millis(200)));
    }

    #[test]
    fn five_successes_earn_a_retry() {
        let mut budget = budget(0.2, 1, 1);
        budget.try_withdraw(millis(0)).expect("saved up");
        for _ in 0..4 {
            budget.deposit(millis(0));
            budget.try_withdraw(millis(0)).expect_err("not yet earned");
        }
        budget.deposit(millis(0));
        budget.try_withdraw(millis(0)).expect("earned by successes");
    }

    #[test]
    fn no_more_is_saved_than_the_burst() {
        let mut budget = budget(10.0, 10_000, 2);
        for n in 0..1_000 {
            budget.deposit(millis(n));
        }
        budget.try_withdraw(millis(1_000)).expect("first");
        budget.try_withdraw(millis(1_000)).expect("second");
        budget.try_withdraw(millis(1_000)).expect_err("no third");
    }

    #[test]
    fn a_clock_that_steps_back_earns_nothing() {
        let mut budget = budget(0.0, 10, 1);
        budget.try_withdraw(millis(1_000)).expect("saved up");
        for n in 0..1_000 {
            assert_eq!(budget.try_withdraw(millis(n)), Err(millis(1_100)));
        }
    }

    proptest! {
        /// Whatever was refused is granted at the time named.
        #[test]
        fn the_time_named_is_right(
            ratio in 0.0_f64..10.0,
            min_per_second in 1_u32..=10_000,
            burst in 1_u32..100,
            steps in prop::collection::vec((any::<bool>(), 0_u64..100_000), 0..300),
        ) {
            let mut budget = budget(ratio, min_per_second, burst);
            let mut now = Duration::ZERO;
            for (success, micros) in steps {
                now += Duration::from_micros(micros);
                if success {
                    budget.deposit(now);
                } else if let Err(again) = budget.try_withdraw(now) {
                    prop_assert!(again > now);
                    prop_assert!(again <= now + Duration::from_secs(1));
                    now = again;
                    prop_assert_eq!(budget.try_withdraw(now), Ok(()));
                }
            }
        }

        /// Over any run, no more is granted than was saved up and earned.
        #[test]
        fn no_more_is_granted_than_earned(
            min_per_second in 1_u32..1_000,
            burst in 1_u32..50,
            steps in prop::collection::vec((0_u32..3, 0_u64..20_000_000), 0..300),
        ) {
            let mut budget = budget(0.2, min_per_second, burst);
            let (mut now, mut granted, mut successes) = (Duration::ZERO, 0_u128, 0_u128);
            for (step, nanos) in steps {
                now += Duration::from_nanos(nanos);
                if step == 0 {
                    budget.deposit(now);
                    successes += 1;
                } else if budget.try_withdraw(now).is_ok() {
                    granted += 1;
                }
            }
            let earned = u128::from(burst) * 1_000_000_000
                + successes * 200_000_000
                + now.as_nanos() * u128::from(min_per_second);
            prop_assert!(granted * 1_000_000_000 <= earned);
        }

        #[test]
        fn no_settings_and_no_time_make_it_panic(ratio in any::<f64>(), min: u32, burst: u32, times: Vec<Duration>) {
            let mut budget = budget(ratio, min, burst);
            for now in times {
                budget.deposit(now);
                let _ = budget.try_withdraw(now);
            }
        }
    }
}
