//! Bounds of a pipeline.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::PipelineError;
use crate::admission::Limits;
use crate::settings::{
    Bound, Bytes, ConfigError, Section, SettingsPlace, allowed_at, settings_type, units,
};

const MAX_IN_FLIGHT: Bound<usize> = Bound::new("max_in_flight", 1, 1_000_000);
const MAX_IN_FLIGHT_BYTES: Bound<Bytes> =
    Bound::new("max_in_flight_bytes", Bytes(64 << 10), Bytes(16 << 30));
const STOP_TIMEOUT: Bound<Duration> = Bound::new(
    "stop_timeout",
    Duration::from_millis(10),
    Duration::from_secs(24 * 60 * 60),
);

pub(super) const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(10 * 60);
const STALL_TIMEOUT: Bound<Duration> = Bound::new(
    "stall_timeout",
    Duration::from_secs(1),
    Duration::from_secs(24 * 60 * 60),
);

pub(super) const CONCURRENCY: Bound<usize> = Bound::new("concurrency", 1, 10_000);
pub(super) const TIMEOUT: Bound<Duration> = Bound::new(
    "timeout",
    Duration::from_millis(1),
    Duration::from_secs(60 * 60),
);
pub(super) const CAPACITY: Bound<usize> = Bound::new("capacity", 0, 100_000_000);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
pub(super) const TIME_TO_LIVE: Bound<Duration> = Bound::new("time_to_live", Duration::ZERO, MONTH);
pub(super) const NEGATIVE_TIME_TO_LIVE: Bound<Duration> =
    Bound::new("negative_time_to_live", Duration::ZERO, MONTH);
/// Checks the settings of the operator of this name.
pub(super) fn check(
    operator: &Arc<str>,
    check: impl FnOnce(&SettingsPlace) -> Result<(), ConfigError>,
) -> Result<(), PipelineError> {
    Ok(check(&SettingsPlace::Operator((**operator).to_owned()))?)
}

/// The bounds of a pipeline: of what it holds, and of how long it may take.
///
/// Setters never fail: values out of range are found when the pipeline is run, or by
/// [`validate`](Self::validate). Through serde, each field has its setter's name; durations and sizes are text with a unit
/// (`"25s"`, `"64MiB"`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields)]
pub struct PipelineSettings {
    name: String,
    max_in_flight: usize,
    #[serde(with = "units::size")]
    max_in_flight_bytes: usize,
    #[serde(with = "units::duration")]
    stop_timeout: Duration,
    #[serde(with = "units::duration_or_none")]
    stall_timeout: Option<Duration>,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self {
            name: "pipeline".to_owned(),
            max_in_flight: 10_000,
            max_in_flight_bytes: 64 << 20,
            stop_timeout: Duration::from_secs(25),
            stall_timeout: Some(DEFAULT_STALL_TIMEOUT),
        }
    }
}

impl PipelineSettings {
    /// Sets the name of the pipeline, the label `pipeline` of its metrics. Pipelines of one process
    /// need different ones.
    ///
    /// Default: `pipeline`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how many of the source's records may be between the source and durability. Beside them,
    /// one batch of the source may wait. When this is reached, the source is asked again once a
    /// quarter of it is free.
    ///
    /// Default: 10,000. Valid: 1 to 1,000,000.
    #[must_use]
    pub fn max_in_flight(mut self, records: usize) -> Self {
        self.max_in_flight = records;
        self
    }

