//! DynamoDB's number: up to 38 significant digits, compared by value, kept exactly.

use std::cmp::Ordering;
use std::fmt;

/// Significant digits a number may have (AWS: data types, "Number").
const MAX_DIGITS: usize = 38;
/// The largest magnitude is 9.99…E+125, so the digits begin at most 126 places before the point.
const MAX_EXPONENT: i32 = 126;
/// The smallest magnitude is 1E-130: the first digit stands 130 places behind the point.
const MIN_EXPONENT: i32 = -129;

/// The reason for which a text is no DynamoDB number, in DynamoDB's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberError {
    Syntax,
    Precision,
    Overflow,
    Underflow,
}

impl NumberError {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Syntax => "A value provided cannot be converted into a number",
            Self::Precision => "DynamoDB only supports precision up to 38 digits",
            Self::Overflow => {
                "Number overflow. Attempting to store a number with magnitude larger than supported range"
            }
            Self::Underflow => {
                "Number underflow. Attempting to store a number with magnitude smaller than supported range"
            }
        }
    }
}

/// An exact decimal: `0.d1d2d3… × 10^exponent`, without leading or trailing zero digits.
///
/// One value has one representation, so the derived equality is equality by value: 1, 1.0 and 1e0
/// are the same key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i32,
}

impl Decimal {
    /// Reads a number as DynamoDB does.
    pub(crate) fn parse(text: &str) -> Result<Self, NumberError> {
        let (negative, rest) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, power) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&rest[..at], parse_power(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let mut digits = Vec::with_capacity(mantissa.len());
        let mut point = None;
        for &byte in mantissa {
            match byte {
                b'0'..=b'9' => digits.push(byte - b'0'),
                b'.' if point.is_none() => point = Some(digits.len()),
                _ => return Err(NumberError::Syntax),
            }
        }
        if digits.is_empty() {
            return Err(NumberError::Syntax);
        }
        let whole = point.unwrap_or(digits.len());
        let exponent = i64::try_from(whole)
            .unwrap_or(i64::MAX)
            .saturating_add(power);
        Self::checked(negative, digits, exponent)
    }

