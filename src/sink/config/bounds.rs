//! The bounds of a table's settings.

use std::time::Duration;

use super::TableSettings;
use crate::capacity::{Concurrency, Rate};
use crate::retry::RetryPolicy;
use crate::settings::{
    Bound, Bytes, ConfigError, Section, SettingsPlace, allowed_at, settings_type,
};

const MAX_BATCH_ITEMS: Bound<usize> = Bound::new("max_batch_items", 1, 25);
const MAX_BATCH_BYTES: Bound<Bytes> =
    Bound::new("max_batch_bytes", Bytes(512 << 10), Bytes(16 << 20));
const LINGER: Bound<Duration> = Bound::new("linger", Duration::ZERO, Duration::from_secs(60));
const BUFFER_RECORDS: Bound<usize> = Bound::new("buffer_records", 1, 10_000_000);
// The least holds one record of 400 KB whose text is all escapes of six bytes each.
const BUFFER_BYTES: Bound<Bytes> = Bound::new("buffer_bytes", Bytes(4 << 20), Bytes(1 << 30));
const MAX_KEY_SHARE: Bound<f64> = Bound::new("max_key_share", 0.001, 1.0);
const DEADLINE: Bound<Duration> = Bound::new(
    "deadline",
    Duration::from_millis(10),
    Duration::from_secs(24 * 60 * 60),
);
const REQUEST_TIMEOUT: Bound<Duration> = Bound::new(
    "request_timeout",
    Duration::from_millis(100),
    Duration::from_secs(300),
);
const SHARE: Bound<f64> = Bound::new("share", 0.001, 1.0);
const REFRESH: Bound<Duration> = Bound::new(
    "refresh",
    Duration::from_secs(1),
    Duration::from_secs(24 * 60 * 60),
);

impl TableSettings {
    /// Checks every field, as those of the table or the defaults at `place`.
    pub(crate) fn check_within(&self, place: &SettingsPlace) -> Result<(), ConfigError> {
        self.concurrency.check(place)?;
        self.rate.check(place)?;
        SHARE.check(place, self.share)?;
        REFRESH.check(place, self.refresh)?;
        MAX_BATCH_ITEMS.check(place, self.max_batch_items)?;
        MAX_BATCH_BYTES.check(place, Bytes(self.max_batch_bytes))?;
        LINGER.check(place, self.linger)?;
        BUFFER_RECORDS.check_from(
            place,
            self.buffer_records,
            self.max_batch_items,
            MAX_BATCH_ITEMS.field(),
        )?;
        BUFFER_BYTES.check(place, Bytes(self.buffer_bytes))?;
        MAX_KEY_SHARE.check(place, self.max_key_share)?;
        self.retry.check_within(place)?;
        if let Some(deadline) = self.deadline {
            DEADLINE.check(place, deadline)?;
        }
        REQUEST_TIMEOUT.check(place, self.request_timeout)
    }
}

settings_type!(TableSettings);

impl Section for TableSettings {
    const PLACE: SettingsPlace = SettingsPlace::UnnamedTable;

    fn check(&self) -> Result<(), ConfigError> {
        self.check_within(&Self::PLACE)
    }

    fn allowed(path: &str) -> Option<String> {
        allowed_at(path, &[MAX_BATCH_ITEMS, BUFFER_RECORDS])
            .or_else(|| allowed_at(path, &[MAX_BATCH_BYTES, BUFFER_BYTES]))
            .or_else(|| allowed_at(path, &[LINGER, DEADLINE, REQUEST_TIMEOUT, REFRESH]))
            .or_else(|| allowed_at(path, &[MAX_KEY_SHARE, SHARE]))
            .or_else(|| Concurrency::allowed(path))
            .or_else(|| Rate::allowed(path))
            .or_else(|| RetryPolicy::allowed_within(path))
    }
}
