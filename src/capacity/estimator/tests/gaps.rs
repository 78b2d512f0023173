//! Requests refused whole, one after the other.

use super::super::gaps::{Counted, Gaps};
use super::*;

/// A gap from this time on: requests of 25 are refused whole, 25 ms apart, at this rate.
#[derive(Clone, Copy)]
struct Gap {
    from: f64,
    length: f64,
    rate: f64,
}

impl Gap {
    /// Answers its requests. Returns how many did not count, and whether no other was shortly
    /// before, if one did.
    fn refuse(self, gaps: &mut Gaps) -> (f64, Option<bool>) {
        let (mut uncounted, mut alone) = (0.0, None);
        for at in [0.0, 0.5, 1.0] {
            uncounted += 25.0;
            let now = self.from + at * self.length;
            match gaps.answered(now, self.rate, of(25, 25)) {
                Counted::No => {}
                Counted::InGap { of, solitary } => {
                    uncounted -= of.sent;
                    alone = Some(solitary);
                }
                Counted::Yes(_) | Counted::AndRestore(..) => panic!("it is a gap"),
            }
        }
        (uncounted, alone)
    }

    /// Answers its requests, and the first one after it at this rate. Returns the rate of before,
    /// if it should be restored.
    fn pass(self, gaps: &mut Gaps, rate: f64) -> Option<f64> {
        self.refuse(gaps);
        match gaps.answered(self.from + self.length + 0.01, rate, of(25, 1)) {
            Counted::Yes(counted) => {
                assert_eq!(counted, of(25, 1));
                None
            }
            Counted::AndRestore(counted, rate) => {
                assert_eq!(counted, of(25, 1));
                Some(rate)
            }
            Counted::No | Counted::InGap { .. } => panic!("the answer counts"),
        }
    }
}

fn gap(from: f64, length: f64, rate: f64) -> Gap {
    Gap { from, length, rate }
}

/// Returns the state after two gaps of this length, the second of which had its rate restored.
fn found(length: f64) -> (Gaps, f64) {
    let mut gaps = Gaps::new();
    assert_eq!(gap(10.0, length, 1_000.0).pass(&mut gaps, 1_000.0), None);
    let again = 10.0 + length + 2.0;
    let restored = gap(again, length, 850.0).pass(&mut gaps, 850.0);
    assert_eq!(restored, Some(1_000.0));
    (gaps, again + length + 0.01)
}

#[test]
fn a_large_request_refused_alone_is_no_gap() {
    let mut gaps = Gaps::new();
    assert!(matches!(
        gaps.answered(10.0, 1_000.0, of(25, 25)),
        Counted::No
    ));
    assert!(matches!(
        gaps.answered(10.1, 1_000.0, of(25, 0)),
        Counted::Yes(_)
    ));
    assert!(near(gaps.lone_share(), 0.501_557));
    gaps.answered(10.2, 1_000.0, of(25, 0));
    assert!(near(gaps.lone_share(), 0.333_330));
    for now in 0..4_000 {
        let refused = if now % 10 == 0 { 25 } else { 0 };
        gaps.answered(11.0 + f64::from(now) * 0.025, 1_000.0, of(25, refused));
    }
    let share = gaps.lone_share();
    assert!((share - 0.1).abs() < 0.005, "of the last 4,000: {share}");
    // No gap was before, so this one is solitary.
    assert_eq!(gap(111.1, 0.1, 1e3).refuse(&mut gaps), (0.0, Some(true)));
    gaps.reset();
    assert_eq!(gaps.lone_share(), 0.0);
    let answer = gaps.answered(112.0, 1_000.0, of(25, 25));
    assert!(matches!(answer, Counted::No), "the gap is forgotten");
}

#[test]
fn small_requests_refused_whole_count_until_they_are_a_sample() {
    let mut gaps = Gaps::new();
    let mut answer = |now, sent, refused| gaps.answered(now, 1_000.0, of(sent, refused));
    assert!(matches!(answer(10.0, 4, 4), Counted::Yes(one) if one == of(4, 4)));
    assert!(matches!(answer(10.1, 4, 4), Counted::Yes(one) if one == of(4, 4)));
    assert!(matches!(answer(10.2, 2, 2), Counted::InGap { of: one, .. } if one == of(2, 2)));
    answer(10.3, 25, 0);
    // Too few writes for a gap: the next one is alone.
    answer(12.0, 4, 4);
    answer(12.1, 4, 4);
    answer(12.2, 25, 0);
    let next = gap(12.3, 0.1, 1_000.0).refuse(&mut gaps);
    assert_eq!(next, (0.0, Some(true)));
}

