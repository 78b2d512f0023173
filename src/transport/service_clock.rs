//! The service's time: a monotonic clock, anchored to the dates of answers.
//!
//! A `Date` is truncated to the second, and is of some moment between the sending of a request and
//! the arrival of its answer. So each answer bounds the difference between the service's time and
//! the monotonic clock from both sides, and all answers together bound it more closely:
//!
//! ```text
//!               sent              received
//!  monotonic ────┼───────────────────┼──▶
//!                └── the date, cut ──┘      date − received  ≤  difference  <  date + 1 s − sent
//! ```
//!
//! An answer that contradicts those before replaces them: the machine slept, or a clock was set.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::clock::parse_http_date;
use crate::clock::Clock;
use parking_lot::Mutex;

/// The resolution of a date, in milliseconds.
const SECOND: i64 = 1_000;
/// The largest error assumed of the local clock where answers have no date, in milliseconds: the
/// service refuses requests that are signed more than 15 minutes off.
const LOCAL_MARGIN: i64 = 15 * 60 * 1_000;

/// The service's time, as far as the dates of answers determine it.
#[derive(Debug)]
pub(crate) struct ServiceClock {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    difference: Option<Difference>,
    warned: bool,
}

/// Bounds of the service's time less the monotonic clock's, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Difference {
    least: i64,
    most: i64,
}

impl Difference {
    /// Returns the intersection of both bounds, or the other's where it is empty.
    fn narrowed(self, other: Self) -> Self {
        let both = Self {
            least: self.least.max(other.least),
            most: self.most.min(other.most),
        };
        if both.least <= both.most { both } else { other }
    }
}

impl ServiceClock {
    /// Returns a clock that has no answer's date yet.
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::start(),
            state: Mutex::default(),
        }
    }

    /// Returns the monotonic time, to be noted when a request is sent.
    pub(super) fn monotonic(&self) -> Duration {
        self.clock.now()
    }

    /// Records the date of an answer that has just arrived to a request sent at `sent`.
    pub(super) fn answered(&self, date: Option<&str>, sent: Duration) {
        let Some(date) = date.and_then(parse_http_date) else {
            return;
        };
        let date = millis(date.duration_since(UNIX_EPOCH).unwrap_or_default());
        let told = Difference {
            least: date.saturating_sub(millis(self.monotonic())),
            most: date.saturating_add(SECOND).saturating_sub(millis(sent)),
        };
        let mut state = self.state.lock();
        let known = state.difference.unwrap_or(told);
        state.difference = Some(known.narrowed(told));
    }

    /// Returns the earliest that the service's time may be, in milliseconds since 1970: at most a
    /// second and a round trip early. If no answer had a date, it is the local time less 15
    /// minutes, which is logged once.
    pub(crate) fn earliest(&self) -> u64 {
        let (least, _) = self.bounds();
        u64::try_from(least).unwrap_or(0)
    }

    /// Returns the most probable service time; the local time if no answer had a date.
    pub(crate) fn now(&self) -> SystemTime {
        let (least, most) = self.bounds();
        let middle = u64::try_from(least.midpoint(most)).unwrap_or(0);
        UNIX_EPOCH + Duration::from_millis(middle)
    }

    fn bounds(&self) -> (i64, i64) {
        let mut state = self.state.lock();
        if let Some(Difference { least, most }) = state.difference {
            let now = millis(self.monotonic());
            return (least.saturating_add(now), most.saturating_add(now));
        }
        if !std::mem::replace(&mut state.warned, true) {
            tracing::warn!(
                margin_minutes = LOCAL_MARGIN / SECOND / 60,
                "the service's answers have no date: its time is taken to be this machine's"
            );
        }
        let local = self.clock.time_of_day().duration_since(UNIX_EPOCH);
        let local = millis(local.unwrap_or_default());
        (local - LOCAL_MARGIN, local + LOCAL_MARGIN)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two hours after the start of 1970.
    const DATE: &str = "Thu, 01 Jan 1970 02:00:00 GMT";
    const AT: u64 = 7_200_000;

    async fn pass(millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_bounds_the_time_by_its_round_trip_and_a_second() {
        let clock = ServiceClock::new();
        let sent = clock.monotonic();
        pass(80).await;
        clock.answered(Some(DATE), sent);
        assert_eq!(clock.earliest(), AT, "at the earliest it was sent just now");
        assert_eq!(clock.bounds().1, 7_201_080);
        pass(500).await;
        assert_eq!(
            clock.earliest(),
            AT + 500,
            "it goes on with the monotonic clock"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn answers_together_know_more_than_each() {
        let clock = ServiceClock::new();
        clock.answered(Some(DATE), clock.monotonic());
        // The second ends somewhere in between.
        pass(300).await;
        clock.answered(Some("Thu, 01 Jan 1970 02:00:01 GMT"), clock.monotonic());
        assert_eq!(clock.bounds(), (7_201_000, 7_201_300));
    }

    #[tokio::test(start_paused = true)]
    async fn what_contradicts_all_before_begins_anew() {
        let clock = ServiceClock::new();
        clock.answered(Some(DATE), clock.monotonic());
        for _ in 0..2 {
            clock.answered(Some("Thu, 01 Jan 1970 05:00:00 GMT"), clock.monotonic());
            assert_eq!(clock.earliest(), 18_000_000);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_dates_the_local_time_is_taken_with_a_margin() {
        let clock = ServiceClock::new();
        clock.answered(None, clock.monotonic());
        clock.answered(Some("yesterday"), clock.monotonic());
        let (least, most) = clock.bounds();
        assert_eq!(most - least, 2 * LOCAL_MARGIN);
        let local = clock.clock.time_of_day();
        let apart = local.duration_since(clock.now());
        assert!(apart.expect("no later") < Duration::from_millis(2));
    }
}
