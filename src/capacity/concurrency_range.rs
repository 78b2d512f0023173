//! The setting for the number of requests in flight.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    self, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::item::MARKED_NUMBER;
use crate::settings::{Bound, ConfigError, SettingsPlace, allowed_at};

/// The bounds of a fixed number of requests.
const FIXED_BOUND: Bound<usize> = Bound::new("concurrency", 1, Concurrency::MAX_REQUESTS);
/// The bounds of a range's lower end.
const MIN_BOUND: Bound<usize> = Bound::new("concurrency.min", 1, Concurrency::MAX_REQUESTS);
/// The bounds of a range's upper end.
const MAX_BOUND: Bound<usize> = Bound::new("concurrency.max", 1, Concurrency::MAX_REQUESTS);

/// The number of requests to one table that may be in flight at once: fixed, or a range to adapt
/// in.
///
/// Each request carries up to 25 records. Default: adapts from 1 to 32. Valid: 1 to 1,000, and the
/// lower end of a range not above the upper.
///
/// In a settings file it is a number, `concurrency = 8`, or `concurrency = { min = 1, max = 64 }`.
///
/// ```
/// use dynamodb_connector::sink::{Concurrency, TableSettings};
///
/// assert_eq!(Concurrency::from(8), Concurrency::from(8..=8));
/// let settings = TableSettings::default().concurrency(1..=64);
/// # settings.validate()?;
/// # Ok::<(), dynamodb_connector::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    min: usize,
    max: usize,
}

impl Concurrency {
    /// The most requests that settings may allow in flight.
    ///
    /// Chosen: 1,000 requests of 25 records at 10 ms a round trip are 2.5 million writes a second,
    /// far above any table's default quota.
    pub(crate) const MAX_REQUESTS: usize = 1_000;

    /// Returns the least number of requests that is always allowed in flight.
    pub fn min(&self) -> usize {
        self.min
    }

    /// Returns the largest number of requests ever in flight.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Checks the range against the allowed values.
    pub(crate) fn check(self, place: &SettingsPlace) -> Result<(), ConfigError> {
        if self.min == self.max {
            return FIXED_BOUND.check(place, self.max);
        }
        MIN_BOUND.check(place, self.min)?;
        MAX_BOUND.check_from(place, self.max, self.min, MIN_BOUND.field())
    }

    /// Returns the allowed values of the field at `path`, in words.
    pub(crate) fn allowed(path: &str) -> Option<String> {
        allowed_at(path, &[FIXED_BOUND, MIN_BOUND, MAX_BOUND])
    }
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { min: 1, max: 32 }
    }
}

/// A fixed number of requests.
impl From<usize> for Concurrency {
    fn from(fixed: usize) -> Self {
        Self {
            min: fixed,
            max: fixed,
        }
    }
}

/// A range to adapt in.
impl From<RangeInclusive<usize>> for Concurrency {
    fn from(range: RangeInclusive<usize>) -> Self {
        let (min, max) = range.into_inner();
        Self { min, max }
    }
}

/// The range in the form of a settings file. An end that is left out has its default.
#[derive(Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Range {
    min: usize,
    max: usize,
}

impl Default for Range {
    fn default() -> Self {
        let Concurrency { min, max } = Concurrency::default();
        Self { min, max }
    }
}

impl Serialize for Concurrency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { min, max } = *self;
        if min == max {
            max.serialize(to)
        } else {
            Range { min, max }.serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Concurrency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ConcurrencyVisitor)
    }
}

struct ConcurrencyVisitor;

impl<'de> Visitor<'de> for ConcurrencyVisitor {
    type Value = Concurrency;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or a table of `min` and `max`")
    }

    fn visit_u64<E: de::Error>(self, fixed: u64) -> Result<Concurrency, E> {
        usize::try_from(fixed)
            .map(Concurrency::from)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(fixed), &self))
    }

    fn visit_i64<E: de::Error>(self, fixed: i64) -> Result<Concurrency, E> {
        usize::try_from(fixed)
            .map(Concurrency::from)
            .map_err(|_| E::invalid_value(Unexpected::Signed(fixed), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Concurrency, A::Error> {
        let first: Option<String> = map.next_key()?;
        if first.as_deref() == Some(MARKED_NUMBER) {
            let text: String = map.next_value()?;
            let fixed: Result<usize, _> = text.parse();
            return fixed
                .map(Concurrency::from)
                .map_err(|_| A::Error::invalid_value(Unexpected::Other(&text), &self));
        }
        let map = MapAccessDeserializer::new(Begun { first, map });
        let Range { min, max } = Range::deserialize(map)?;
        Ok(Concurrency { min, max })
    }
}

/// A map whose first key was taken already.
struct Begun<A> {
    first: Option<String>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Begun<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(first) => seed.deserialize(first.into_deserializer()).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_range_are_checked_in_their_own_words() {
        let problem = |concurrency: Concurrency| {
            let refused = concurrency.check(&SettingsPlace::Defaults);
            refused.err().map(|error| error.to_string())
        };
        for (concurrency, expected) in [
            (Concurrency::from(0), "concurrency is 0, allowed 1 to 1000"),
            (
                Concurrency::from(0..=4),
                "concurrency.min is 0, allowed 1 to 1000",
            ),
            (
                Concurrency::from(1..=1_001),
                "concurrency.max is 1001, allowed 1 to 1000",
            ),
            (
                Concurrency { min: 4, max: 2 },
                "concurrency.max is 2, allowed 4 (concurrency.min) to 1000",
            ),
        ] {
            let found = problem(concurrency).expect("refused");
            assert_eq!(found, format!("defaults: {expected}"));
        }
        assert_eq!(problem(Concurrency::from(1_000)), None);
        assert_eq!(problem(Concurrency::from(1..=1_000)), None);
    }

    #[test]
    fn a_file_holds_a_number_or_a_range() {
        for (json, expected) in [
            ("7", Concurrency::from(7)),
            (r#"{"min":2,"max":8}"#, Concurrency::from(2..=8)),
            (r#"{"min":2}"#, Concurrency::from(2..=32)),
            (r#"{"max":8}"#, Concurrency::from(1..=8)),
        ] {
            let read: Concurrency = serde_json::from_str(json).expect("valid");
            assert_eq!((read.min(), read.max()), (expected.min(), expected.max()));
            let written = serde_json::to_string(&read).expect("json");
            let again: Concurrency = serde_json::from_str(&written).expect("valid");
            assert_eq!(again, expected);
        }
        for json in ["-1", "1.5", "\"many\"", r#"{"least":1}"#] {
            assert!(serde_json::from_str::<Concurrency>(json).is_err(), "{json}");
        }
    }
}
