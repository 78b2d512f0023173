//! The limit of requests in flight: it grows while answers come as fast as ever, and is cut where
//! they take far longer.
//!
//! Refusals do not lower it. They come as fast as successes, whatever the number in flight. The
//! rate reacts to them.

use std::time::Duration;

use super::Concurrency;
use super::latency::{Latency, Pace};

/// One request, in the fixed-point numbers of the limit.
///
/// Chosen: fine enough for the increase by a fraction of a request, and no product overflows `u64`.
const ONE_REQUEST: u64 = 1_000_000;

/// The start of an adaptive limit, in requests, if its range allows.
///
/// Chosen: four batches of 25 records fill the start-up burst that DynamoDB grants even a small
/// table.
const START_REQUESTS: usize = 4;

/// A cut takes off one request of so many. Chosen: a tenth less each round trip ends a queue before
/// the table within seconds.
const CUT_DIVISOR: u64 = 10;

/// The number of requests that may be in flight, adapted to the time that answers take.
///
/// **Up.** Until the first cut every answer adds one. That doubles the limit in a round trip, and
/// climbs the default range in three. From then on every answer adds the inverse of the limit, so a
/// round trip adds about one. The limit grows only if it was reached while the request was in
/// flight: an untried limit gives no evidence.
///
/// **Down.** Answers that take four times as long as the fastest recent one stop the increase. At
/// eight times the limit is cut by a tenth each round trip, down to its start. All answers to
/// requests sent before the last cut belong to the same queue, and cut once.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    limit: u64,
    min: u64,
    max: u64,
    /// The last time when as many requests as allowed were in flight.
    last_full: Option<Duration>,
    cut_at: Option<Duration>,
    latency: Latency,
}

impl ConcurrencyLimit {
    /// Creates a limit that adapts in this range.
    pub(crate) fn new(range: Concurrency) -> Self {
        let min = fixed_point(range.min().max(1));
        let max = fixed_point(range.max()).max(min);
        Self {
            limit: fixed_point(START_REQUESTS).clamp(min, max),
            min,
            max,
            last_full: None,
            cut_at: None,
            latency: Latency::default(),
        }
    }

    /// Sets another range. The limit stays where it is, as far as the new range allows.
    pub(crate) fn set_range(&mut self, range: Concurrency) {
        let (limit, cut_at) = (self.limit, self.cut_at);
        *self = Self::new(range);
        self.limit = limit.clamp(self.min, self.max);
        self.cut_at = cut_at;
    }

    /// Returns the number of requests that may be in flight, within the range.
    pub(crate) fn limit(&self) -> usize {
        usize::try_from(self.limit / ONE_REQUEST).unwrap_or(Concurrency::MAX_REQUESTS)
    }

    /// Returns the upper end of the range.
    pub(crate) fn max(&self) -> usize {
        usize::try_from(self.max / ONE_REQUEST).unwrap_or(Concurrency::MAX_REQUESTS)
    }

    /// Adapts the limit to an answer.
    ///
    /// Times are since the sink was opened. `in_flight` is the number of requests in flight when
    /// the answer came, this one included. A lost connection is no answer.
    pub(crate) fn on_answer(&mut self, now: Duration, sent_at: Duration, in_flight: usize) {
        if in_flight >= self.limit() {
            self.last_full = Some(now);
        }
        let pace = self.latency.note(now, now.saturating_sub(sent_at));
        let after_cut = self.cut_at.is_none_or(|cut_at| sent_at >= cut_at);
        match pace {
            _ if !after_cut => {}
            Pace::VerySlow => {
                let least = fixed_point(START_REQUESTS).max(self.min);
                let reduced = (self.limit - self.limit / CUT_DIVISOR).max(least);
                if reduced < self.limit {
                    self.limit = reduced;
                    self.cut_at = Some(now);
                }
            }
            // More requests in flight would only lengthen the queue before the table.
            Pace::Slow => {}
            Pace::Usual => {
                if self.last_full.is_some_and(|full| sent_at <= full) {
                    let more = match self.cut_at {
                        None => ONE_REQUEST,
                        Some(_) => ONE_REQUEST * ONE_REQUEST / self.limit,
                    };
                    self.limit = (self.limit + more).min(self.max);
                }
            }
        }
    }
}

