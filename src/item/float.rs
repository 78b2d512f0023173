//! Floats as the shortest decimal that reads back to them.
//!
//! Now and then two such decimals are equally near. Then the standard library, by which
//! `serde_dynamo` writes, and `zmij`, which is several times faster, choose differently. Both read
//! back to the float, but DynamoDB keeps the decimal. So where two may be equally near, the
//! standard library writes.
//!
//! A float halfway between two decimals has itself exactly one decimal place more than they have.
//! The number of its places follows from its bits: it is an odd number divided by a power of two,
//! and each halving takes one more place.

/// The least length of a text that may be halfway. Shorter ones have too few digits for two of them
/// to read back to one `f32`, which keeps 6 apart, if it is not subnormal.
const MIN_HALFWAY_CHARS_F32: usize = 7;

/// As [`MIN_HALFWAY_CHARS_F32`], for the 15 digits of an `f64`.
const MIN_HALFWAY_CHARS_F64: usize = 16;

/// Calls `f` with the text of `value`.
pub(super) fn with_f32<R>(value: f32, f: impl FnOnce(&str) -> R) -> R {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(value);
    let long = text.len() >= MIN_HALFWAY_CHARS_F32 || value.is_subnormal();
    if long && may_be_halfway(f64::from(value), text) {
        f(&by_the_standard_library(value))
    } else {
        f(text)
    }
}

/// Calls `f` with the text of `value`.
pub(super) fn with_f64<R>(value: f64, f: impl FnOnce(&str) -> R) -> R {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(value);
    let long = text.len() >= MIN_HALFWAY_CHARS_F64 || value.is_subnormal();
    if long && may_be_halfway(value, text) {
        f(&by_the_standard_library(value))
    } else {
        f(text)
    }
}

#[cold]
fn by_the_standard_library(value: impl std::fmt::LowerExp) -> String {
    format!("{value:e}")
}

/// Returns whether a float has one decimal place more than its text.
fn may_be_halfway(value: f64, text: &str) -> bool {
    /// The bits beside sign and fraction.
    const EXPONENT: u64 = 0x7ff;
    const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = value.to_bits();
    let exponent = bits >> FRACTION & EXPONENT;
    let fraction = bits & ((1 << FRACTION) - 1);
    let (whole, exponent) = match exponent {
        0 => (fraction, 1),
        _ => (fraction | 1 << FRACTION, exponent),
    };
    // value = whole / 2^halvings
    let halvings = 1_075 - i64::try_from(exponent).unwrap_or(0);
    let places = halvings - i64::from(whole.trailing_zeros());
    decimal_places(text).is_none_or(|shown| places == shown + 1)
}

/// Returns the number of decimal places of a text; negative for one that ends before the point.
fn decimal_places(text: &str) -> Option<i64> {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let shown = match digits.split_once('.') {
        Some((_, "0")) | None => 0,
        Some((_, places)) => i64::try_from(places.len()).ok()?,
    };
    Some(shown - exponent.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::number::equal;
    use crate::item::seeded::config;
    use proptest::prelude::*;

    fn assert_f32(value: f32) {
        let ours = with_f32(value, str::to_owned);
        assert!(equal(&ours, &value.to_string()), "{ours} for {value}");
    }

    fn assert_f64(value: f64) {
        let ours = with_f64(value, str::to_owned);
        assert!(equal(&ours, &value.to_string()), "{ours} for {value}");
    }

    #[test]
    fn places_are_counted() {
        for (text, places) in [
            ("1.25", 2),
            ("3.0", 0),
            ("1.5e-7", 8),
            ("12e3", -3),
            ("1e16", -16),
        ] {
            assert_eq!(decimal_places(text), Some(places), "{text}");
        }
        assert!(may_be_halfway(0.125, "0.12"));
        assert!(!may_be_halfway(0.125, "0.125"));
        assert!(!may_be_halfway(0.1 + 0.2, "0.30000000000000004"));
    }

    #[test]
    fn where_two_decimals_are_equally_near_it_is_the_standard_librarys() {
        assert_eq!(with_f32(-65.0 / 512.0, str::to_owned), "-1.2695313e-1");
        // Whole multiples of powers of two, of which every so many lie in the middle.
        for power in 0..40 {
            let step = 0.5_f64.powi(power);
            for count in 1..3_000_u32 {
                let value = f64::from(count) * step;
                assert_f64(value);
                assert_f64(value * 1e15);
                #[expect(clippy::cast_possible_truncation, reason = "rounding is as good")]
                assert_f32(value as f32);
            }
        }
    }

    proptest! {
        #![proptest_config(config(3_000))]

        #[test]
        fn every_f32_is_the_standard_librarys(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            assert_f32(value);
        }

        #[test]
        fn every_f64_is_the_standard_librarys(bits: u64, near in -120_i32..110) {
            let value = f64::from_bits(bits);
            // Others are refused by their size.
            if (1e-129..1e125).contains(&value.abs()) {
                assert_f64(value);
            }
            #[expect(clippy::cast_precision_loss, reason = "rounding is as good")]
            let round = (bits % 1_000_000) as f64 * 10_f64.powi(near);
            assert_f64(round);
        }
    }
}
