//! The limit of requests in flight: additive increase, multiplicative decrease by the share of
//! throttled items.

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

/// The number of requests that may be in flight, adapted to the table's answers.
///
/// **Up.** Until the table throttles for the first time, every clean answer adds one. That doubles
/// the limit in a round trip, and climbs the default range in three. From then on every clean
/// answer adds the inverse of the limit, so a round trip adds about one. The limit grows only if it
/// was reached while the request was in flight: an untried limit gives no evidence of what the
/// table takes.
///
/// **Down.** A cut takes off half of the share of throttled items. A request refused whole halves
/// the limit, and one unprocessed item of 25 takes 2 % off. All answers to requests sent before the
/// last cut belong to the same congestion. Together they cut once, as deep as the worst of them.
///
/// **Slow answers.** Answers that take four times as long as the fastest recent one stop the
/// increase. At eight times the limit is cut by a tenth each round trip, down to its start.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    limit: u64,
    min: u64,
    max: u64,
    /// The last time when as many requests as allowed were in flight.
    last_full: Option<Duration>,
    last_cut: Option<Cut>,
    latency: Latency,
}

/// A cut of the limit.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at: Duration,
    /// The limit before the cut.
    from: u64,
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
            last_cut: None,
            latency: Latency::default(),
        }
    }

    /// Sets another range. The limit stays where it is, as far as the new range allows.
    pub(crate) fn set_range(&mut self, range: Concurrency) {
        let (limit, cut) = (self.limit, self.last_cut);
        *self = Self::new(range);
        self.limit = limit.clamp(self.min, self.max);
        self.last_cut = cut;
    }

    /// Returns the number of requests that may be in flight, within the range.
    pub(crate) fn limit(&self) -> usize {
        usize::try_from(self.limit / ONE_REQUEST).unwrap_or(Concurrency::MAX_REQUESTS)
    }

    /// Returns the upper end of the range.
    pub(crate) fn max(&self) -> usize {
        usize::try_from(self.max / ONE_REQUEST).unwrap_or(Concurrency::MAX_REQUESTS)
    }

    /// Returns whether the limit is at the lower end of its range.
    pub(crate) fn at_minimum(&self) -> bool {
        self.limit / ONE_REQUEST <= self.min / ONE_REQUEST
    }

    /// Adapts the limit to an answer to a request of `items` items, `throttled_items` of which were
    /// refused for want of capacity.
    ///
    /// Times are since the sink was opened. `in_flight` is the number of requests in flight when
    /// the answer came, this one included. Answers that are no evidence of the table's capacity,
    /// such as a lost connection or the refusal of a hot key, must not be passed.
    pub(crate) fn on_answer(
        &mut self,
        now: Duration,
        sent_at: Duration,
        in_flight: usize,
        items: usize,
        throttled_items: usize,
    ) {
        let items = u64::try_from(items.max(1)).unwrap_or(u64::MAX);
        let throttled = u64::try_from(throttled_items)
            .unwrap_or(u64::MAX)
            .min(items);
        if in_flight >= self.limit() {
            self.last_full = Some(now);
        }
        let pace = self.latency.note(now, now.saturating_sub(sent_at));
        if throttled > 0 {
            self.cut(now, sent_at, items, throttled);
        } else if pace == Pace::VerySlow && self.limit > fixed_point(START_REQUESTS) {
            // The same as for one item of five throttled: a tenth less each round trip.
            self.cut(now, sent_at, 5, 1);
        } else if pace != Pace::Usual {
            // More requests in flight would only lengthen the queue before the table.
        } else if self.last_full.is_some_and(|full| sent_at <= full)
            && self.last_cut.is_none_or(|cut| sent_at >= cut.at)
        {
            let more = match self.last_cut {
                None => ONE_REQUEST,
                Some(_) => ONE_REQUEST * ONE_REQUEST / self.limit,
            };
            self.limit = (self.limit + more).min(self.max);
        }
    }

    /// Cuts the limit by half of the share of throttled items.
    fn cut(&mut self, now: Duration, sent_at: Duration, items: u64, throttled: u64) {
        let cut = match self.last_cut {
            // Sent before the last cut: the same congestion, which may be deeper than seen so far.
            Some(cut) if sent_at < cut.at => cut,
            _ => Cut {
                at: now,
                from: self.limit,
            },
        };
        let share = u128::from(cut.from) * u128::from(throttled) / (2 * u128::from(items));
        let reduced = cut.from - u64::try_from(share).unwrap_or(cut.from);
        self.limit = self.limit.min(reduced).max(self.min);
        self.last_cut = Some(cut);
    }
}