fn fixed_point(requests: usize) -> u64 {
    u64::try_from(requests.min(Concurrency::MAX_REQUESTS))
        .map_or(u64::MAX, |requests| requests * ONE_REQUEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(10);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Keeps the limit in flight for some round trips of this length; returns the limit after each.
    fn drive(
        limit: &mut ConcurrencyLimit,
        now: &mut Duration,
        round_trips: u32,
        takes: Duration,
    ) -> Vec<usize> {
        let mut seen = Vec::new();
        for _ in 0..round_trips {
            let sent_at = *now;
            *now += takes;
            let sent = limit.limit();
            for n in 0..sent {
                limit.on_answer(*now, sent_at, sent - n);
            }
            seen.push(limit.limit());
        }
        seen
    }

    #[test]
    fn until_the_first_cut_a_round_trip_doubles_the_limit() {
        let mut limit = ConcurrencyLimit::new((1..=50).into());
        assert_eq!(limit.limit(), 4);
        let seen = drive(&mut limit, &mut at(0), 4, ROUND_TRIP);
        assert_eq!(seen, [8, 16, 32, 50]);
    }

    #[test]
    fn the_start_is_inside_the_range() {
        assert_eq!(ConcurrencyLimit::new((1..=2).into()).limit(), 2);
        assert_eq!(ConcurrencyLimit::new((10..=20).into()).limit(), 10);
        assert_eq!(ConcurrencyLimit::new(7.into()).limit(), 7);
    }

    #[test]
    fn an_unused_limit_does_not_grow() {
        let mut limit = ConcurrencyLimit::new((1..=32).into());
        for n in 0..1_000 {
            limit.on_answer(at(n + 1), at(n), 1);
        }
        assert_eq!(limit.limit(), 4);
    }

    #[test]
    fn slow_answers_cut_a_tenth_each_round_trip_and_never_below_the_start() {
        let mut limit = ConcurrencyLimit::new((1..=32).into());
        let mut now = at(0);
        drive(&mut limit, &mut now, 10, ROUND_TRIP);
        assert_eq!(limit.limit(), 32);
        let seen = drive(&mut limit, &mut now, 30, ROUND_TRIP * 20);
        let cuts: Vec<usize> = seen.windows(2).map(|pair| pair[0] - pair[1]).collect();
        assert!(cuts.iter().all(|cut| *cut <= 4), "{seen:?}");
        assert_eq!(seen.last(), Some(&START_REQUESTS), "{seen:?}");
        let seen = drive(&mut limit, &mut now, 3, ROUND_TRIP * 20);
        assert_eq!(seen, [START_REQUESTS; 3]);
    }

    #[test]
    fn after_a_cut_a_round_trip_adds_about_one() {
        let mut limit = ConcurrencyLimit::new((1..=32).into());
        limit.limit = 8 * ONE_REQUEST;
        limit.cut_at = Some(at(0));
        let seen = drive(&mut limit, &mut at(0), 3, ROUND_TRIP);
        assert!(
            seen.iter().all(|limit| (8..=11).contains(limit)),
            "{seen:?}"
        );
        assert!(seen[2] >= 10, "{seen:?}");
    }

    #[test]
    fn answers_from_before_a_cut_do_not_undo_it() {
        let mut limit = ConcurrencyLimit::new((1..=100).into());
        limit.cut_at = Some(at(10));
        for _ in 0..100 {
            limit.on_answer(at(11), at(5), 100);
        }
        assert_eq!(limit.limit(), 4);
    }

    proptest! {
        #[test]
        fn the_bounds_always_hold(
            min in 0_usize..1_200,
            max in 0_usize..1_200,
            answers in prop::collection::vec((0_u64..2_000, 0_u64..2_000, any::<usize>()), 0..200),
        ) {
            let mut limit = ConcurrencyLimit::new((min..=max).into());
            let low = min.clamp(1, 1_000);
            let high = max.clamp(low, 1_000);
            for (now, sent, in_flight) in answers {
                limit.on_answer(at(now), at(sent), in_flight);
                prop_assert!((low..=high).contains(&limit.limit()));
            }
        }

        #[test]
        fn a_fixed_number_stays(
            fixed in 1_usize..=1_000,
            answers in prop::collection::vec(0_u64..500, 0..100),
        ) {
            let mut limit = ConcurrencyLimit::new(fixed.into());
            for (n, took) in (0_u64..).zip(answers) {
                limit.on_answer(at(n + took), at(n), fixed);
                prop_assert_eq!(limit.limit(), fixed);
            }
        }
    }
}
