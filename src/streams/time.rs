//! Times as the service writes them: seconds since 1970, a JSON number.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The largest exponent of ten that is accepted; a larger one would be no time.
const MAX_EXPONENT: i32 = 40;

/// Returns a time in milliseconds since 1970, 0 for one before.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Parses a number of seconds, with or without a fraction or an exponent, to the nanosecond. A
/// conversion by float would lose some 100 ns of every other millisecond.
pub(super) fn parse(number: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(number).ok()?;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || fraction.is_empty() || !digits().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if !(-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
        return None;
    }
    // Nanoseconds are nine places behind the point.
    let places = i32::try_from(whole.len()).ok()? + exponent + 9;
    let places = usize::try_from(places).unwrap_or(0);
    let mut nanoseconds = 0_u128;
    for digit in digits().chain(std::iter::repeat(b'0')).take(places) {
        nanoseconds = nanoseconds
            .checked_mul(10)?
            .checked_add(u128::from(digit - b'0'))?;
    }
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanoseconds % 1_000_000_000).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_exactly_in_any_form() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("1479499740", 1_479_499_740_000_000_000),
            ("1479499740.123", 1_479_499_740_123_000_000),
            ("1479499740.1234567899", 1_479_499_740_123_456_789),
            ("1.47949974E9", 1_479_499_740_000_000_000),
            ("1.479499740123e+9", 1_479_499_740_123_000_000),
            ("1479499740123e-3", 1_479_499_740_123_000_000),
            ("1e-9", 1),
            ("1e-30", 0),
            ("0.0", 0),
        ] {
            let expected = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds);
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "", "-1", "x", "1.", ".1", "1e", "1e99", "1e40", "null", "\"1\"", "{}", "1e1e1", "NaN",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
