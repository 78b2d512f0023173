//! Settings of the scan of a table beside its stream.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::{
    Bound, Bytes, ConfigError, Section, SettingsPlace, allowed_at, settings_type, units,
};

/// The name of the field that holds these settings within those of a stream.
const PART: &str = "snapshot";

const SEGMENTS: Bound<usize> = Bound::new("snapshot.segments", 1, 64);
/// Source of the upper end: a table's default quota is 40,000; this allows for a raised one.
const READ_UNITS: Bound<usize> = Bound::new("snapshot.read_units", 1, 1_000_000);
const SETTLING: Bound<Duration> =
    Bound::new("snapshot.settling", Duration::ZERO, Duration::from_secs(60));
const HOLD: Bound<Bytes> = Bound::new("snapshot.hold_bytes", Bytes(1 << 20), Bytes(1 << 30));

/// Settings of a table's snapshot, for [`StartPosition::Snapshot`](super::super::StartPosition::Snapshot) and
/// [`GapPolicy::Rescan`](crate::GapPolicy::Rescan).
///
/// They are the field `snapshot` of [`StreamsSettings`](super::super::StreamsSettings), and can be read from a file by
/// themselves. Setters never fail: a value out of range is found when the source is opened, or by
/// [`validate`](Self::validate). Through serde each field has its setter's name; times and sizes are text with a unit
/// (`"2s"`, `"16MiB"`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct SnapshotSettings {
    segments: usize,
    read_units: usize,
    #[serde(with = "units::duration")]
    settling: Duration,
    #[serde(with = "units::size")]
    hold_bytes: usize,
}

impl Default for SnapshotSettings {
    fn default() -> Self {
        Self {
            segments: 4,
            read_units: 500,
            settling: Duration::from_secs(2),
            hold_bytes: 16 << 20,
        }
    }
}

impl SnapshotSettings {
    /// Sets the number of parts of the table that are scanned at the same time. A snapshot that has begun keeps the
    /// number that it began with. Default: 4. Valid: 1 to 64.
    #[must_use]
    pub fn segments(mut self, segments: usize) -> Self {
        self.segments = segments;
        self
    }

    /// Sets the read units a second that the scan may use on average. A strongly consistent read of 4 KB takes one. The
    /// units that the service reports for a page are counted. Default: 500, about 2 MB a second. Valid: 1 to 1,000,000.
    ///
    /// The first page of each segment, of 16 items, is requested before the items' size is known.
    #[must_use]
    pub fn read_units(mut self, units: usize) -> Self {
        self.read_units = units;
        self
    }

    /// Sets the longest time that a change takes to appear in the stream: a page of the scan is kept until every shard
    /// was read as it was this long after the page. If it is too short, an item may be given that a change not yet in
    /// the stream has made old; the change follows. Default: 2 s. Valid: 0 to 60 s.
    #[must_use]
    pub fn settling(mut self, time: Duration) -> Self {
        self.settling = time;
        self
    }

    /// Sets the number of bytes of scanned pages that may be held or out, beside those of the stream's records. At the
    /// limit, scanning waits; one page may be held whatever its size. Each segment may have a page of 1 MB on its way.
    /// Default: 16 MiB. Valid: 1 MiB to 1 GiB.
    #[must_use]
    pub fn hold_bytes(mut self, bytes: usize) -> Self {
        self.hold_bytes = bytes;
        self
    }

    /// Checks every field, as one named `snapshot` of the settings at `place`.
    pub(in super::super) fn check_within(&self, place: &SettingsPlace) -> Result<(), ConfigError> {
        SEGMENTS.check(place, self.segments)?;
        READ_UNITS.check(place, self.read_units)?;
        SETTLING.check(place, self.settling)?;
        HOLD.check(place, Bytes(self.hold_bytes))
    }

    /// Returns the allowed values of the field at `path`, which begins with `snapshot`, in words.
    pub(in super::super) fn allowed_within(path: &str) -> Option<String> {
        allowed_at(path, &[SEGMENTS, READ_UNITS])
            .or_else(|| allowed_at(path, &[SETTLING]))
            .or_else(|| allowed_at(path, &[HOLD]))
    }

    pub(super) fn get_segments(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.segments).unwrap_or(NonZeroUsize::MIN)
    }

    pub(super) fn get_read_units(&self) -> usize {
        self.read_units
    }

    pub(super) fn get_settling(&self) -> Duration {
        self.settling
    }

    pub(super) fn get_hold_bytes(&self) -> usize {
        self.hold_bytes
    }
}

settings_type!(SnapshotSettings);

impl Section for SnapshotSettings {
    const PLACE: SettingsPlace = SettingsPlace::Snapshot;

    fn check(&self) -> Result<(), ConfigError> {
        self.check_within(&Self::PLACE)
            .map_err(|error| error.of_part(PART))
    }

    fn allowed(path: &str) -> Option<String> {
        Self::allowed_within(&format!("{PART}.{path}"))
    }
}