    fn checked(
        negative: bool,
        mut digits: Vec<u8>,
        mut exponent: i64,
    ) -> Result<Self, NumberError> {
        let leading = digits.iter().take_while(|&&digit| digit == 0).count();
        digits.drain(..leading);
        exponent -= i64::try_from(leading).unwrap_or(i64::MAX);
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            return Ok(Self {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        if exponent > i64::from(MAX_EXPONENT) {
            return Err(NumberError::Overflow);
        }
        if exponent < i64::from(MIN_EXPONENT) {
            return Err(NumberError::Underflow);
        }
        if digits.len() > MAX_DIGITS {
            return Err(NumberError::Precision);
        }
        let exponent = i32::try_from(exponent).map_err(|_| NumberError::Overflow)?;
        Ok(Self {
            negative,
            digits,
            exponent,
        })
    }

    /// A whole number that is no larger than a count.
    pub(crate) fn from_count(count: usize) -> Self {
        Self::parse(&count.to_string()).unwrap_or(Self {
            negative: false,
            digits: Vec::new(),
            exponent: 0,
        })
    }

    /// The sum, when it still has 38 digits and is in range.
    pub(crate) fn add(&self, other: &Self) -> Result<Self, NumberError> {
        // Both are laid out on one grid of digits, at most 256 places wide, and added by hand.
        let top = self.exponent.max(other.exponent);
        let bottom = self.bottom().min(other.bottom());
        let width = usize::try_from(top - bottom).unwrap_or(0);
        let left = self.spread(top, width);
        let right = other.spread(top, width);
        let (negative, digits, carry) = if self.negative == other.negative {
            let (digits, carry) = add_digits(&left, &right);
            (self.negative, digits, carry)
        } else if left >= right {
            (self.negative, subtract_digits(&left, &right), 0)
        } else {
            (other.negative, subtract_digits(&right, &left), 0)
        };
        let mut all = vec![carry];
        all.extend(digits);
        Self::checked(negative, all, i64::from(top) + 1)
    }

    /// The difference, under the same limits as [`add`](Self::add).
    pub(crate) fn subtract(&self, other: &Self) -> Result<Self, NumberError> {
        let negative = !other.negative && !other.digits.is_empty();
        self.add(&Self {
            negative,
            ..other.clone()
        })
    }

    /// Returns the stored bytes: one, one for every two digits before the point and every two after it, and one for a
    /// minus sign. (Measured by others at a region's 400 KB limit. DynamoDB Local may count one more.)
    pub(crate) fn size(&self) -> usize {
        if self.digits.is_empty() {
            return 1;
        }
        let significant = i32::try_from(self.digits.len()).unwrap_or(i32::MAX);
        let (whole, fraction) = if self.exponent >= significant {
            (significant, 0)
        } else if self.exponent <= 0 {
            (0, significant)
        } else {
            (self.exponent, significant - self.exponent)
        };
        let bytes = usize::try_from((whole + 1) / 2 + (fraction + 1) / 2).unwrap_or(0);
        1 + bytes + usize::from(self.negative)
    }

    fn bottom(&self) -> i32 {
        self.exponent - i32::try_from(self.digits.len()).unwrap_or(0)
    }

    fn spread(&self, top: i32, width: usize) -> Vec<u8> {
        let start = usize::try_from(top - self.exponent).unwrap_or(0);
        let mut grid = vec![0; width];
        for (slot, digit) in grid.iter_mut().skip(start).zip(&self.digits) {
            *slot = *digit;
        }
        grid
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .exponent
                .cmp(&other.exponent)
                .then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

fn parse_power(bytes: &[u8]) -> Result<i64, NumberError> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Syntax);
    }
    let power = digits.iter().fold(0_i64, |power, digit| {
        power
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
            .min(1 << 40)
    });
    Ok(if negative { -power } else { power })
}

fn add_digits(left: &[u8], right: &[u8]) -> (Vec<u8>, u8) {
    let mut sum = vec![0; left.len()];
    let mut carry = 0;
    for at in (0..left.len()).rev() {
        let digit = left[at] + right[at] + carry;
        sum[at] = digit % 10;
        carry = digit / 10;
    }
    (sum, carry)
}

fn subtract_digits(large: &[u8], small: &[u8]) -> Vec<u8> {
    let mut rest = vec![0; large.len()];
    let mut borrow = 0;
    for at in (0..large.len()).rev() {
        let take = small[at] + borrow;
        borrow = u8::from(large[at] < take);
        rest[at] = large[at] + 10 * borrow - take;
    }
    rest
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_magnitude(other),
            (true, true) => other.compare_magnitude(self),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    /// Plain digits without an exponent, as DynamoDB answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        let mut text = String::new();
        let whole = usize::try_from(self.exponent).unwrap_or(0);
        let digits: String = self
            .digits
            .iter()
            .map(|&digit| char::from(b'0' + digit))
            .collect();
        if self.exponent <= 0 {
            text.push_str("0.");
            text.extend(std::iter::repeat_n(
                '0',
                usize::try_from(-self.exponent).unwrap_or(0),
            ));
            text.push_str(&digits);
        } else if digits.len() <= whole {
            text.push_str(&digits);
            text.extend(std::iter::repeat_n('0', whole - digits.len()));
        } else {
            text.push_str(&digits[..whole]);
            text.push('.');
            text.push_str(&digits[whole..]);
        }
        write!(f, "{}{text}", if self.negative { "-" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    #[test]
    fn one_value_has_one_representation() {
        for text in ["1", "1.0", "1e0", "+1", "0001", "10e-1", "0.1E1"] {
            assert_eq!(number(text), number("1"), "{text}");
        }
        assert_eq!(number("-0"), number("0.000"));
        assert_eq!(number("1e20").to_string(), "100000000000000000000");
        assert_eq!(number("-1.50e-3").to_string(), "-0.0015");
        assert_eq!(number(".5").to_string(), "0.5");
        assert_eq!(number("5.").to_string(), "5");
    }

    #[test]
    fn order_is_by_value() {
        let ordered = [
            "-1e100", "-10", "-9.5", "-1e-5", "0", "1e-130", "0.5", "1", "9", "10", "1e125",
        ];
        for pair in ordered.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn limits_are_dynamodbs() {
        assert_eq!(Decimal::parse("1e126"), Err(NumberError::Overflow));
        assert_eq!(Decimal::parse("1e-131"), Err(NumberError::Underflow));
        assert_eq!(Decimal::parse(&"9".repeat(39)), Err(NumberError::Precision));
        number("9.9999999999999999999999999999999999999E+125");
        number("1e-130");
        for text in [
            "", " 1", "abc", "1_0", "0x1", "NaN", "Infinity", "1e", "-", ".", "1.2.3", "1e5.0",
        ] {
            assert_eq!(Decimal::parse(text), Err(NumberError::Syntax), "{text}");
        }
        assert_eq!(
            Decimal::parse("1e99999999999999999999"),
            Err(NumberError::Overflow)
        );
    }

    #[test]
    fn sums_are_exact() {
        let cases = [
            ("1.5", "1e3", "1001.5"),
            ("1", "-3", "-2"),
            ("-5", "5", "0"),
            ("99", "1", "100"),
            ("0.1", "0.2", "0.3"),
            ("0", "-7", "-7"),
            ("1000", "-0.001", "999.999"),
        ];
        for (left, right, sum) in cases {
            assert_eq!(
                number(left).add(&number(right)),
                Ok(number(sum)),
                "{left} + {right}"
            );
        }
        assert_eq!(number("1").subtract(&number("0")), Ok(number("1")));
        assert_eq!(
            number("1e30").add(&number("1e-30")),
            Err(NumberError::Precision)
        );
        assert_eq!(
            number("9e125").add(&number("9e125")),
            Err(NumberError::Overflow)
        );
    }

    #[test]
    fn sizes_follow_the_regions_rule() {
        let cases = [
            ("0", 1),
            ("1", 2),
            ("12", 2),
            ("123", 3),
            ("1234", 3),
            ("-1", 3),
            ("-123", 4),
            ("1.5", 3),
            ("100", 2),
            ("1000", 2),
            ("0.01", 2),
            ("0.1", 2),
            ("12345", 4),
            ("1e-5", 2),
            ("120", 2),
            ("0.015", 2),
            ("17864615470", 6),
            ("100.5", 4),
            ("1e125", 2),
            ("-1e-130", 3),
            ("99.9", 3),
            ("0.123", 3),
            ("10.01", 3),
        ];
        for (text, size) in cases {
            assert_eq!(number(text).size(), size, "{text}");
        }
    }
}
