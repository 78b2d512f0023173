//! The position of a record in its shard.

use std::fmt;
use std::str::FromStr;

use crate::error::ErrorKind;

/// The most digits of a sequence number: the API reference gives 21 to 40 characters.
const DIGITS: usize = 40;

/// The number of a record in the order of its shard. Later changes of an item have larger ones, across shards too.
///
/// Compares as a number, so leading zeros make no difference; displays the digits as given.
#[derive(Clone, Copy)]
pub struct SequenceNumber {
    /// The digits, right-aligned behind zeros, so that they compare byte by byte.
    digits: [u8; DIGITS],
    /// The number of digits that were given.
    given: u8,
}

impl SequenceNumber {
    fn as_str(&self) -> &str {
        let given = usize::from(self.given);
        let digits = self.digits.get(DIGITS - given..).unwrap_or_default();
        std::str::from_utf8(digits).expect("digits are ASCII")
    }
}

/// The error of a text that is not a sequence number: those have 1 to 40 decimal digits and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sequence number has 1 to {DIGITS} digits")]
#[non_exhaustive]
pub struct InvalidSequenceNumber;

impl InvalidSequenceNumber {
    /// Returns [`ErrorKind::Invalid`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Returns `false`: the text stays as it is.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl FromStr for SequenceNumber {
    type Err = InvalidSequenceNumber;

    fn from_str(text: &str) -> Result<Self, InvalidSequenceNumber> {
        let mut digits = [b'0'; DIGITS];
        let first = DIGITS
            .checked_sub(text.len())
            .ok_or(InvalidSequenceNumber)?;
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidSequenceNumber);
        }
        let (_, place) = digits.split_at_mut(first);
        place.copy_from_slice(text.as_bytes());
        let given = u8::try_from(text.len()).map_err(|_| InvalidSequenceNumber)?;
        Ok(Self { digits, given })
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.digits == other.digits
    }
}

impl Eq for SequenceNumber {}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.digits.cmp(&other.digits)
    }
}

impl std::hash::Hash for SequenceNumber {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digits.hash(state);
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> SequenceNumber {
        text.parse().unwrap()
    }

    #[test]
    fn sequence_numbers_compare_as_numbers_and_show_as_they_came() {
        assert!(number("9") < number("10"));
        assert!(number("000000000000000000251") > number("99"));
        assert_eq!(number("007"), number("7"));
        assert_eq!(number("007").to_string(), "007");
        let largest = "9".repeat(40);
        assert!(number(&largest) > number(&"9".repeat(39)));
        assert_eq!(format!("{:?}", number(&largest)), largest);
    }

    #[test]
    fn what_is_no_sequence_number_is_refused() {
        for text in ["", "x", "1x", "-1", "+1", " 1", "1.0", "١", &"1".repeat(41)] {
            assert_eq!(
                text.parse::<SequenceNumber>(),
                Err(InvalidSequenceNumber),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn their_order_is_that_of_the_numbers(a: u128, b: u128, zeros in 0..2_usize) {
            let (left, right) = (format!("{}{a}", "0".repeat(zeros)), b.to_string());
            prop_assert_eq!(number(&left).cmp(&number(&right)), a.cmp(&b));
            prop_assert_eq!(number(&left).to_string(), left);
        }
    }
}