    /// Sets the same as [`max_in_flight`](Self::max_in_flight) by bytes, for sources that give sizes. A record
    /// goes in while there is any room, so that the largest may exceed this by itself.
    ///
    /// Default: 64 MiB. Valid: 64 KiB to 16 GiB.
    #[must_use]
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.max_in_flight_bytes = bytes;
        self
    }

    /// Sets how long an end may take in all: from the request to stop, or from the error, until the
    /// pipeline has returned. Four fifths of it are for finishing what is in flight, or for
    /// flushing the sink after an error; what is not durable by then is given up, un-acknowledged.
    /// The rest is for storing the source's positions and closing the sinks.
    ///
    /// Default: 25 s, within the 30 s that Kubernetes gives. Valid: 10 ms to 24 h.
    #[must_use]
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.stop_timeout = timeout;
        self
    }

    /// Sets the longest time for which the sink, or the dead-letter output, may have something and
    /// settle nothing: write, reject or drop. Then the pipeline ends with
    /// [`PipelineError::Stalled`], which is retryable, so that others can have its partitions;
    /// without, a sink that never answers keeps them for ever, since the source goes on polling.
    /// `None` switches it off. A line is logged each time that nothing was settled for a minute.
    ///
    /// It must be longer than what the sink may take by itself: than the time for which it collects
    /// values (`linger`), or waits for more of them, and than the time after which it gives up by
    /// itself, whose error names the reason. A Kafka sink does so after its `delivery_timeout`, 5
    /// minutes by default. A table's writes are tried again until their deadline; without one, an
    /// outage of the table ends the pipeline after this time.
    ///
    /// What waits in an operator is not the sink's, and does not count: a lookup that is tried
    /// again without end holds the pipeline back for as long as the outage lasts. While lookups
    /// fail, the sink's time is not counted either, since it may wait for what they hold back. Nor
    /// is the time for which the process itself is stopped.
    ///
    /// A sink that settles some values and keeps one for ever does not end the pipeline: once its
    /// oldest record has been the same for this time (for 10 min where this is `None`), that is
    /// logged as a warning, with the record's position, and
    /// [`PipelineStats::health`](super::PipelineStats::health) names it.
    ///
    /// It has no effect where a pipeline ends in transactions: each of their calls has a time of its own.
    ///
    /// Default: 10 min. Valid: 1 s to 24 h, or none.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.stall_timeout = timeout.into();
        self
    }
}

settings_type!(PipelineSettings);

impl Section for PipelineSettings {
    const PLACE: SettingsPlace = SettingsPlace::Pipeline;

    fn check(&self) -> Result<(), ConfigError> {
        let place = Self::PLACE;
        MAX_IN_FLIGHT.check(&place, self.max_in_flight)?;
        MAX_IN_FLIGHT_BYTES.check(&place, Bytes(self.max_in_flight_bytes))?;
        STOP_TIMEOUT.check(&place, self.stop_timeout)?;
        self.stall_timeout
            .map_or(Ok(()), |timeout| STALL_TIMEOUT.check(&place, timeout))
    }

    fn allowed(path: &str) -> Option<String> {
        allowed_at(path, &[MAX_IN_FLIGHT])
            .or_else(|| allowed_at(path, &[MAX_IN_FLIGHT_BYTES]))
            .or_else(|| allowed_at(path, &[STOP_TIMEOUT, STALL_TIMEOUT]))
    }
}

impl PipelineSettings {
    pub(super) fn get_name(&self) -> &str {
        &self.name
    }

    pub(super) fn stall(&self) -> Option<Duration> {
        self.stall_timeout
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            records: self.max_in_flight,
            bytes: self.max_in_flight_bytes,
        }
    }

    /// Returns the part of [`stop`](Self::stop) for what is in flight.
    pub(super) fn drain(&self) -> Duration {
        self.stop_timeout.mul_f64(0.8)
    }

    pub(super) fn stop(&self) -> Duration {
        self.stop_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_range_is_named_with_its_range() {
        let error = PipelineSettings::default().max_in_flight(0).validate();
        assert_eq!(
            error.unwrap_err().to_string(),
            "pipeline: max_in_flight is 0, allowed 1 to 1000000"
        );
        let error = PipelineSettings::default().stop_timeout(Duration::ZERO);
        assert_eq!(error.validate().unwrap_err().field(), Some("stop_timeout"));
        let error = PipelineSettings::default().stall_timeout(Duration::from_millis(5));
        assert_eq!(error.validate().unwrap_err().field(), Some("stall_timeout"));
        let off = PipelineSettings::default().stall_timeout(None);
        off.validate().expect("none is allowed");
        PipelineSettings::default()
            .validate()
            .expect("the defaults");
    }

    #[test]
    fn settings_are_read_with_units_and_unknown_fields_are_refused() {
        let read: PipelineSettings =
            serde_json::from_str(r#"{"max_in_flight": 5, "stop_timeout": "2s"}"#).unwrap();
        let expected = PipelineSettings::default().max_in_flight(5);
        let off = serde_json::from_str::<PipelineSettings>(r#"{"stall_timeout": "none"}"#);
        assert_eq!(
            off.unwrap(),
            PipelineSettings::default().stall_timeout(None)
        );
        assert_eq!(read, expected.stop_timeout(Duration::from_secs(2)));
        serde_json::from_str::<PipelineSettings>(r#"{"in_flight": 5}"#).unwrap_err();
    }
}
