//! Numbers: DynamoDB's syntax, range, equality and size.
//!
//! A number is text on the wire and a decimal of up to 38 digits in the table. Two texts of one
//! value (`1`, `1.0`, `1e0`) are one key and one member of a set, so comparing needs a canonical
//! form: sign, power of ten of the first digit, digits without zeros on either side.

use super::limits::{MAX_DIGITS, MAX_EXPONENT, MIN_EXPONENT};

/// An exponent larger than any text that fits in memory could make up for.
const EXPONENT_CAP: i64 = 1 << 40;

/// The reason that a text is not a number that DynamoDB stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFault {
    Syntax,
    /// More significant digits than 38.
    Digits(usize),
    TooLarge,
    TooSmall,
}

/// The places of the digits of a number, from one pass over its text.
#[derive(Clone, Copy, Debug)]
struct Layout {
    negative: bool,
    /// Powers of ten of the first and the last digit that are not zero; `None` for zero itself.
    span: Option<(i64, i64)>,
}

/// Returns the stored size of a number, or the reason that it can't be stored.
pub(super) fn check(text: &[u8]) -> Result<usize, NumberFault> {
    let layout = layout(text)?;
    let Some((high, low)) = layout.span else {
        return Ok(1);
    };
    Ok(size(layout.negative, high, low))
}

/// Returns the stored size of a whole number from its plain digits, as an integer formats.
///
/// No range check: a 64-bit integer is always in range.
pub(super) fn integer_size(text: &[u8]) -> usize {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    let zeros = digits.iter().rev().take_while(|&&b| b == b'0').count();
    if zeros == digits.len() {
        return 1;
    }
    1 + (digits.len() - zeros).div_ceil(2) + usize::from(negative)
}

/// Returns the stored size: one byte, one for each two digits before the point and each two after
/// it, and one more for a negative number. Zeros at both ends do not count.
///
/// Measured by others at the 400 KB limit of a region, item by item up to the last byte taken. The
/// developer guide says "approximately one byte per two significant digits, plus one". DynamoDB
/// Local 3.1.0 aligns the pairs to the decimal point, and may count one byte more. A size too small
/// costs a refused write, one too large refuses good items, so the region's rule is followed.
fn size(negative: bool, high: i64, low: i64) -> usize {
    let (whole, fraction) = if low >= 0 {
        (high - low + 1, 0)
    } else if high < 0 {
        (0, high - low + 1)
    } else {
        (high + 1, -low)
    };
    let bytes = (whole + 1) / 2 + (fraction + 1) / 2;
    1 + usize::from(negative) + usize::try_from(bytes).unwrap_or(usize::MAX / 2)
}

fn layout(text: &[u8]) -> Result<Layout, NumberFault> {
    let (negative, unsigned) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut digits: i64 = 0;
    let mut point = None;
    let mut first = None;
    let mut last = 0;
    let mut exponent = 0;
    for (at, &byte) in unsigned.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if byte != b'0' {
                    first = first.or(Some(digits));
                    last = digits;
                }
                digits += 1;
            }
            b'.' if point.is_none() => point = Some(digits),
            b'e' | b'E' => {
                exponent = parse_exponent(unsigned.get(at + 1..).unwrap_or_default())?;
                break;
            }
            _ => return Err(NumberFault::Syntax),
        }
    }
    if digits == 0 {
        return Err(NumberFault::Syntax);
    }
    let Some(first) = first else {
        return Ok(Layout {
            negative: false,
            span: None,
        });
    };
    let units = point.unwrap_or(digits) - 1 + exponent;
    let (high, low) = (units - first, units - last);
    if high > MAX_EXPONENT {
        return Err(NumberFault::TooLarge);
    }
    if high < MIN_EXPONENT {
        return Err(NumberFault::TooSmall);
    }
    let significant = usize::try_from(high - low + 1).unwrap_or(usize::MAX);
    if significant > MAX_DIGITS {
        return Err(NumberFault::Digits(significant));
    }
    Ok(Layout {
        negative,
        span: Some((high, low)),
    })
}

