//! The delays between attempts.
//!
//! The delays before jitter are those of the `backoff` crate's exponential policy. This is the only
//! file that knows that crate: it is unmaintained, and another in its place is a change to this
//! file alone. Its own jitter is off, and its clock and random numbers are not used: the schedule
//! is worked out once, and jitter comes from the generator handed in, so that a test with a fixed
//! seed has the same delays every time.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

use super::RetryPolicy;

/// The most steps of a schedule, where settings that were never validated would make it endless.
/// Valid ones reach the longest delay within 133 steps (1 ms growing by 1.1 to 5 min).
const MAX_STEPS: usize = 256;

/// The delays before the first, second, … retry, up to the longest.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    schedule: Vec<Duration>,
    longest: Duration,
}

impl Backoff {
    /// Returns the delays of a policy.
    pub(crate) fn new(policy: &RetryPolicy) -> Self {
        let longest = policy.get_max_backoff();
        let mut exponential = ExponentialBackoff {
            current_interval: policy.get_initial_backoff(),
            initial_interval: policy.get_initial_backoff(),
            randomization_factor: 0.0,
            multiplier: policy.get_multiplier(),
            max_interval: longest,
            // Giving up is for attempts and deadlines to decide.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        let mut schedule = Vec::new();
        // `next_backoff` adds up to a nanosecond of its own randomness even with a factor of 0; the
        // interval it steps from is exact.
        while exponential.current_interval < longest && schedule.len() < MAX_STEPS {
            schedule.push(exponential.current_interval);
            exponential.next_backoff();
        }
        Self { schedule, longest }
    }

    /// Returns the longest delay.
    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    /// Returns the delay after failure number `attempt`, counted from 1: between half the
    /// schedule's delay and all of it.
    ///
    /// Half is kept, so that a retry never follows its failure at once; the other half is random,
    /// so that records which failed together do not come back together.
    pub(crate) fn delay(&self, attempt: u32, rng: &mut fastrand::Rng) -> Duration {
        let step = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        let full = self.schedule.get(step).copied().unwrap_or(self.longest);
        let nanos = u64::try_from(full.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(rng.u64(nanos / 2..=nanos))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn policy(initial: u64, max: u64, multiplier: f64) -> RetryPolicy {
        RetryPolicy::default()
            .initial_backoff(millis(initial))
            .max_backoff(millis(max))
            .multiplier(multiplier)
    }

    #[test]
    fn the_default_doubles_from_50_ms_to_10_s() {
        let backoff = Backoff::new(&RetryPolicy::default());
        let expected: Vec<_> = [50, 100, 200, 400, 800, 1_600, 3_200, 6_400]
            .map(millis)
            .into();
        assert_eq!(backoff.schedule, expected);
        assert_eq!(backoff.longest, millis(10_000));
    }

    #[test]
    fn the_slowest_valid_growth_fits_the_schedule() {
        let steps = Backoff::new(&policy(1, 300_000, 1.1)).schedule.len();
        assert!((100..MAX_STEPS).contains(&steps), "{steps}");
    }

    #[test]
    fn a_constant_delay_is_one_whose_ends_are_equal() {
        let backoff = Backoff::new(&policy(200, 200, 2.0));
        let mut rng = fastrand::Rng::with_seed(1);
        for attempt in 1..50 {
            assert!((millis(100)..=millis(200)).contains(&backoff.delay(attempt, &mut rng)));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let backoff = Backoff::new(&RetryPolicy::default());
        let run = || {
            let mut rng = fastrand::Rng::with_seed(7);
            (1..20)
                .map(|attempt| backoff.delay(attempt, &mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn jitter_uses_the_whole_upper_half() {
        let backoff = Backoff::new(&RetryPolicy::default());
        let mut rng = fastrand::Rng::with_seed(3);
        let delays: Vec<_> = (0..1_000).map(|_| backoff.delay(2, &mut rng)).collect();
        assert!(
            delays.iter().any(|d| *d < millis(53)),
            "nothing near the half"
        );
        assert!(
            delays.iter().any(|d| *d > millis(97)),
            "nothing near the whole"
        );
    }

    proptest! {
        #[test]
        fn delays_stay_between_the_halves_of_the_ends(
            initial in 1_u64..60_000,
            more in 0_u64..240_000,
            multiplier in 1.1_f64..10.0,
            attempt: u32,
            seed: u64,
        ) {
            let backoff = Backoff::new(&policy(initial, initial + more, multiplier));
            let delay = backoff.delay(attempt, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(delay >= millis(initial) / 2 && delay <= millis(initial + more));
        }

        #[test]
        fn no_settings_make_it_panic_or_run_for_ever(
            initial: Duration,
            max: Duration,
            multiplier in any::<f64>(),
            attempt: u32,
        ) {
            let policy = RetryPolicy::default().initial_backoff(initial).max_backoff(max).multiplier(multiplier);
            Backoff::new(&policy).delay(attempt, &mut fastrand::Rng::with_seed(0));
        }
    }
}
