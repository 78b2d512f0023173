//! Floats as the shortest decimal that reads back to them.
//!
//! Now and then two such decimals are equally near, and then the standard library, by which `serde_dynamo` writes, and
//! `zmij`, which is several times faster, choose differently. Both read back to the float, but DynamoDB keeps the
//! decimal. Two can only be equally near with nearly all the digits that the float is good for, so it is the standard library that
//! writes the long ones.

/// Texts shorter than this have fewer than 7 digits. An `f32` tells 7 significant digits apart everywhere, so of decimals so
/// short no two lie next to one and read back to it, save for those below [`f32::MIN_POSITIVE`], which are coarser.
const LONG_F32: usize = 7;

/// As [`LONG_F32`], for the 15 digits of an `f64`; the coarse ones are out of DynamoDB's range.
const LONG_F64: usize = 15;

/// Calls `f` with the text of `value`.
pub(super) fn with_f32<R>(value: f32, f: impl FnOnce(&str) -> R) -> R {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(value);
    if text.len() < LONG_F32 && !value.is_subnormal() {
        f(text)
    } else {
        f(&in_full(value))
    }
}

/// As [`with_f32`].
pub(super) fn with_f64<R>(value: f64, f: impl FnOnce(&str) -> R) -> R {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(value);
    if text.len() < LONG_F64 && !value.is_subnormal() {
        f(text)
    } else {
        f(&in_full(value))
    }
}

#[cold]
fn in_full(value: impl std::fmt::LowerExp) -> String {
    format!("{value:e}")
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
    fn where_two_decimals_are_equally_near_it_is_the_standard_librarys() {
        assert_eq!(with_f32(-0.126_953_125, str::to_owned), "-1.2695313e-1");
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
