//! Buckets under a clock of their own.

use std::time::Duration;

use super::bucket::{Bucket, Rate, Rhythm};
use super::settings::Refill;

const BANK: f64 = 300.0;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn rate(units: f64, keeps: f64) -> Rate {
    Rate { units, keeps }
}

fn dripping() -> Rhythm {
    Rhythm {
        refill: Refill::Dripping,
        phase: Duration::ZERO,
    }
}

fn by_second(phase: f64) -> Rhythm {
    Rhythm {
        refill: Refill::BySecond,
        phase: seconds(phase),
    }
}

/// The most that can be taken now in whole units.
fn content(bucket: &Bucket) -> u32 {
    (0..=1_000_000)
        .rev()
        .find(|units| bucket.admits(f64::from(*units)))
        .unwrap_or(0)
}

#[test]
fn capacity_drips() {
    let mut bucket = Bucket::empty(rate(1_000.0, BANK), dripping(), seconds(5.0));
    assert!(!bucket.admits(1.0));
    bucket.advance(seconds(5.010));
    assert_eq!(content(&bucket), 10);
    bucket.take(4.0);
    bucket.advance(seconds(5.020));
    assert_eq!(content(&bucket), 16);
    assert!((bucket.granted() - 20.0).abs() < 1e-6);
    assert!((bucket.consumed() - 4.0).abs() < 1e-6);
}

#[test]
fn capacity_by_the_second_comes_whole_at_its_phase() {
    let mut bucket = Bucket::empty(rate(1_000.0, BANK), by_second(0.25), seconds(5.0));
    bucket.advance(seconds(5.249));
    assert_eq!(content(&bucket), 0);
    bucket.advance(seconds(5.25));
    assert_eq!(content(&bucket), 1_000);
    bucket.advance(seconds(6.249));
    assert_eq!(content(&bucket), 1_000);
    bucket.advance(seconds(8.251));
    assert_eq!(content(&bucket), 4_000);
}

#[test]
fn time_that_goes_back_brings_nothing() {
    let mut bucket = Bucket::empty(rate(1_000.0, BANK), by_second(0.0), seconds(1.0));
    bucket.advance(seconds(3.0));
    bucket.advance(seconds(2.0));
    bucket.advance(seconds(3.0));
    assert_eq!(content(&bucket), 2_000);
}

#[test]
fn a_bank_keeps_three_hundred_seconds() {
    for rhythm in [dripping(), by_second(0.5)] {
        let mut bucket = Bucket::empty(rate(100.0, BANK), rhythm, Duration::ZERO);
        bucket.advance(seconds(299.5));
        let before = bucket.granted();
        assert!((29_900.0..=30_000.0).contains(&before), "{before}");
        bucket.advance(seconds(4_000.0));
        // A full bank admits anything: take one unit to see what is in it.
        bucket.take(1.0);
        assert_eq!(content(&bucket), 29_999);
        assert!((bucket.granted() - 400_000.0).abs() < 1e-3);
    }
}

#[test]
fn a_full_bank_counts_what_it_starts_with() {
    let mut bucket = Bucket::full(rate(100.0, BANK), dripping(), Duration::ZERO);
    assert!((bucket.granted() - 30_000.0).abs() < 1e-6);
    bucket.take(30_000.0);
    assert!(!bucket.admits(1.0));
}

#[test]
fn a_full_bucket_admits_more_than_it_holds_and_goes_into_debt() {
    let mut bucket = Bucket::full(rate(10.0, 1.0), dripping(), Duration::ZERO);
    assert!(bucket.admits(60.0));
    bucket.take(60.0);
    // 50 units of debt at 10 a second.
    bucket.advance(seconds(5.0));
    assert!(!bucket.admits(1.0));
    bucket.advance(seconds(5.2));
    assert_eq!(content(&bucket), 2);
    assert!(!bucket.admits(60.0), "not full, so no debt");
}

#[test]
fn a_bucket_without_rate_admits_nothing() {
    let mut bucket = Bucket::full(rate(0.0, 1.0), dripping(), Duration::ZERO);
    bucket.advance(seconds(100.0));
    assert!(!bucket.admits(1.0));
}

#[test]
fn a_changed_rate_holds_from_then_on_and_clips_the_bank() {
    let mut bucket = Bucket::full(rate(1_000.0, BANK), dripping(), Duration::ZERO);
    bucket.advance(seconds(10.0));
    bucket.set_rate(rate(100.0, BANK));
    bucket.take(1.0);
    assert_eq!(content(&bucket), 29_999);
    bucket.take(29_999.0);
    bucket.advance(seconds(11.0));
    assert_eq!(content(&bucket), 100);
    bucket.set_rate(rate(2_000.0, BANK));
    bucket.advance(seconds(12.0));
    assert_eq!(content(&bucket), 2_100);
}

#[test]
fn without_a_limit_nothing_is_short_until_one_is_set() {
    let mut bucket = Bucket::full(rate(f64::INFINITY, 1.0), dripping(), Duration::ZERO);
    bucket.advance(seconds(1.0));
    assert!(bucket.admits(1e9));
    bucket.take(1e9);
    assert!(bucket.granted().is_infinite());
    bucket.set_rate(rate(10.0, 1.0));
    assert!(!bucket.admits(1.0));
    bucket.advance(seconds(1.5));
    assert_eq!(content(&bucket), 5);
}