#[test]
fn a_gap_is_solitary_a_second_and_a_half_after_the_last_refusal_of_another() {
    for (wait, solitary) in [(1.49, false), (1.51, true)] {
        let mut gaps = Gaps::new();
        assert_eq!(gap(10.0, 0.1, 1e3).refuse(&mut gaps), (0.0, Some(true)));
        gaps.answered(10.2, 1_000.0, of(25, 0));
        let next = gap(10.1 + wait, 0.1, 1_000.0).refuse(&mut gaps);
        assert_eq!(next, (0.0, Some(solitary)));
    }
}

#[test]
fn a_gap_as_long_at_a_lower_rate_restores_the_rate_of_before() {
    // The seconds from the end of the one to the end of the other, its length, and its rate.
    for (length, after, again, rate, restored) in [
        (0.1, 1.0, 0.1, 850.0, true),
        (0.1, 1.0, 0.1, 899.0, true),
        (0.1, 1.0, 0.1, 901.0, false),
        (0.1, 1.0, 0.08, 850.0, true),
        (0.1, 1.0, 0.06, 850.0, false),
        (0.1, 2.9, 0.1, 850.0, true),
        (0.1, 3.1, 0.1, 850.0, false),
        // A long one within six of its lengths, and with no other shortly before.
        (1.0, 5.9, 1.0, 850.0, true),
        (1.0, 6.1, 1.0, 850.0, false),
        (1.0, 3.0, 1.0, 850.0, true),
        (1.0, 2.0, 1.0, 850.0, false),
        // One of a slot may come each second.
        (0.24, 1.0, 0.24, 850.0, true),
        (0.26, 1.0, 0.26, 850.0, false),
    ] {
        let mut gaps = Gaps::new();
        assert_eq!(gap(10.0, length, 1e3).pass(&mut gaps, 1e3), None);
        let end = 10.0 + length + after;
        let next = gap(end - again, again, rate).pass(&mut gaps, rate);
        assert_eq!(next.is_some(), restored, "{again} after {after} at {rate}");
    }
    let mut gaps = Gaps::new();
    gap(10.0, 0.1, 1_000.0).pass(&mut gaps, 1_000.0);
    let restored = gap(11.0, 0.1, 850.0).pass(&mut gaps, 1_200.0);
    assert_eq!(restored, Some(1_200.0), "it has grown since");
}

#[test]
fn a_long_gap_shortly_after_another_is_compared_with_none() {
    let mut gaps = Gaps::new();
    gap(10.0, 0.1, 1_000.0).pass(&mut gaps, 1_000.0);
    assert_eq!(gap(11.0, 0.3, 850.0).pass(&mut gaps, 850.0), None);
    assert_eq!(gap(12.0, 0.2, 700.0).pass(&mut gaps, 700.0), None);
    let next = gap(13.0, 0.2, 600.0).pass(&mut gaps, 600.0);
    assert_eq!(next, Some(700.0), "with the one before it");
}

#[test]
fn gaps_of_a_length_found_unrelated_count_no_more_for_half_a_minute() {
    let (gaps, now) = found(0.1);
    for (after, length, uncounted) in [
        (1.0, 0.1, 75.0),
        (1.0, 0.15, 75.0),
        (1.0, 0.17, 0.0),
        (29.8, 0.1, 75.0),
        (30.1, 0.1, 0.0),
    ] {
        let mut gaps = gaps.clone();
        let (left, _) = gap(now + after, length, 1e3).refuse(&mut gaps);
        assert_eq!(left, uncounted, "{length} after {after}");
    }
    // The last of them is compared with none, and none with it.
    let mut gaps = gaps;
    for second in 1..5 {
        let from = now + f64::from(second);
        let rate = 1_000.0 * 0.8_f64.powi(second);
        assert_eq!(gap(from, 0.1, rate).pass(&mut gaps, rate), None);
    }
    assert_eq!(gap(now + 5.0, 0.2, 300.0).pass(&mut gaps, 300.0), None);
    assert_eq!(
        gap(now + 6.0, 0.2, 200.0).pass(&mut gaps, 200.0),
        Some(300.0)
    );
}

#[test]
fn of_long_gaps_only_solitary_ones_are_tolerated() {
    let (mut gaps, now) = found(1.0);
    let first = gap(now + 2.0, 1.05, 1_000.0).refuse(&mut gaps);
    assert_eq!(first, (75.0, None), "a request or two more");
    gaps.answered(now + 3.1, 1_000.0, of(25, 0));
    let (left, solitary) = gap(now + 3.5, 0.1, 1_000.0).refuse(&mut gaps);
    assert_eq!((left, solitary), (0.0, Some(false)));
}
