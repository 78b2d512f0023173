//! The setting for the write units a second that a sink may use.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;

use super::allowance::Allowance;
use super::table_capacity::Units;
use crate::settings::{Bound, ConfigError, SettingsPlace, allowed_at};

/// The bounds of a fixed rate, in write units a second.
const FIXED_BOUND: Bound<u32> = Bound::new("rate", 1, 10_000_000);

const ADAPTIVE: &str = "adaptive";
const UNLIMITED: &str = "unlimited";

/// The write units a second that a sink may use of one table.
///
/// Default: [`Adaptive`](Self::Adaptive). In a settings file it is `"adaptive"`, `"unlimited"` or a
/// whole number, `rate = 500`.
///
/// ```
/// use dynamodb_connector::sink::{Rate, TableSettings};
///
/// assert_eq!(Rate::from(500), Rate::Fixed(500));
/// let settings = TableSettings::default().rate(500);
/// # settings.validate()?;
/// # Ok::<(), dynamodb_connector::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rate {
    /// As many as the table takes, by its described capacity and by its answers.
    #[default]
    Adaptive,
    /// This many, whatever the description reports. Valid: 1 to 10,000,000 write units a second.
    Fixed(u32),
    /// No limit but [`concurrency`](crate::sink::TableSettings::concurrency).
    Unlimited,
}

impl Rate {
    /// Checks a fixed rate against the allowed values.
    pub(crate) fn check(self, place: &SettingsPlace) -> Result<(), ConfigError> {
        match self {
            Self::Fixed(units) => FIXED_BOUND.check(place, units),
            Self::Adaptive | Self::Unlimited => Ok(()),
        }
    }

    /// Returns whether the rate follows the table.
    pub(crate) fn is_adaptive(self) -> bool {
        matches!(self, Self::Adaptive)
    }

    /// Returns the allowance of a table's budget.
    pub(super) fn allowance(self, units: Units, share: f64) -> Allowance {
        match self {
            Self::Adaptive => units.allowance(share),
            Self::Fixed(units) => Allowance::Fixed(f64::from(units)),
            Self::Unlimited => Allowance::Unlimited,
        }
    }

    /// Returns the allowance of an index's budget; `None` where the index gets no budget
    /// before its first refusal.
    pub(super) fn index_allowance(self, units: Units, share: f64) -> Option<Allowance> {
        match (self, units.allowance(share)) {
            (Self::Adaptive, Allowance::Unknown) | (Self::Fixed(_) | Self::Unlimited, _) => None,
            (Self::Adaptive, allowance) => Some(allowance),
        }
    }

    /// Returns the allowed values of the field at `path`, in words.
    pub(crate) fn allowed(path: &str) -> Option<String> {
        allowed_at(path, &[FIXED_BOUND])
    }
}

/// A fixed number of write units a second.
impl From<u32> for Rate {
    fn from(units: u32) -> Self {
        Self::Fixed(units)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Adaptive => to.serialize_str(ADAPTIVE),
            Self::Fixed(units) => to.serialize_u32(*units),
            Self::Unlimited => to.serialize_str(UNLIMITED),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RateVisitor)
    }
}

struct RateVisitor;

impl<'de> Visitor<'de> for RateVisitor {
    type Value = Rate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a whole number of write units a second, {ADAPTIVE:?} or {UNLIMITED:?}"
        )
    }

    fn visit_u64<E: de::Error>(self, units: u64) -> Result<Rate, E> {
        u32::try_from(units)
            .map(Rate::Fixed)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(units), &self))
    }

    fn visit_i64<E: de::Error>(self, units: i64) -> Result<Rate, E> {
        u32::try_from(units)
            .map(Rate::Fixed)
            .map_err(|_| E::invalid_value(Unexpected::Signed(units), &self))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Rate, E> {
        match word {
            ADAPTIVE => Ok(Rate::Adaptive),
            UNLIMITED => Ok(Rate::Unlimited),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }

    /// A number in JSON, if the feature `arbitrary_precision` of `serde_json` is on.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rate, A::Error> {
        let number = Number::deserialize(MapAccessDeserializer::new(map));
        let number = number.map_err(|_| A::Error::invalid_type(Unexpected::Map, &self))?;
        match number.as_u64() {
            Some(units) => self.visit_u64(units),
            None => Err(A::Error::invalid_value(
                Unexpected::Other(&number.to_string()),
                &self,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fixed_rate_has_bounds() {
        let problem = |rate: Rate| {
            let refused = rate.check(&SettingsPlace::Defaults);
            refused.err().map(|error| error.to_string())
        };
        for (rate, expected) in [
            (Rate::Fixed(0), "rate is 0, allowed 1 to 10000000"),
            (
                Rate::Fixed(10_000_001),
                "rate is 10000001, allowed 1 to 10000000",
            ),
        ] {
            assert_eq!(problem(rate), Some(format!("defaults: {expected}")));
        }
        for rate in [
            Rate::Adaptive,
            Rate::Unlimited,
            Rate::Fixed(1),
            Rate::Fixed(10_000_000),
        ] {
            assert_eq!(problem(rate), None, "{rate:?}");
        }
    }

    #[test]
    fn a_file_holds_a_word_or_a_number() {
        for (json, expected) in [
            ("\"adaptive\"", Rate::Adaptive),
            ("\"unlimited\"", Rate::Unlimited),
            ("500", Rate::Fixed(500)),
        ] {
            let read: Rate = serde_json::from_str(json).expect("valid");
            assert_eq!(read, expected);
            assert_eq!(serde_json::to_string(&read).expect("json"), json);
        }
        for json in [
            "-1",
            "1.5",
            "4294967296",
            "\"Adaptive\"",
            "\"500\"",
            "null",
            "{}",
        ] {
            assert!(serde_json::from_str::<Rate>(json).is_err(), "{json}");
        }
    }
}
