//! The settings of retries: delays, attempts and the budget.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::{
    Bound, ConfigError, Section, SettingsPlace, allowed_at, settings_type, units,
};

/// The name of the field that holds a policy within other settings.
const PART: &str = "retry";

const MAX_ATTEMPTS: Bound<u32> = Bound::new("retry.max_attempts", 1, 10_000);
const INITIAL_BACKOFF: Bound<Duration> = Bound::new(
    "retry.initial_backoff",
    Duration::from_millis(1),
    Duration::from_secs(60),
);
const MAX_BACKOFF: Bound<Duration> = Bound::new(
    "retry.max_backoff",
    Duration::from_millis(1),
    Duration::from_secs(300),
);
const MULTIPLIER: Bound<f64> = Bound::new("retry.multiplier", 1.1, 10.0);
const RATIO: Bound<f64> = Bound::new("retry.budget.ratio", 0.0, 10.0);
const MIN_PER_SECOND: Bound<u32> = Bound::new("retry.budget.min_per_second", 1, 10_000);
const BURST: Bound<u32> = Bound::new("retry.budget.burst", 1, 100_000);

/// The rules by which a record whose write failed is sent again.
///
/// A record is sent again until it is written, until its failure is one that no attempt can repair,
/// until [`max_attempts`](Self::max_attempts) or until its deadline, which is a setting of the
/// table. Throttling is no failure: a table that is short of capacity will take the record later,
/// so throttled attempts count towards the deadline only.
///
/// It is the field `retry` of other settings, and can be read from a file by itself. Setters never
/// fail: a value out of range is found when what it is for is opened, or by
/// [`validate`](Self::validate). Through serde each field has its setter's name; delays are text
/// with a unit (`"250ms"`).
///
/// ```
/// use std::time::Duration;
/// use dynamodb_connector::retry::{RetryBudgetSettings, RetryPolicy};
///
/// let patient = RetryPolicy::default()
///     .max_attempts(20)
///     .initial_backoff(Duration::from_millis(100))
///     .budget(RetryBudgetSettings::default().ratio(0.1));
/// patient.validate()?;
///
/// let refused = RetryPolicy::from_toml("max_backoff = \"1h\"").unwrap_err();
/// assert_eq!(refused.to_string(), "retry: max_backoff is 1h, allowed 1ms to 5m");
/// # Ok::<(), dynamodb_connector::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct RetryPolicy {
    #[serde(with = "units::count_or_none")]
    max_attempts: Option<u32>,
    #[serde(with = "units::duration")]
    initial_backoff: Duration,
    #[serde(with = "units::duration")]
    max_backoff: Duration,
    multiplier: f64,
    budget: RetryBudgetSettings,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: None,
            initial_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(10),
            multiplier: 2.0,
            budget: RetryBudgetSettings::default(),
        }
    }
}

impl RetryPolicy {
    /// Sets the number of attempts of one record that may fail for a reason other than throttling,
    /// the first attempt included.
    ///
    /// `None` sends again until the record's deadline, and without one until the sink is closed or
    /// aborted. Default: `None`. Valid: 1, which never sends again, to 10,000. In a settings file a
    /// number, or `"none"`.
    #[must_use]
    pub fn max_attempts(mut self, attempts: impl Into<Option<u32>>) -> Self {
        self.max_attempts = attempts.into();
        self
    }

    /// Sets the delay before the first retry, before jitter takes up to half of it away.
    ///
    /// Default: 50 ms. Valid: 1 ms to 60 s.
    #[must_use]
    pub fn initial_backoff(mut self, delay: Duration) -> Self {
        self.initial_backoff = delay;
        self
    }

    /// Sets the longest delay before a retry, before jitter takes up to half of it away.
    ///
    /// Default: 10 s. Valid: from `initial_backoff` to 5 min; where the two are equal, so is every
    /// delay.
    #[must_use]
    pub fn max_backoff(mut self, delay: Duration) -> Self {
        self.max_backoff = delay;
        self
    }

    /// Sets the factor from each delay to the next. Default: 2. Valid: 1.1 to 10.
    #[must_use]
    pub fn multiplier(mut self, factor: f64) -> Self {
        self.multiplier = factor;
        self
    }

    /// Sets the budget of the retries that all records of a table may cause together. Default:
    /// [`RetryBudgetSettings::default`].
    #[must_use]
    pub fn budget(mut self, budget: RetryBudgetSettings) -> Self {
        self.budget = budget;
        self
    }

    pub(crate) fn get_max_attempts(&self) -> Option<u32> {
        self.max_attempts
    }

    pub(crate) fn get_initial_backoff(&self) -> Duration {
        self.initial_backoff
    }

    pub(crate) fn get_max_backoff(&self) -> Duration {
        self.max_backoff
    }

    pub(crate) fn get_multiplier(&self) -> f64 {
        self.multiplier
    }

    pub(crate) fn get_budget(&self) -> &RetryBudgetSettings {
        &self.budget
    }

    /// Checks every field, as one named `retry` of the settings at `place`.
    pub(crate) fn check_within(&self, place: &SettingsPlace) -> Result<(), ConfigError> {
        if let Some(attempts) = self.max_attempts {
            MAX_ATTEMPTS.check(place, attempts)?;
        }
        INITIAL_BACKOFF.check(place, self.initial_backoff)?;
        MAX_BACKOFF.check_from(
            place,
            self.max_backoff,
            self.initial_backoff,
            INITIAL_BACKOFF.field(),
        )?;
        MULTIPLIER.check(place, self.multiplier)?;
        RATIO.check(place, self.budget.ratio)?;
        MIN_PER_SECOND.check(place, self.budget.min_per_second)?;
        BURST.check(place, self.budget.burst)
    }

