//! The comparison of recent answer times with the shortest ones.
//!
//! An overloaded table refuses requests. The parts before it do not: an overloaded network, proxy
//! or local server only gets slower, and more requests in flight only lengthen its queue.

use std::time::Duration;

/// The least time for which the shortest answer is remembered; twice that at most.
///
/// Chosen: after a lasting change of the path the new answer times are the usual ones within half a
/// minute.
const SHORTEST_WINDOW: Duration = Duration::from_secs(15);

/// The weight of the newest answer in the mean.
///
/// Chosen: the mean spans about ten answers, so that a single slow one does not show.
const NEWEST_WEIGHT: f64 = 0.1;

/// The ratio of the mean to the shortest answer from which on more requests in flight are of no
/// use. At twice that fewer are better.
///
/// Chosen: batches of 25 large items take twice as long as small ones, which is no sign of
/// overload.
const SLOW_RATIO: f64 = 4.0;

/// The mean answer time that counts as fast whatever the shortest is, in seconds.
///
/// Chosen: beside answers of less than a few milliseconds a scheduler's pause looks like a rise.
const ALWAYS_FAST_SECONDS: f64 = 0.02;

/// The recent answer times, compared with the shortest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Usual,
    Slow,
    VerySlow,
}

/// The mean and the shortest of recent answer times, in seconds. See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Latency {
    mean: Option<f64>,
    shortest: f64,
    /// The shortest of the window before.
    shortest_before: f64,
    /// The start of the current window.
    since: Duration,
}

impl Latency {
    /// Adds the time that an answer took, and returns how recent answers compare with the shortest.
    pub(super) fn note(&mut self, now: Duration, took: Duration) -> Pace {
        let took = took.as_secs_f64();
        let mean = match self.mean {
            Some(mean) => mean + (took - mean) * NEWEST_WEIGHT,
            None => {
                self.since = now;
                self.shortest = took;
                self.shortest_before = took;
                took
            }
        };
        self.mean = Some(mean);
        if now.saturating_sub(self.since) >= SHORTEST_WINDOW {
            self.since = now;
            self.shortest_before = self.shortest;
            self.shortest = took;
        }
        self.shortest = self.shortest.min(took);
        let usual = self.shortest.min(self.shortest_before);
        if mean <= ALWAYS_FAST_SECONDS || mean <= usual * SLOW_RATIO {
            Pace::Usual
        } else if mean <= usual * 2.0 * SLOW_RATIO {
            Pace::Slow
        } else {
            Pace::VerySlow
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_rise_shows_and_one_slow_answer_does_not() {
        let mut latency = Latency::default();
        for n in 0..50 {
            assert_eq!(latency.note(ms(n * 10), ms(10)), Pace::Usual);
        }
        assert_eq!(latency.note(ms(510), ms(200)), Pace::Usual);
        let paces: Vec<Pace> = (0..60)
            .map(|n| latency.note(ms(600 + n), ms(100)))
            .collect();
        assert!(paces.contains(&Pace::Slow));
        assert_eq!(paces.last(), Some(&Pace::VerySlow));
    }

    #[test]
    fn what_has_become_usual_is_no_rise() {
        let mut latency = Latency::default();
        latency.note(ms(0), ms(10));
        let mut last = Pace::Usual;
        for second in 1..40 {
            last = latency.note(ms(second * 1_000), ms(300));
        }
        assert_eq!(last, Pace::Usual);
    }

    #[test]
    fn fast_is_fast_whatever_is_faster() {
        let mut latency = Latency::default();
        latency.note(ms(0), Duration::from_micros(300));
        for n in 0..100 {
            assert_eq!(latency.note(ms(n), ms(18)), Pace::Usual);
        }
    }
}