fn parse_exponent(text: &[u8]) -> Result<i64, NumberFault> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(NumberFault::Syntax);
    }
    let mut value: i64 = 0;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return Err(NumberFault::Syntax);
        }
        value = (value * 10 + i64::from(byte - b'0')).min(EXPONENT_CAP);
    }
    Ok(if negative { -value } else { value })
}

/// A number by value: all texts of one number are equal.
///
/// The order is a total one that agrees with equality, for sorting; it is not numeric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Decimal {
    /// 0 for zero, 1 for positive, 2 for negative.
    class: u8,
    /// The power of ten of the first digit, shifted to be positive; 0 for zero.
    exponent: u8,
    len: u8,
    /// Two digits a byte, the first in the high half.
    digits: [u8; MAX_DIGITS.div_ceil(2)],
}

impl Decimal {
    pub(super) fn parse(text: &[u8]) -> Result<Self, NumberFault> {
        let layout = layout(text)?;
        let mut decimal = Self {
            class: 0,
            exponent: 0,
            len: 0,
            digits: [0; _],
        };
        let Some((high, low)) = layout.span else {
            return Ok(decimal);
        };
        decimal.class = 1 + u8::from(layout.negative);
        // In range by the checks of `layout`: 0..=255.
        decimal.exponent = u8::try_from(high - MIN_EXPONENT).map_err(|_| NumberFault::TooLarge)?;
        let count = usize::try_from(high - low + 1).map_err(|_| NumberFault::Syntax)?;
        let mut at = 0;
        for &byte in text {
            let digit = byte.wrapping_sub(b'0');
            // A sign or the point; or a leading zero.
            if digit > 9 || (at == 0 && digit == 0) {
                continue;
            }
            decimal.digits[at / 2] |= if at % 2 == 0 { digit << 4 } else { digit };
            at += 1;
            if at == count {
                break;
            }
        }
        decimal.len = u8::try_from(count.div_ceil(2)).map_err(|_| NumberFault::Digits(count))?;
        Ok(decimal)
    }

    /// Calls `f` with the canonical form as bytes: different for every two values.
    pub(super) fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = [0; 2 + MAX_DIGITS.div_ceil(2)];
        bytes[0] = self.class;
        bytes[1] = self.exponent;
        let len = usize::from(self.len);
        bytes[2..2 + len].copy_from_slice(&self.digits[..len]);
        f(&bytes[..2 + len])
    }
}

