//! Durations and sizes as people write them, for `#[serde(with = …)]`, and `"none"` for what is absent.
//!
//! An absent value is the word `"none"` in either direction, not a missing field: TOML has no null, and a table must be
//! able to take back a deadline that the defaults set.

use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

const DURATION: &str = "a duration with a unit, such as \"250ms\", \"2s\" or \"1m 30s\"";
const SIZE: &str =
    "a whole number of bytes, or one with a unit, such as \"64KiB\", \"8MiB\" or \"1MB\"";
const NONE: &str = "none";

/// Every unit of size by its name in lower case, the largest last.
const SIZES: [(&str, usize); 7] = [
    ("b", 1),
    ("kb", 1_000),
    ("kib", 1 << 10),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
];

/// Writes a duration so that [`parse_duration`] gives it back.
pub(crate) fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Reads a duration; `None` for anything else.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    // humantime 2.4 overflows, and panics, where the parts add up to just 2^64 seconds. Ten digits of years in each of
    // the few parts that fit in 64 characters stay far below.
    let longest = text
        .split(|c: char| !c.is_ascii_digit())
        .map(str::len)
        .max()?;
    if text.len() > 64 || longest > 10 {
        return None;
    }
    humantime::parse_duration(text).ok()
}

/// Writes a size in the largest binary unit that divides it.
pub(crate) fn format_size(bytes: usize) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Reads a size; `None` for anything else, among it what does not fit in memory.
pub(crate) fn parse_size(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = if unit.is_empty() {
        1
    } else {
        SIZES.iter().find(|(name, _)| *name == unit)?.1
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}

/// A value that a settings file may hold in place of a number or a text.
enum Scalar {
    Whole(u64),
    Negative(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Other,
}

/// By way of `serde_json`'s own type, which knows its numbers however they come: as a map if the feature
/// `arbitrary_precision` is on.
impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(from)? {
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(n), _, _) => Self::Whole(n),
                (_, Some(n), _) => Self::Negative(n),
                (_, _, Some(n)) => Self::Float(n),
                _ => Self::Other,
            },
            Value::Bool(truth) => Self::Bool(truth),
            Value::String(text) => Self::Text(text),
            Value::Null | Value::Array(_) | Value::Object(_) => Self::Other,
        })
    }
}

impl Scalar {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Whole(n) => Unexpected::Unsigned(*n),
            Self::Negative(n) => Unexpected::Signed(*n),
            Self::Float(n) => Unexpected::Float(*n),
            Self::Bool(b) => Unexpected::Bool(*b),
            Self::Text(text) => Unexpected::Str(text),
            Self::Other => Unexpected::Other("value that is neither number nor text"),
        }
    }

    fn refuse<E: Error>(&self, expected: &str) -> E {
        match self {
            // The value is of the right type, and yet not right.
            Self::Text(_) => E::invalid_value(self.unexpected(), &expected),
            _ => E::invalid_type(self.unexpected(), &expected),
        }
    }

    fn duration(&self) -> Option<Duration> {
        match self {
            Self::Text(text) => parse_duration(text),
            _ => None,
        }
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::Text(text) if text == NONE)
    }
}

/// `#[serde(with = …)]` for a duration.
pub(crate) mod duration {
    use super::{DURATION, Deserialize, Deserializer, Duration, Scalar, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&super::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let scalar = Scalar::deserialize(from)?;
        scalar.duration().ok_or_else(|| scalar.refuse(DURATION))
    }
}

/// `#[serde(with = …)]` for a duration or none.
pub(crate) mod duration_or_none {
    use super::{DURATION, Deserialize, Deserializer, Duration, NONE, Scalar, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, to),
            None => to.serialize_str(NONE),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let scalar = Scalar::deserialize(from)?;
        if scalar.is_none() {
            return Ok(None);
        }
        let refuse = || scalar.refuse(&format!("{DURATION}, or \"none\""));
        scalar.duration().map(Some).ok_or_else(refuse)
    }
}