/// Returns a number of requests in the fixed-point numbers of the limit.
fn fixed_point(requests: usize) -> u64 {
    u64::try_from(requests.min(Concurrency::MAX_REQUESTS))
        .map_or(u64::MAX, |requests| requests * ONE_REQUEST)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(10);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Keeps as many requests in flight as allowed, for `round_trips`, against a table that serves
    /// `capacity` requests in each. Returns the limit after each round trip.
    fn drive(
        limit: &mut ConcurrencyLimit,
        from: Duration,
        round_trips: u32,
        capacity: usize,
    ) -> Vec<usize> {
        let mut now = from;
        let mut seen = Vec::new();
        for _ in 0..round_trips {
            let sent_at = now;
            now += ROUND_TRIP;
            let sent = limit.limit();
            for n in 0..sent {
                let throttled = if n < capacity { 0 } else { 25 };
                limit.on_answer(now, sent_at, sent - n, 25, throttled);
            }
            seen.push(limit.limit());
        }
        seen
    }

    #[test]
    fn a_round_trip_of_clean_answers_adds_about_one() {
        let mut limit = ConcurrencyLimit::new((1..=32).into());
        limit.limit = 8 * ONE_REQUEST;
        limit.on_answer(at(1), at(0), 8, 1, 1);
        assert_eq!(limit.limit(), 4);
        for answer in 0..5 {
            limit.on_answer(at(10), at(1), 4, 25, 0);
            assert!(limit.limit() <= 5, "after {answer}");
        }
        assert_eq!(limit.limit(), 5);
    }

    #[test]
    fn until_the_first_cut_a_round_trip_doubles_the_limit() {
        let mut limit = ConcurrencyLimit::new((1..=50).into());
        assert_eq!(limit.limit(), 4);
        assert_eq!(drive(&mut limit, at(0), 4, 100), [8, 16, 32, 50]);
        limit.on_answer(at(50), at(45), 50, 25, 1);
        assert_eq!(limit.limit(), 49);
        assert_eq!(
            drive(&mut limit, at(60), 2, 100),
            [49, 50],
            "about one more"
        );
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
            limit.on_answer(at(n + 1), at(n), 1, 25, 0);
        }
        assert_eq!(limit.limit(), 4);
    }

    #[test]
    fn the_cut_is_by_the_share_of_throttled_items() {
        let mut limit = ConcurrencyLimit::new((20..=100).into());
        limit.min = ONE_REQUEST;
        limit.on_answer(at(10), at(0), 20, 25, 5);
        assert_eq!(limit.limit(), 18);
        limit.on_answer(at(20), at(10), 1, 1, 1);
        assert_eq!(limit.limit(), 9);
    }

    #[test]
    fn one_round_trip_cuts_once_and_as_deep_as_its_worst_answer() {
        let mut limit = ConcurrencyLimit::new((1..=100).into());
        limit.limit = 40 * ONE_REQUEST;
        limit.on_answer(at(10), at(0), 40, 25, 5);
        assert_eq!(limit.limit(), 36);
        limit.on_answer(at(11), at(1), 39, 25, 5);
        assert_eq!(limit.limit(), 36);
        limit.on_answer(at(12), at(2), 1, 1, 1);
        assert_eq!(limit.limit(), 20);
        limit.on_answer(at(13), at(9), 1, 1, 1);
        assert_eq!(limit.limit(), 20);
        // Sent after the cut: a new congestion.
        limit.on_answer(at(20), at(10), 1, 1, 1);
        assert_eq!(limit.limit(), 10);
    }

    #[test]
    fn clean_answers_from_before_the_cut_do_not_undo_it() {
        let mut limit = ConcurrencyLimit::new((1..=100).into());
        limit.on_answer(at(10), at(0), 1, 1, 1);
        for _ in 0..100 {
            limit.on_answer(at(11), at(5), 100, 25, 0);
        }
        assert_eq!(limit.limit(), 2);
    }

    #[test]
    fn it_is_at_its_minimum_when_it_allows_no_fewer_requests() {
        let mut limit = ConcurrencyLimit::new((2..=100).into());
        assert!(!limit.at_minimum());
        limit.limit = 3 * ONE_REQUEST;
        assert!(!limit.at_minimum());
        limit.limit = 3 * ONE_REQUEST - 1;
        assert!(limit.at_minimum(), "a part of a request is none");
        assert!(ConcurrencyLimit::new(7.into()).at_minimum());
    }

    #[test]
    fn it_settles_at_the_capacity_and_follows_it_up_and_down() {
        let mut limit = ConcurrencyLimit::new((1..=64).into());
        let mut now = Duration::ZERO;
        for capacity in [20_usize, 5, 40] {
            let seen = drive(&mut limit, now, 300, capacity);
            now += ROUND_TRIP * 300;
            let settled = &seen[100..];
            let mean = settled.iter().sum::<usize>() / settled.len();
            assert!(
                settled.iter().all(|n| *n <= capacity + 1),
                "over {capacity}: {settled:?}"
            );
            assert!(mean * 10 >= capacity * 7, "{mean} of {capacity}");
        }
    }

    #[test]
    fn it_recovers_from_an_outage() {
        let mut limit = ConcurrencyLimit::new((1..=32).into());
        assert_eq!(drive(&mut limit, at(0), 50, 0).last(), Some(&1));
        assert_eq!(drive(&mut limit, at(10_000), 40, 100).last(), Some(&32));
    }

    proptest! {
        #[test]
        fn the_bounds_always_hold(
            min in 0_usize..1_200,
            max in 0_usize..1_200,
            answers in prop::collection::vec((0_u64..100, 0_u64..100, any::<usize>(), any::<usize>(), any::<usize>()), 0..200),
        ) {
            let mut limit = ConcurrencyLimit::new((min..=max).into());
            let low = min.clamp(1, 1_000);
            let high = max.clamp(low, 1_000);
            for (now, sent, in_flight, items, throttled) in answers {
                if throttled % 7 == 0 {
                    limit.on_answer(at(now), at(sent), 1, 1, 1);
                } else {
                    limit.on_answer(at(now), at(sent), in_flight, items, throttled * (throttled % 2));
                }
                prop_assert!((low..=high).contains(&limit.limit()));
            }
        }

        #[test]
        fn a_fixed_number_stays(
            fixed in 1_usize..=1_000,
            answers in prop::collection::vec((any::<bool>(), 0_usize..30), 0..100),
        ) {
            let mut limit = ConcurrencyLimit::new(fixed.into());
            for (n, (overload, throttled)) in (0_u64..).zip(answers) {
                if overload {
                    limit.on_answer(at(n + 5), at(n), 1, 1, 1);
                } else {
                    limit.on_answer(at(n + 5), at(n), fixed, 25, throttled);
                }
                prop_assert_eq!(limit.limit(), fixed);
            }
        }

        /// Answers overlap and round trips differ. The limit still settles between half the
        /// capacity and a little over it.
        #[test]
        fn it_converges_under_a_simulated_table(seed: u64, capacity in 4_usize..60) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut limit = ConcurrencyLimit::new((1..=100).into());
            let mut flying: VecDeque<(Duration, Duration, bool)> = VecDeque::new();
            let (mut now, mut sum, mut samples) = (Duration::ZERO, 0_usize, 0_usize);
            for step in 0..6_000 {
                while flying.len() < limit.limit() {
                    let refused = flying.len() >= capacity;
                    let done = now + Duration::from_micros(rng.u64(8_000..12_000));
                    flying.push_back((done, now, refused));
                    flying.make_contiguous().sort_unstable();
                }
                let in_flight = flying.len();
                let (done, sent_at, refused) = flying.pop_front().expect("the limit is at least one");
                now = done;
                if refused {
                    limit.on_answer(now, sent_at, 1, 1, 1);
                } else {
                    limit.on_answer(now, sent_at, in_flight, 25, 0);
                }
                if step > 3_000 {
                    sum += limit.limit();
                    samples += 1;
                }
                prop_assert!(step < 3_000 || limit.limit() <= capacity + 2);
            }
            prop_assert!(sum * 2 >= capacity * samples, "mean {} of {}", sum / samples, capacity);
        }
    }
}
