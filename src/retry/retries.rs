//! The one retry loop, and the state that state machines share with it.
//!
//! A call that is repeated on its own goes through [`Retries::call`]. A state machine that puts the
//! delay into a due time asks [`Retries::failed`] for it. Either way failures are counted here, and
//! the delays are drawn from a generator that the caller seeds, from entropy outside of tests: two
//! processes that fail together do not come back together.

use std::future::Future;
use std::time::Duration;

use super::Backoff;

/// The failures in a row of one operation, and the delays that follow from them.
#[derive(Clone, Debug)]
pub(crate) struct Retries {
    backoff: Backoff,
    rng: fastrand::Rng,
    failures: u32,
}

/// The decision after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision<G> {
    /// Call again, after the delay.
    Retry,
    /// Return this.
    GiveUp(G),
}

impl Retries {
    /// Returns retries without a failure so far, whose jitter comes from `rng`.
    pub(crate) fn new(backoff: Backoff, rng: fastrand::Rng) -> Self {
        Self {
            backoff,
            rng,
            failures: 0,
        }
    }

    /// Returns the number of failures since the last success.
    #[cfg(any(feature = "streams", test))]
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Counts a failure and returns the delay before the next attempt.
    pub(crate) fn failed(&mut self) -> Duration {
        self.count_failure();
        self.backoff.delay(self.failures, &mut self.rng)
    }

    /// Counts a failure that is followed by no delay.
    pub(crate) fn count_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Forgets the failures: the next delay is the first again.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Calls `operation` until it succeeds or `decide` gives up, with a delay before each further
    /// call.
    ///
    /// `decide` takes the error and the number of failures so far, this one included. The failures
    /// of an earlier call do not count.
    ///
    /// # Errors
    ///
    /// The value that `decide` gives up with.
    ///
    /// # Cancel safety
    ///
    /// As `operation`. Dropped during a delay, nothing is under way.
    pub(crate) async fn call<T, E, G, F>(
        &mut self,
        mut operation: impl FnMut() -> F,
        mut decide: impl FnMut(E, u32) -> Decision<G>,
    ) -> Result<T, G>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.succeeded();
        loop {
            let error = match operation().await {
                Ok(value) => {
                    self.succeeded();
                    return Ok(value);
                }
                Err(error) => error,
            };
            let delay = self.failed();
            match decide(error, self.failures) {
                Decision::Retry => tokio::time::sleep(delay).await,
                Decision::GiveUp(given_up) => return Err(given_up),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::clock::Clock;
    use crate::retry::RetryPolicy;

    fn retries(seed: u64) -> Retries {
        let backoff = Backoff::new(&RetryPolicy::default());
        Retries::new(backoff, fastrand::Rng::with_seed(seed))
    }

    /// Calls an operation that always fails, four times, and returns the time of each call.
    async fn times(retries: &mut Retries) -> Vec<Duration> {
        let clock = Clock::start();
        let mut times = Vec::new();
        let failing = || {
            times.push(clock.now());
            std::future::ready(Err::<(), _>("failed"))
        };
        let decide = |error, failures| {
            if failures < 4 {
                Decision::Retry
            } else {
                Decision::GiveUp((error, failures))
            }
        };
        let given_up = retries.call(failing, decide).await;
        assert_eq!(given_up, Err(("failed", 4)));
        times
    }

    #[tokio::test(start_paused = true)]
    async fn each_call_waits_for_its_delay_and_begins_with_the_shortest() {
        let mut retries = retries(7);
        for _ in 0..2 {
            let times = times(&mut retries).await;
            let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
            for (gap, full) in gaps.zip([50, 100, 200]) {
                let millis = gap.as_millis();
                // tokio's timer rounds up to the millisecond.
                assert!(
                    (full / 2..=full + 1).contains(&millis),
                    "{millis} of {full}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn generators_of_their_own_keep_callers_apart() {
        let mut all: Vec<_> = Vec::new();
        for seed in 0..8 {
            all.push(times(&mut retries(seed)).await);
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 8, "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_is_returned_and_forgets_the_failures() {
        let mut retries = retries(7);
        let mut calls = 0;
        let third = || {
            calls += 1;
            std::future::ready(if calls == 3 { Ok(calls) } else { Err(()) })
        };
        let Ok(calls) = retries
            .call(third, |(), _| Decision::<Infallible>::Retry)
            .await;
        assert_eq!((calls, retries.failures()), (3, 0));
    }

    #[test]
    fn failures_are_counted_with_a_delay_and_without() {
        let mut retries = retries(7);
        retries.count_failure();
        let second = retries.failed();
        assert!((50..=100).contains(&second.as_millis()), "{second:?}");
        assert_eq!(retries.failures(), 2);
        retries.succeeded();
        assert!(retries.failed() <= Duration::from_millis(50));
    }
}
