//! The bounds of a source's settings.

use std::time::Duration;

use super::StreamsSettings;
use crate::retry::RetryPolicy;
use crate::settings::{
    Bound, Bytes, ConfigError, Section, SettingsPlace, allowed_at, settings_type,
};
use crate::streams::snapshot::SnapshotSettings;

/// Source of the upper end: the longest ARN in `TableName`, API reference of DynamoDB.
const LEASE_TABLE: Bound<Bytes> = Bound::new("lease_table", Bytes(1), Bytes(1024));
/// Chosen as for the lease table, in each row of which it stands.
const WORKER: Bound<Bytes> = Bound::new("worker", Bytes(1), Bytes(1024));
const POLL: Bound<Duration> = Bound::new("poll", Duration::from_millis(1), Duration::from_secs(60));
const IDLE_POLL: Bound<Duration> = Bound::new(
    "idle_poll",
    Duration::from_millis(1),
    Duration::from_secs(60),
);
const IDLE_AFTER: Bound<Duration> =
    Bound::new("idle_after", Duration::ZERO, Duration::from_secs(60 * 60));
/// Source of the upper end: `Limit` of `GetRecords`, API reference of DynamoDB Streams.
const PAGE_RECORDS: Bound<usize> = Bound::new("page_records", 1, 1000);
const FAILOVER: Bound<Duration> = Bound::new(
    "failover",
    Duration::from_secs(1),
    Duration::from_secs(10 * 60),
);
const CHECKPOINT: Bound<Duration> = Bound::new(
    "checkpoint_interval",
    Duration::from_millis(10),
    Duration::from_secs(60 * 60),
);
const DISCOVERY: Bound<Duration> = Bound::new(
    "discovery_interval",
    Duration::from_secs(1),
    Duration::from_secs(60 * 60),
);
const BUFFER: Bound<Bytes> = Bound::new("buffer_bytes", Bytes(1 << 20), Bytes(16 << 30));
const REQUEST_TIMEOUT: Bound<Duration> = Bound::new(
    "request_timeout",
    Duration::from_millis(100),
    Duration::from_secs(60),
);
const DRAIN: Bound<Duration> =
    Bound::new("drain_timeout", Duration::ZERO, Duration::from_secs(600));
/// Source of the upper end: the largest batch of a Lambda event source mapping on DynamoDB Streams.
const BATCH_RECORDS: Bound<usize> = Bound::new("batch_records", 1, 10_000);
/// As for Lambda's `MaximumBatchingWindowInSeconds`.
const BATCH_WINDOW: Bound<Duration> =
    Bound::new("batch_window", Duration::ZERO, Duration::from_secs(300));
const PARALLELISM: Bound<usize> = Bound::new("parallelism", 1, 1000);
const MAX_AGE: Bound<Duration> = Bound::new(
    "max_age",
    Duration::from_secs(60),
    Duration::from_secs(24 * 60 * 60),
);

settings_type!(StreamsSettings);

impl Section for StreamsSettings {
    const PLACE: SettingsPlace = SettingsPlace::Streams;

    fn check(&self) -> Result<(), ConfigError> {
        let place = Self::PLACE;
        for (bound, name) in [(LEASE_TABLE, &self.lease_table), (WORKER, &self.worker)] {
            if let Some(name) = name {
                bound.check(&place, Bytes(name.len()))?;
            }
        }
        POLL.check(&place, self.poll)?;
        IDLE_POLL.check(&place, self.idle_poll)?;
        IDLE_AFTER.check(&place, self.idle_after)?;
        PAGE_RECORDS.check(&place, self.page_records)?;
        FAILOVER.check(&place, self.failover)?;
        CHECKPOINT.check(&place, self.checkpoint_interval)?;
        DISCOVERY.check(&place, self.discovery_interval)?;
        BUFFER.check(&place, Bytes(self.buffer_bytes))?;
        REQUEST_TIMEOUT.check(&place, self.request_timeout)?;
        DRAIN.check(&place, self.drain_timeout)?;
        BATCH_RECORDS.check(&place, self.batch_records)?;
        BATCH_WINDOW.check(&place, self.batch_window)?;
        PARALLELISM.check(&place, self.parallelism)?;
        if let Some(age) = self.max_age {
            MAX_AGE.check(&place, age)?;
        }
        self.snapshot.check_within(&place)?;
        self.retry.check_within(&place)
    }

    fn allowed(path: &str) -> Option<String> {
        allowed_at(path, &[POLL, IDLE_POLL, IDLE_AFTER, FAILOVER])
            .or_else(|| allowed_at(path, &[CHECKPOINT, DISCOVERY, REQUEST_TIMEOUT]))
            .or_else(|| allowed_at(path, &[DRAIN, BATCH_WINDOW, MAX_AGE]))
            .or_else(|| allowed_at(path, &[PAGE_RECORDS, BATCH_RECORDS, PARALLELISM]))
            .or_else(|| allowed_at(path, &[BUFFER, LEASE_TABLE, WORKER]))
            .or_else(|| SnapshotSettings::allowed_within(path))
            .or_else(|| RetryPolicy::allowed_within(path))
    }
}
