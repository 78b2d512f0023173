//! The budget of the retries that all records of a table may cause together.
//!
//! When a service fails, every client's retries are added to the load it already cannot bear: with
//! three attempts each, three times the load. Backoff spreads those over time but does not lessen
//! them. So retries are paid for, after tower's retry budget: each success earns a share of one and
//! time earns a few more. A retry that cannot be paid waits. Tower drops it; a sink may not, so
//! here the answer is a time from which it is paid.
//!
//! A retry that succeeds is given back. The budget bounds the requests that a failing service is
//! asked in vain. After an outage the waiting writes are sent as fast as the service takes them:
//! each success lets the next one go.

use std::time::Duration;

use super::RetryBudgetSettings;

/// One retry in the fixed-point numbers of the balance. A retry a second then earns one of these a
/// microsecond.
const ONE_RETRY: u64 = 1_000_000;

/// A bucket of retries, in requests: a retry is one request sent again, a success one request
/// answered without failure.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    balance: u64,
    max_balance: u64,
    per_success: u64,
    per_micro: u64,
    /// The time up to which time has been paid for; whole microseconds, so that no fraction is
    /// lost.
    paid_until: Duration,
}

impl RetryBudget {
    /// Returns a full bucket.
    pub(crate) fn new(settings: &RetryBudgetSettings) -> Self {
        let max_balance = u64::from(settings.get_burst().max(1)) * ONE_RETRY;
        Self {
            balance: max_balance,
            max_balance,
            per_success: millionths(settings.get_ratio()),
            per_micro: u64::from(settings.get_min_per_second().max(1)),
            paid_until: Duration::ZERO,
        }
    }

    /// Notes a success at `now`, a time since the sink was opened.
    pub(crate) fn deposit(&mut self, now: Duration) {
        self.advance(now);
        self.earn(self.per_success);
    }

    /// Gives retries back that have succeeded, or were not used.
    pub(crate) fn refund(&mut self, retries: u32) {
        self.earn(u64::from(retries) * ONE_RETRY);
    }

    /// Returns whether a retry is saved up at `now`.
    pub(crate) fn has_retry(&mut self, now: Duration) -> bool {
        self.advance(now);
        self.balance >= ONE_RETRY
    }

    /// Takes a retry out at `now`, and returns whether one was saved up.
    pub(crate) fn withdraw(&mut self, now: Duration) -> bool {
        let saved = self.has_retry(now);
        if saved {
            self.balance -= ONE_RETRY;
        }
        saved
    }

    /// Returns the time at which a retry is saved up, if nothing succeeds before.
    pub(crate) fn due_at(&self) -> Duration {
        let missing = ONE_RETRY.saturating_sub(self.balance);
        let wait = Duration::from_micros(missing.div_ceil(self.per_micro));
        self.paid_until.saturating_add(wait)
    }

    fn advance(&mut self, now: Duration) {
        // A clock that steps back earns nothing until it has caught up.
        let passed = now.saturating_sub(self.paid_until).as_micros();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.paid_until = self
            .paid_until
            .saturating_add(Duration::from_micros(passed));
        self.earn(passed.saturating_mul(self.per_micro));
    }

    fn earn(&mut self, earned: u64) {
        self.balance = self.balance.saturating_add(earned).min(self.max_balance);
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
            assert!(budget.withdraw(millis(0)), "saved up");
        }
        assert!(!budget.withdraw(millis(0)));
        assert_eq!(budget.due_at(), millis(100));
        assert!(!budget.withdraw(millis(60)));
        assert_eq!(budget.due_at(), millis(100));
        assert!(budget.withdraw(millis(100)), "earned by time");
        assert_eq!(budget.due_at(), millis(200));
    }

    #[test]
    fn five_successes_earn_a_retry_and_one_that_succeeds_is_given_back() {
        let mut budget = budget(0.2, 1, 1);
        assert!(budget.withdraw(millis(0)), "saved up");
        for _ in 0..4 {
            budget.deposit(millis(0));
            assert!(!budget.has_retry(millis(0)));
        }
        budget.deposit(millis(0));
        assert!(budget.withdraw(millis(0)), "earned by successes");
        assert!(!budget.withdraw(millis(0)));
        budget.refund(1);
        assert!(budget.withdraw(millis(0)));
        assert_eq!(budget.due_at(), millis(1_000));
    }

    #[test]
    fn no_more_is_saved_than_the_burst() {
        let mut budget = budget(10.0, 10_000, 2);
        for n in 0..1_000 {
            budget.deposit(millis(n));
            budget.refund(1);
        }
        let granted = [(); 3].map(|()| budget.withdraw(millis(1_000)));
        assert_eq!(granted, [true, true, false]);
    }

    #[test]
    fn a_clock_that_steps_back_earns_nothing() {
        let mut budget = budget(0.0, 10, 1);
        assert!(budget.withdraw(millis(1_000)));
        for n in 1..100 {
            assert!(!budget.withdraw(millis(n)));
            assert_eq!(budget.due_at(), millis(1_100));
        }
    }

    proptest! {
        /// Over any run, no more is granted by any time than was saved up, earned and given back by
        /// then.
        #[test]
        fn no_more_is_granted_than_earned(
            min_per_second in 1_u32..1_000,
            burst in 1_u32..50,
            steps in prop::collection::vec((0_u32..6, 0_u64..20_000_000), 0..300),
        ) {
            let mut budget = budget(0.2, min_per_second, burst);
            let (mut now, mut successes, mut granted, mut refunded) = (Duration::ZERO, 0_u128, 0_u128, 0_u128);
            for (step, nanos) in steps {
                now += Duration::from_nanos(nanos);
                match step {
                    0 => {
                        budget.deposit(now);
                        successes += 1;
                    }
                    1 => {
                        budget.refund(1);
                        refunded += 1;
                    }
                    _ => granted += u128::from(budget.withdraw(now)),
                }
                let earned = (u128::from(burst) + refunded) * 1_000_000_000
                    + successes * 200_000_000
                    + now.as_nanos() * u128::from(min_per_second);
                prop_assert!(granted * 1_000_000_000 <= earned);
                prop_assert!(budget.has_retry(now) || budget.due_at() >= now - Duration::from_micros(1));
            }
        }

        #[test]
        fn no_settings_and_no_time_make_it_panic(ratio in any::<f64>(), min: u32, burst: u32, times: Vec<Duration>) {
            let mut budget = budget(ratio, min, burst);
            for now in times {
                budget.deposit(now);
                budget.withdraw(now);
                let _ = budget.due_at();
            }
        }
    }
}