/// `#[serde(with = …)]` for a count or none.
pub(crate) mod count_or_none {
    use super::{Deserialize, Deserializer, NONE, Scalar, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<u32>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(to),
            None => to.serialize_str(NONE),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
        let scalar = Scalar::deserialize(from)?;
        match &scalar {
            Scalar::Whole(n) if u32::try_from(*n).is_ok() => Ok(u32::try_from(*n).ok()),
            _ if scalar.is_none() => Ok(None),
            _ => Err(scalar.refuse("a whole number, or \"none\"")),
        }
    }
}

/// `#[serde(with = …)]` for a number of bytes.
pub(crate) mod size {
    use super::{Deserialize, Deserializer, SIZE, Scalar, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &usize, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&super::format_size(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        let scalar = Scalar::deserialize(from)?;
        let size = match &scalar {
            Scalar::Whole(n) => usize::try_from(*n).ok(),
            Scalar::Text(text) => super::parse_size(text),
            _ => None,
        };
        size.ok_or_else(|| scalar.refuse(SIZE))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let millis = |n| Some(Duration::from_millis(n));
        assert_eq!(parse_duration("250ms"), millis(250));
        assert_eq!(parse_duration("2s"), millis(2_000));
        assert_eq!(parse_duration("1m 30s"), millis(90_000));
        assert_eq!(parse_duration("1.5s"), millis(1_500));
        assert_eq!(parse_duration("0s"), millis(0));
        for nonsense in [
            "",
            " ",
            "250",
            "-1s",
            "1 fortnight",
            "ms",
            "1s,2s",
            "1e3s",
            "∞",
        ] {
            assert_eq!(parse_duration(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_duration_that_overflows_is_refused() {
        assert_eq!(parse_duration("18446744073709551615s 1000ms"), None);
        assert_eq!(
            parse_duration("9999999999years"),
            Some(Duration::from_secs(9_999_999_999 * 31_557_600))
        );
    }

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!(parse_size("8MiB"), Some(8_388_608));
        assert_eq!(parse_size("64 KiB"), Some(65_536));
        assert_eq!(parse_size("1MB"), Some(1_000_000));
        assert_eq!(parse_size("2gib"), Some(2 << 30));
        assert_eq!(parse_size("1024"), Some(1024));
        assert_eq!(parse_size("0B"), Some(0));
        for nonsense in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "8M",
            "8 Mb/s",
            "99999999999999999999",
            "18446744073709551615KiB",
        ] {
            assert_eq!(parse_size(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_number_in_json_is_read_whatever_features_of_serde_json_are_on() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Plain {
            #[serde(with = "size")]
            bytes: usize,
            #[serde(with = "count_or_none")]
            count: Option<u32>,
        }
        let read = |json| serde_json::from_str::<Plain>(json).map_err(|error| error.to_string());
        let expected = Plain {
            bytes: 1024,
            count: Some(3),
        };
        assert_eq!(read(r#"{"bytes":1024,"count":3}"#), Ok(expected));
        for (json, found) in [
            (r#"{"bytes":-1,"count":3}"#, "integer `-1`"),
            (r#"{"bytes":1,"count":1.5}"#, "floating point `1.5`"),
            (r#"{"bytes":true,"count":1}"#, "boolean `true`"),
            (r#"{"bytes":[1],"count":1}"#, "neither number nor text"),
        ] {
            let error = read(json).expect_err("it is refused");
            assert!(error.contains(found), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_written_is_read_back(secs in 0_u64..1 << 40, nanos in 0_u32..1_000_000_000) {
            let duration = Duration::new(secs, nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }

        #[test]
        fn a_size_written_is_read_back(bytes: usize, shift in 0_u32..40) {
            let bytes = bytes >> shift << (shift / 2);
            prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,80}", near in "[0-9]{1,20} ?(s|ms|ns|years|m|KiB|GB)( [0-9]{1,20}(s|ms|us))?") {
            for text in [text, near] {
                let _ = parse_duration(&text);
                let _ = parse_size(&text);
            }
        }
    }
}
