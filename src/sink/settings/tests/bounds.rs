//! Settings that are written and read back, and their bounds.

use super::*;

fn duration(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_micros)
}

/// Fractions as people write them; JSON's reader is exact up to 15 digits.
fn thousandths(range: std::ops::RangeInclusive<u32>) -> impl Strategy<Value = f64> {
    range.prop_map(|n| f64::from(n) / 1_000.0)
}

prop_compose! {
    fn retry()(
        max_attempts in prop::option::of(1_u32..=10_000),
        initial in duration(1_000..=60_000_000),
        more in duration(0..=240_000_000),
        multiplier in thousandths(1_100..=10_000),
        ratio in thousandths(0..=10_000),
        min_per_second in 1_u32..=10_000,
        burst in 1_u32..=100_000,
    ) -> RetryPolicy {
        RetryPolicy::default()
            .max_attempts(max_attempts)
            .initial_backoff(initial)
            .max_backoff(initial + more)
            .multiplier(multiplier)
            .budget(RetryBudgetSettings::default().ratio(ratio).min_per_second(min_per_second).burst(burst))
    }
}

fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        Just(Rate::Adaptive),
        Just(Rate::Unlimited),
        (1_u32..=10_000_000).prop_map(Rate::Fixed),
    ]
}

prop_compose! {
    fn table()(
        (low, more) in (1_usize..=500, 0_usize..=500),
        (rate, burst) in (rate(), any::<bool>()),
        (part, refresh) in (thousandths(1..=1_000), duration(1_000_000..=86_400_000_000)),
        items in 1_usize..=25,
        batch_bytes in 512_usize << 10..=16 << 20,
        linger in duration(0..=60_000_000),
        records in 25_usize..=10_000_000,
        bytes in 4_usize << 20..=1 << 30,
        share in thousandths(1..=1_000),
        (coalesce, consumed_capacity) in any::<(bool, bool)>(),
        retry in retry(),
        deadline in prop::option::of(duration(10_000..=86_400_000_000)),
        timeout in duration(100_000..=300_000_000),
    ) -> TableSettings {
        TableSettings::default()
            .concurrency(low..=low + more)
            .rate(rate)
            .burst(burst)
            .share(part)
            .refresh(refresh)
            .max_batch_items(items)
            .max_batch_bytes(batch_bytes)
            .linger(linger)
            .buffer_records(records)
            .buffer_bytes(bytes)
            .max_key_share(share)
            .coalesce(coalesce)
            .consumed_capacity(consumed_capacity)
            .retry(retry)
            .deadline(deadline)
            .request_timeout(timeout)
    }
}

prop_compose! {
    fn settings()(
        defaults in table(),
        tables in prop::collection::btree_map("[a-zA-Z0-9_.-]{3,12}", table(), 0..3),
    ) -> DynamoDbSinkSettings {
        DynamoDbSinkSettings { limits: SinkLimits::default(), defaults, tables }
    }
}

/// Returns text that is close enough to settings to get past the parsers.
fn nearly_settings() -> impl Strategy<Value = String> {
    let place = "(defaults|tables|tables\\.[a-c]|tables\\.\"é \")";
    let field = "(rate|burst|share|refresh|concurrency|concurrency\\.m(in|ax)|linger|deadline|buffer_bytes|retry|retry\\.budget\\.ratio|max_attempts|x)";
    let value = "(-?[0-9]{1,20}|-?[0-9]{1,3}\\.[0-9]|nan|-inf|true|\"[0-9]{0,20} ?(ms|s|years|KiB|GB|none)?\"|\\{\\}|\\[1, \\{ a = 2 \\}\\]|1979-05-27T07:32:00Z)";
    let line = string_regex(&format!("{place}\\.{field} = {value}")).expect("a regular expression");
    prop::collection::vec(line, 0..4).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn settings_written_are_read_back(settings in settings()) {
        settings.validate().expect("made of valid values");
        let json = serde_json::to_string(&settings).expect("json");
        prop_assert_eq!(&DynamoDbSinkSettings::from_json(&json).expect("read back"), &settings);
        let toml = toml::to_string(&settings).expect("toml");
        prop_assert_eq!(&DynamoDbSinkSettings::from_toml(&toml).expect("read back"), &settings);
        let one = serde_json::to_string(&settings.defaults).expect("json");
        prop_assert_eq!(&serde_json::from_str::<TableSettings>(&one).expect("read back"), &settings.defaults);
    }

    #[test]
    fn no_file_gets_past_the_bounds(near in nearly_settings()) {
        crate::fuzzing::settings(near.as_bytes());
    }
}

#[test]
fn the_limits_over_all_tables_are_read_and_written() {
    let text = "max_requests = 300\nbuffer_bytes = \"512MiB\"\n[tables.a]\nconcurrency = 300";
    let settings = DynamoDbSinkSettings::from_toml(text).unwrap();
    let by_setters = DynamoDbSinkSettings::default()
        .max_requests(300)
        .buffer_bytes(512 << 20)
        .table("a", TableSettings::default().concurrency(300));
    assert_eq!(settings, by_setters);
    let written = toml::to_string(&settings).unwrap();
    assert_eq!(DynamoDbSinkSettings::from_toml(&written).unwrap(), settings);
    let default = toml::to_string(&DynamoDbSinkSettings::default()).unwrap();
    assert!(!default.contains("max_requests"));
    assert_eq!(
        DynamoDbSinkSettings::from_toml(&default).unwrap(),
        DynamoDbSinkSettings::default()
    );
}

#[test]
fn a_limit_below_that_of_a_table_is_refused() {
    for (text, message) in [
        (
            "max_requests = 8\n[tables.a]\nconcurrency = { max = 9 }",
            "sink: max_requests is 8, allowed 9 (concurrency of table \"a\") to 1000000",
        ),
        (
            "max_requests = 31\n[tables.b]",
            "sink: max_requests is 31, allowed 32 (concurrency of table \"b\") to 1000000",
        ),
        (
            "buffer_bytes = \"63MiB\"\n[tables.b]",
            "sink: buffer_bytes is 63MiB, allowed 64MiB (buffer_bytes of table \"b\") to 1024GiB",
        ),
        (
            "max_requests = 0",
            "sink: max_requests is 0, allowed 1 to 1000000",
        ),
    ] {
        let refused = DynamoDbSinkSettings::from_toml(text).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
    let refused = DynamoDbSinkSettings::default()
        .table("a", TableSettings::default().buffer_bytes(128 << 20))
        .buffer_bytes(100 << 20);
    assert!(refused.validate().is_err());
}

#[test]
fn by_default_the_largest_table_fits_the_limits() {
    let limits = SinkLimits::default();
    let small = TableSettings::default();
    let large = TableSettings::default()
        .concurrency(1..=700)
        .buffer_bytes(1 << 30);
    assert_eq!(limits.requests([&small].into_iter()), 256);
    assert_eq!(limits.bytes([&small].into_iter()), 256 << 20);
    assert_eq!(limits.requests([&small, &large].into_iter()), 700);
    assert_eq!(limits.bytes([&small, &large].into_iter()), 1 << 30);
}