    /// Returns the allowed values of the field at `path`, which begins with `retry`, in words.
    pub(crate) fn allowed_within(path: &str) -> Option<String> {
        allowed_at(path, &[MAX_ATTEMPTS, MIN_PER_SECOND, BURST])
            .or_else(|| allowed_at(path, &[INITIAL_BACKOFF, MAX_BACKOFF]))
            .or_else(|| allowed_at(path, &[MULTIPLIER, RATIO]))
    }
}

settings_type!(RetryPolicy);

impl Section for RetryPolicy {
    const PLACE: SettingsPlace = SettingsPlace::Retry;

    fn check(&self) -> Result<(), ConfigError> {
        self.check_within(&Self::PLACE)
            .map_err(|error| error.of_part(PART))
    }

    fn allowed(path: &str) -> Option<String> {
        Self::allowed_within(&format!("{PART}.{path}"))
    }
}

/// The budget of the retries that all records of a table may cause together, in requests.
///
/// Every request that succeeds earns a share of a retry, and every second earns a few, so that a
/// table that fails altogether is still tried. A retry that succeeds is given back: after an
/// outage, waiting writes are sent as fast as the table takes them. Retries beyond that wait until
/// they are earned; a short budget gives none up.
///
/// It is the field `budget` of a [`RetryPolicy`], read and checked with it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct RetryBudgetSettings {
    ratio: f64,
    min_per_second: u32,
    burst: u32,
}

impl Default for RetryBudgetSettings {
    fn default() -> Self {
        // tower's defaults: a fifth of the successes, ten a second, and ten seconds' worth of those
        // saved up.
        Self {
            ratio: 0.2,
            min_per_second: 10,
            burst: 100,
        }
    }
}

impl RetryBudgetSettings {
    /// Sets the retries that one successful request earns. Default: 0.2. Valid: 0 to 10.
    #[must_use]
    pub fn ratio(mut self, retries: f64) -> Self {
        self.ratio = retries;
        self
    }

    /// Sets the retries that one second earns. Default: 10. Valid: 1 to 10,000.
    #[must_use]
    pub fn min_per_second(mut self, retries: u32) -> Self {
        self.min_per_second = retries;
        self
    }

    /// Sets the retries that can be saved up, and are there at the start. Default: 100. Valid: 1 to
    /// 100,000.
    #[must_use]
    pub fn burst(mut self, retries: u32) -> Self {
        self.burst = retries;
        self
    }

    pub(crate) fn get_ratio(&self) -> f64 {
        self.ratio
    }

    pub(crate) fn get_min_per_second(&self) -> u32 {
        self.min_per_second
    }

    pub(crate) fn get_burst(&self) -> u32 {
        self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(policy: &RetryPolicy) -> String {
        policy
            .check_within(&SettingsPlace::Defaults)
            .expect_err("out of range")
            .to_string()
    }

    #[test]
    fn the_defaults_are_valid() {
        RetryPolicy::default()
            .check_within(&SettingsPlace::Defaults)
            .expect("valid");
    }

    #[test]
    fn what_is_set_is_what_the_sink_goes_by() {
        let second = Duration::from_secs(1);
        let budget = RetryBudgetSettings::default()
            .ratio(0.5)
            .min_per_second(3)
            .burst(7);
        let policy = RetryPolicy::default()
            .max_attempts(9)
            .initial_backoff(second)
            .max_backoff(second * 2)
            .multiplier(3.0)
            .budget(budget.clone());
        assert_eq!(policy.get_max_attempts(), Some(9));
        assert_eq!(RetryPolicy::default().get_max_attempts(), None);
        assert_eq!(policy.get_initial_backoff(), second);
        assert_eq!(policy.get_max_backoff(), second * 2);
        assert!((policy.get_multiplier() - 3.0).abs() < 1e-9);
        assert_eq!(policy.get_budget(), &budget);
        assert!((budget.get_ratio() - 0.5).abs() < 1e-9);
        assert_eq!((budget.get_min_per_second(), budget.get_burst()), (3, 7));
    }

    #[test]
    fn each_bound_is_checked() {
        let policy = RetryPolicy::default;
        assert_eq!(
            problem(&policy().max_attempts(0)),
            "defaults: retry.max_attempts is 0, allowed 1 to 10000"
        );
        assert_eq!(
            problem(&policy().max_backoff(Duration::from_millis(20))),
            "defaults: retry.max_backoff is 20ms, allowed 50ms (retry.initial_backoff) to 5m"
        );
        assert_eq!(
            problem(&policy().multiplier(1.0)),
            "defaults: retry.multiplier is 1, allowed 1.1 to 10"
        );
        assert_eq!(
            problem(&policy().budget(RetryBudgetSettings::default().min_per_second(0))),
            "defaults: retry.budget.min_per_second is 0, allowed 1 to 10000"
        );
        assert_eq!(
            problem(&policy().budget(RetryBudgetSettings::default().ratio(f64::NAN))),
            "defaults: retry.budget.ratio is NaN, allowed 0 to 10"
        );
    }
}