/// Returns whether two numbers are one value; two texts that are no numbers are compared as they
/// are.
pub(super) fn equal(a: &str, b: &str) -> bool {
    match (Decimal::parse(a.as_bytes()), Decimal::parse(b.as_bytes())) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::seeded::config;
    use proptest::prelude::*;

    /// Sizes by the rule measured in a region. DynamoDB Local 3.1.0 counts one byte more where it
    /// is marked.
    #[test]
    fn sizes_follow_the_regions_rule() {
        for (text, size) in [
            ("0", 1),
            ("-0", 1),
            ("0e999", 1),
            ("1", 2),
            ("12", 2),
            ("123", 3),
            ("1234", 3),
            ("10", 2),
            ("100", 2),
            ("1000", 2),
            ("1200", 2),
            ("1.5", 3),
            ("0.5", 2),
            ("0.05", 2),
            ("0.005", 2),
            ("12.5", 3),
            ("-1", 3),
            ("-12", 3),
            ("-123", 4),
            ("1e10", 2),
            ("1e125", 2),
            ("1e-130", 2),
            ("123456789", 6),
            ("1234567890123456789012345678901234567", 20),
            ("12345678901234567890123456789012345678", 20),
            ("-12345678901234567890123456789012345678", 21),
            ("1.23456789012345678901234567890123456780000", 21),
            // One more on DynamoDB Local.
            ("110", 2),
            ("11000", 2),
            ("-110", 3),
            ("0.015", 2),
            ("17864615470", 6),
            ("123456789012345678901234567890123456780", 20),
            ("10.01", 3),
            ("100.5", 4),
        ] {
            assert_eq!(check(text.as_bytes()), Ok(size), "{text}");
        }
    }

    /// The texts that DynamoDB Local takes and refuses.
    #[test]
    fn syntax_and_range() {
        for text in [
            "+1", "01", "-01", ".5", "5.", "1E5", "1e+5", "1.e5", "0.1e-129", "9.99e125",
        ] {
            assert!(check(text.as_bytes()).is_ok(), "{text}");
        }
        assert!(check(b"9.9999999999999999999999999999999999999E+125").is_ok());
        assert!(check(b"99999999999999999999999999999999999999E88").is_ok());
        assert!(check(b"00000000000000000000000000000000000000000000000001").is_ok());
        assert!(check(b"12345678901234567890123456789012345678.000").is_ok());
        for text in [
            "", "-", "+", ".", "e5", "1e", "1e+", " 1", "1 ", "1_0", "0x1", "NaN", "1..2",
        ] {
            assert_eq!(check(text.as_bytes()), Err(NumberFault::Syntax), "{text}");
        }
        for (text, fault) in [
            ("1e126", NumberFault::TooLarge),
            ("-1e126", NumberFault::TooLarge),
            ("1e99999999999999999999999", NumberFault::TooLarge),
            ("1e-131", NumberFault::TooSmall),
            ("1e-99999999999999999999999", NumberFault::TooSmall),
            (
                "123456789012345678901234567890123456789",
                NumberFault::Digits(39),
            ),
        ] {
            assert_eq!(check(text.as_bytes()), Err(fault), "{text}");
        }
    }

    #[test]
    fn one_value_has_one_form() {
        for (a, b) in [
            ("1", "1.0"),
            ("1", "1e0"),
            ("100", "1e2"),
            ("0", "-0"),
            ("0", "0e-999"),
            ("-0.50", "-5E-1"),
            ("0012.300", "1.23e1"),
        ] {
            assert!(equal(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("1", "-1"),
            ("1", "10"),
            ("1", "11"),
            ("0", "1e-130"),
            ("1.2", "12"),
        ] {
            assert!(!equal(a, b), "{a} {b}");
        }
        assert!(!equal(
            "12345678901234567890123456789012345678",
            "12345678901234567890123456789012345679"
        ));
    }

    #[test]
    fn texts_that_are_no_numbers_are_compared_as_they_are() {
        assert!(equal("x", "x"));
        assert!(!equal("x", "y"));
        assert!(!equal("1", "x"));
    }

    proptest! {
        #![proptest_config(config(500))]

        #[test]
        fn moving_the_point_keeps_the_value(
            digits in "[1-9][0-9]{0,37}", shift in -60_i32..60, zeros in 0_usize..5, negative: bool,
        ) {
            let sign = if negative { "-" } else { "" };
            let plain = format!("{sign}{digits}e{shift}");
            let (whole, fraction) = digits.split_at(1);
            let scientific = format!(
                "{sign}{}{whole}.{fraction}{}E{}",
                "0".repeat(zeros), "0".repeat(zeros),
                shift + i32::try_from(fraction.len()).unwrap(),
            );
            prop_assert!(equal(&plain, &scientific));
            prop_assert_eq!(check(plain.as_bytes()), check(scientific.as_bytes()));
            let other = if negative { digits } else { format!("-{digits}") };
            let other = format!("{other}e{shift}");
            prop_assert!(!equal(&plain, &other));
        }

        #[test]
        fn integers_compare_as_integers(a: i64, b: i64, near in -3_i64..3) {
            for b in [b, a.saturating_add(near)] {
                prop_assert_eq!(equal(&a.to_string(), &b.to_string()), a == b);
            }
            prop_assert_eq!(Ok(integer_size(a.to_string().as_bytes())), check(a.to_string().as_bytes()));
        }

        #[test]
        fn any_text_is_answered(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = check(&text);
            let _ = Decimal::parse(&text);
        }
    }
}
