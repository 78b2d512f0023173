//! Each bound, and the defaults.

use std::ops::RangeInclusive;

use super::*;
use crate::settings::SettingsPlace;

fn problem(settings: &TableSettings) -> String {
    settings
        .check_within(&SettingsPlace::Table("t".to_owned()))
        .expect_err("out of range")
        .to_string()
}

#[test]
fn the_defaults_are_valid_and_those_documented() {
    let settings = TableSettings::default();
    settings
        .check_within(&SettingsPlace::Table("t".to_owned()))
        .expect("valid");
    assert_eq!(settings.get_concurrency(), Concurrency::from(1..=32));
    assert_eq!(settings.get_max_batch_bytes(), 16_777_216);
    assert_eq!(settings.get_buffer_bytes(), 64 * 1024 * 1024);
    assert_eq!(settings.get_deadline(), None);
    assert_eq!(settings.get_rate(), Rate::Adaptive);
    assert!(settings.get_burst());
    assert!((settings.get_share() - 1.0).abs() < f64::EPSILON);
    assert_eq!(settings.get_refresh(), Duration::from_secs(10));
}

#[test]
fn each_bound_is_checked() {
    let settings = TableSettings::default;
    let cases = [
        (
            settings().concurrency(0),
            "concurrency is 0, allowed 1 to 1000",
        ),
        (
            settings().concurrency(0..=4),
            "concurrency.min is 0, allowed 1 to 1000",
        ),
        (
            settings().concurrency(1..=1_001),
            "concurrency.max is 1001, allowed 1 to 1000",
        ),
        (
            settings().concurrency(RangeInclusive::new(9, 4)),
            "concurrency.max is 4, allowed 9 (concurrency.min) to 1000",
        ),
        (settings().rate(0), "rate is 0, allowed 1 to 10000000"),
        (
            settings().rate(10_000_001),
            "rate is 10000001, allowed 1 to 10000000",
        ),
        (settings().share(0.0), "share is 0, allowed 0.001 to 1"),
        (settings().share(1.5), "share is 1.5, allowed 0.001 to 1"),
        (
            settings().share(f64::NAN),
            "share is NaN, allowed 0.001 to 1",
        ),
        (
            settings().refresh(Duration::from_millis(999)),
            "refresh is 999ms, allowed 1s to 1day",
        ),
        (
            settings().max_batch_items(26),
            "max_batch_items is 26, allowed 1 to 25",
        ),
        (
            settings().max_batch_bytes(1_000),
            "max_batch_bytes is 1000B, allowed 512KiB to 16MiB",
        ),
        (
            settings().linger(Duration::from_secs(61)),
            "linger is 1m 1s, allowed 0s to 1m",
        ),
        (
            settings().buffer_records(24),
            "buffer_records is 24, allowed 25 (max_batch_items) to 10000000",
        ),
        (
            settings().buffer_bytes(1 << 20),
            "buffer_bytes is 1MiB, allowed 4MiB to 1GiB",
        ),
        (
            settings().max_key_share(0.0),
            "max_key_share is 0, allowed 0.001 to 1",
        ),
        (
            settings().max_key_share(f64::NAN),
            "max_key_share is NaN, allowed 0.001 to 1",
        ),
        (
            settings().deadline(Duration::from_millis(1)),
            "deadline is 1ms, allowed 10ms to 1day",
        ),
        (
            settings().request_timeout(Duration::ZERO),
            "request_timeout is 0s, allowed 100ms to 5m",
        ),
        (
            settings().retry(RetryPolicy::default().multiplier(11.0)),
            "retry.multiplier is 11, allowed 1.1 to 10",
        ),
    ];
    for (settings, expected) in cases {
        assert_eq!(problem(&settings), format!("table \"t\": {expected}"));
    }
}
