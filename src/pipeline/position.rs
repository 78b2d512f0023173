//! The position of a record in its source.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::ErrorKind;

/// The version of the stored form.
const VERSION: char = '1';

/// The place of a record: its partition, and a number or text that is unique within it.
///
/// Shown as `orders-3@42`. Positions of one partition are ordered as their records are: numbers by
/// value, and so are texts of digits alone, such as the sequence numbers of a shard. Positions of
/// several partitions are ordered by the partitions' names.
///
/// [`encode`](Self::encode) gives the form to store, [`FromStr`] reads it back:
///
/// ```
/// use dynamodb_connector::pipeline::Position;
///
/// let position = Position::number("orders-3".into(), 42);
/// assert_eq!(position.encode(), "1n42:orders-3");
/// assert_eq!("1n42:orders-3".parse(), Ok(position));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    partition: Arc<str>,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Number(u64),
    Text(Arc<str>),
}

impl Position {
    /// Returns a numbered position, such as an offset.
    pub fn number(partition: Arc<str>, number: u64) -> Self {
        let at = At::Number(number);
        Self { partition, at }
    }

    /// Returns a position that is a text, such as the sequence number of a shard.
    pub fn text(partition: Arc<str>, text: impl Into<Arc<str>>) -> Self {
        let at = At::Text(text.into());
        Self { partition, at }
    }

    /// Returns the partition, as its source names it.
    #[must_use]
    pub fn partition(&self) -> &Arc<str> {
        &self.partition
    }

    /// Returns the number, where the position is one.
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        match self.at {
            At::Number(number) => Some(number),
            At::Text(_) => None,
        }
    }

    /// Returns the text, where the position is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.at {
            At::Number(_) => None,
            At::Text(text) => Some(text),
        }
    }

    /// Returns the form to store: `1`, the version; `n` and the number, or `t`, the text's length in
    /// bytes, `:` and the text; `:` and the partition. A later release reads every earlier version.
    #[must_use]
    pub fn encode(&self) -> String {
        let partition = &self.partition;
        match &self.at {
            At::Number(number) => format!("{VERSION}n{number}:{partition}"),
            At::Text(text) => format!("{VERSION}t{}:{text}:{partition}", text.len()),
        }
    }
}

impl At {
    /// Returns what texts are compared by: digits by value, before all others.
    fn order(text: &str) -> (bool, usize, &str) {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return (true, 0, text);
        }
        let digits = text.trim_start_matches('0');
        (false, digits.len(), digits)
    }
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(two)) => one.cmp(two),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
            // Texts that differ in leading zeros alone are not equal, so they must not compare so.
            (Self::Text(one), Self::Text(two)) => {
                Self::order(one).cmp(&Self::order(two)).then(one.cmp(two))
            }
        }
    }
}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        let partitions = self.partition.cmp(&other.partition);
        partitions.then_with(|| self.at.cmp(&other.at))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Number(number) => write!(f, "{}@{number}", self.partition),
            At::Text(text) => write!(f, "{}@{text}", self.partition),
        }
    }
}

/// A text that is no stored position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// A version that this release does not know.
    #[error("position of version {version:?}, this release reads 1")]
    #[non_exhaustive]
    Version {
        /// The version.
        version: String,
    },
    /// A text of another form.
    #[error("not a position: expected {expected}")]
    #[non_exhaustive]
    Malformed {
        /// The part that is missing or wrong.
        expected: &'static str,
    },
}

impl PositionError {
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

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let malformed = |expected| PositionError::Malformed { expected };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (version, rest) = text.split_at(digits);
        if version.is_empty() {
            return Err(malformed("a version"));
        }
        if !version.chars().eq([VERSION]) {
            return Err(PositionError::Version {
                version: version.to_owned(),
            });
        }
        let (head, rest) = rest.split_once(':').ok_or(malformed("a partition"))?;
        if let Some(number) = head.strip_prefix('n') {
            let number = number.parse().map_err(|_| malformed("a number"))?;
            return Ok(Self::number(rest.into(), number));
        }
        let length = head.strip_prefix('t').ok_or(malformed("n or t"))?;
        let length = length.parse().map_err(|_| malformed("a length"))?;
        let (at, rest) = rest
            .split_at_checked(length)
            .ok_or(malformed("a text of its length"))?;
        let partition = rest.strip_prefix(':').ok_or(malformed("a partition"))?;
        Ok(Self::text(partition.into(), at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_stored_form_stays_as_it_is() {
        for (text, shown) in [
            ("1n42:orders-3", "orders-3@42"),
            (
                "1t21:100000000000000000007:shardId-1:2",
                "shardId-1:2@100000000000000000007",
            ),
            ("1t3:a:b:", "@a:b"),
        ] {
            let position: Position = text.parse().unwrap();
            assert_eq!(
                (position.encode(), position.to_string()),
                (text.to_owned(), shown.to_owned())
            );
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in [
            "",
            "n42:a",
            "1",
            "1n:a",
            "1n-1:a",
            "1x1:a",
            "1t9:a:b",
            "1t1:ab",
            "1t2:é:a:",
        ] {
            let read = text.parse::<Position>();
            if text == "1t2:é:a:" {
                assert!(read.is_ok(), "lengths are bytes");
            } else {
                assert!(
                    matches!(read, Err(PositionError::Malformed { .. })),
                    "{text}: {read:?}"
                );
            }
        }
        let version = PositionError::Version {
            version: "2".to_owned(),
        };
        assert_eq!("2n1:a".parse::<Position>(), Err(version));
    }

    #[test]
    fn sequence_numbers_are_ordered_by_value() {
        let at = |text: &str| Position::text("a".into(), text);
        let ordered = [
            at("9"),
            at("10"),
            at("011"),
            at("100000000000000000000000"),
            at("x"),
        ];
        assert!(ordered.is_sorted());
        assert!(Position::number("a".into(), 9) < Position::number("a".into(), 10));
        assert!(Position::number("a".into(), 9) < Position::number("b".into(), 1));
    }

    proptest! {
        #[test]
        fn every_position_is_read_back_and_the_order_is_total(
            texts in proptest::collection::vec(("[0-9:é]{0,5}", "[0-9a]{0,4}", any::<bool>()), 3),
        ) {
            let positions: Vec<Position> = texts
                .iter()
                .map(|(partition, text, is_number)| match text.parse() {
                    Ok(number) if *is_number => Position::number(partition.as_str().into(), number),
                    _ => Position::text(partition.as_str().into(), text.as_str()),
                })
                .collect();
            for one in &positions {
                prop_assert_eq!(&one.encode().parse::<Position>().unwrap(), one);
                for two in &positions {
                    prop_assert_eq!(one.cmp(two), two.cmp(one).reverse());
                    prop_assert_eq!(one == two, one.cmp(two) == Ordering::Equal);
                    for three in &positions {
                        prop_assert!(!(one <= two && two <= three) || one <= three);
                    }
                }
            }
        }
    }
}
