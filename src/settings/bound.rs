//! The range of a setting, from which both the check and its message come.

use std::time::Duration;

use super::{ConfigError, SettingsPlace, units};

/// A value that a message can show.
pub(crate) trait Shown: PartialOrd + Copy {
    /// The value as a person would write it in a settings file.
    fn shown(self) -> String;
}

impl Shown for usize {
    fn shown(self) -> String {
        self.to_string()
    }
}

impl Shown for u32 {
    fn shown(self) -> String {
        self.to_string()
    }
}

impl Shown for f64 {
    fn shown(self) -> String {
        self.to_string()
    }
}

impl Shown for Duration {
    fn shown(self) -> String {
        units::format_duration(self)
    }
}

/// A number of bytes, shown with its unit.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Bytes(pub(crate) usize);

impl Shown for Bytes {
    fn shown(self) -> String {
        units::format_size(self.0)
    }
}

/// The inclusive range of one field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<T> {
    field: &'static str,
    min: T,
    max: T,
}

impl<T: Shown> Bound<T> {
    /// `field` is the path as it stands in a settings file.
    pub(crate) const fn new(field: &'static str, min: T, max: T) -> Self {
        Self { field, min, max }
    }

    /// The path to the field.
    pub(crate) fn field(&self) -> &'static str {
        self.field
    }

    /// The range in words.
    fn allowed(&self) -> String {
        format!("{} to {}", self.min.shown(), self.max.shown())
    }

    /// Refuses what is outside; a float that is not a number is outside.
    pub(crate) fn check(&self, place: &SettingsPlace, value: T) -> Result<(), ConfigError> {
        self.refuse_unless(self.min <= value && value <= self.max, place, value, || {
            self.allowed()
        })
    }

    /// Also refuses what is below another field's value.
    pub(crate) fn check_from(
        &self,
        place: &SettingsPlace,
        value: T,
        min: T,
        other: &str,
    ) -> Result<(), ConfigError> {
        self.check(place, value)?;
        self.refuse_unless(min <= value, place, value, || {
            format!("{} ({other}) to {}", min.shown(), self.max.shown())
        })
    }

    fn refuse_unless(
        &self,
        is_allowed: bool,
        place: &SettingsPlace,
        value: T,
        allowed: impl FnOnce() -> String,
    ) -> Result<(), ConfigError> {
        if is_allowed {
            return Ok(());
        }
        Err(ConfigError::OutOfRange {
            place: place.clone(),
            field: self.field.to_owned(),
            value: value.shown(),
            allowed: allowed(),
        })
    }
}

/// The range in words of that one of `bounds` which is about the field at `path`.
pub(crate) fn allowed_at<T: Shown>(path: &str, bounds: &[Bound<T>]) -> Option<String> {
    bounds
        .iter()
        .find(|bound| bound.field == path)
        .map(Bound::allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<(), ConfigError>) -> String {
        result.expect_err("outside the range").to_string()
    }

    #[test]
    fn both_ends_are_inside() {
        let bound = Bound::new("linger", Duration::ZERO, Duration::from_secs(60));
        let place = SettingsPlace::Defaults;
        bound.check(&place, Duration::ZERO).expect("the least");
        bound
            .check(&place, Duration::from_secs(60))
            .expect("the most");
        assert_eq!(
            message(bound.check(&place, Duration::from_millis(60_001))),
            "defaults: linger is 1m 1ms, allowed 0s to 1m"
        );
    }

    #[test]
    fn sizes_and_other_fields_are_named() {
        let place = SettingsPlace::Table("decisions".to_owned());
        assert_eq!(
            message(
                Bound::new("buffer_bytes", Bytes(4 << 20), Bytes(1 << 30))
                    .check(&place, Bytes(100))
            ),
            "table \"decisions\": buffer_bytes is 100B, allowed 4MiB to 1GiB"
        );
        assert_eq!(
            message(Bound::new("concurrency.max", 1_usize, 9).check_from(
                &place,
                2,
                5,
                "concurrency.min"
            )),
            "table \"decisions\": concurrency.max is 2, allowed 5 (concurrency.min) to 9"
        );
    }

    #[test]
    fn not_a_number_is_outside_every_range() {
        let bound = Bound::new("max_key_share", 0.0, f64::INFINITY);
        bound
            .check(&SettingsPlace::Defaults, f64::NAN)
            .expect_err("not a number");
    }
}
