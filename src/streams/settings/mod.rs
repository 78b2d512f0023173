//! The settings of reading a table's changes, and of sharing them in a fleet. Their bounds are in
//! `bounds`.

mod bounds;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::snapshot::SnapshotSettings;
use super::start::StartPosition;
use crate::gap::GapPolicy;
use crate::retry::RetryPolicy;
use crate::settings::units;

/// The settings of reading and handling a table's changes.
///
/// Every field has a default, and setters never fail: values out of range are found when the source
/// is opened, or by [`validate`](Self::validate). Through serde each field has its setter's name;
/// durations and sizes are text with a unit (`"200ms"`, `"64MiB"`).
///
/// ```
/// use std::time::Duration;
/// use dynamodb_connector::streams::StreamsSettings;
///
/// let quick = StreamsSettings::default().poll(Duration::from_millis(10));
/// quick.validate()?;
///
/// let refused = quick.failover(Duration::from_millis(5)).validate().unwrap_err();
/// assert_eq!(refused.to_string(), "streams: failover is 5ms, allowed 1s to 10m");
/// # Ok::<(), dynamodb_connector::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct StreamsSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    start: StartPosition,
    #[serde(with = "units::duration")]
    poll: Duration,
    #[serde(with = "units::duration")]
    idle_poll: Duration,
    #[serde(with = "units::duration")]
    idle_after: Duration,
    page_records: usize,
    #[serde(with = "units::duration")]
    failover: Duration,
    #[serde(with = "units::duration")]
    checkpoint_interval: Duration,
    #[serde(with = "units::duration")]
    discovery_interval: Duration,
    #[serde(with = "units::size")]
    buffer_bytes: usize,
    #[serde(with = "units::duration")]
    request_timeout: Duration,
    #[serde(with = "units::duration")]
    drain_timeout: Duration,
    batch_records: usize,
    #[serde(with = "units::duration")]
    batch_window: Duration,
    parallelism: usize,
    retry: RetryPolicy,
    bisect: bool,
    #[serde(with = "units::duration_or_none")]
    max_age: Option<Duration>,
    on_gap: GapPolicy,
    snapshot: SnapshotSettings,
}

impl Default for StreamsSettings {
    fn default() -> Self {
        Self {
            lease_table: None,
            worker: None,
            start: StartPosition::default(),
            poll: Duration::from_millis(200),
            idle_poll: Duration::from_secs(1),
            idle_after: Duration::from_secs(60),
            page_records: 1000,
            failover: Duration::from_secs(10),
            checkpoint_interval: Duration::from_secs(1),
            discovery_interval: Duration::from_secs(30),
            buffer_bytes: 64 << 20,
            request_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(10),
            batch_records: 100,
            batch_window: Duration::ZERO,
            parallelism: 1,
            retry: RetryPolicy::default(),
            bisect: true,
            max_age: None,
            on_gap: GapPolicy::Fail,
            snapshot: SnapshotSettings::default(),
        }
    }
}

impl StreamsSettings {
    /// Sets the table that holds the leases and, with them, the checkpoints, by its name or its ARN. It is the
    /// application's name, as in the KCL: every worker of one application uses the same, and two applications
    /// never do. It is created in on-demand mode if it is missing. Default: the table's name and `-leases`.
    /// Valid: 1 to 1,024 bytes.
    #[must_use]
    pub fn lease_table(mut self, name: impl Into<String>) -> Self {
        self.lease_table = Some(name.into());
        self
    }

    /// Sets this worker's name in the lease table. A random suffix distinguishes it from others of its name, so
    /// that workers may share a file. Default: the host's name and the process ID. Valid: 1 to 1,024 bytes.
    #[must_use]
    pub fn worker(mut self, name: impl Into<String>) -> Self {
        self.worker = Some(name.into());
        self
    }

    /// Sets the position at which an application without leases begins. Default: [`StartPosition::TrimHorizon`].
    ///
    /// In a settings file `"trim_horizon"`, `"latest"`, `"snapshot"`, or a time in UTC such as
    /// `"2026-01-31T08:00:00Z"`, in TOML with or without quotation marks.
    #[must_use]
    pub fn start(mut self, position: StartPosition) -> Self {
        self.start = position;
        self
    }

    /// Sets the interval after which a shard is read again if the page was not full, counted from
    /// the start of that read.
    ///
    /// A change waits for half of it on average. Each read is billed, and a shard allows about five a second for all readers
    /// together. Default: 200 ms, which is five a second. Valid: 1 ms to 60 s. After a full page the next read follows at once.
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// Sets the poll interval of a shard that has had no change for [`idle_after`](Self::idle_after);
    /// [`poll`](Self::poll) applies if that is longer. The first change after a quiet time waits for up to this
    /// interval; a thousand idle shards cost a thousand reads per interval. Default: 1 s. Valid: 1 ms to 60 s.
    #[must_use]
    pub fn idle_poll(mut self, interval: Duration) -> Self {
        self.idle_poll = interval;
        self
    }

    /// Sets the time without changes after which a shard counts as idle. Default: 60 s. Valid: 0 to 1 h.
    #[must_use]
    pub fn idle_after(mut self, time: Duration) -> Self {
        self.idle_after = time;
        self
    }

    /// Sets the maximum number of records that a read asks for. Default: 1,000. Valid: 1 to 1,000.
    #[must_use]
    pub fn page_records(mut self, records: usize) -> Self {
        self.page_records = records;
        self
    }

    /// Sets the time that a worker may be silent before others take its shards.
    ///
    /// A dead worker's shards are read again within this time plus 3 s. Leases are renewed every
    /// third of it, and the lease table is read every tenth. All workers of an application should
    /// have the same value. Default: 10 s, as in the KCL. Valid: 1 s to 10 min.
    #[must_use]
    pub fn failover(mut self, time: Duration) -> Self {
        self.failover = time;
        self
    }

    /// Sets the least time between two stored checkpoints of a shard; each is one write to the lease table. The end of a shard, and giving it
    /// up, are stored at once. Records handled since the last checkpoint are given again after a crash. Default: 1 s. Valid: 10 ms to 1 h.
    #[must_use]
    pub fn checkpoint_interval(mut self, interval: Duration) -> Self {
        self.checkpoint_interval = interval;
        self
    }

    /// Sets the interval at which the fleet lists the stream's shards, besides whenever a shard ends. Default: 30 s. Valid: 1 s to 1 h.
    #[must_use]
    pub fn discovery_interval(mut self, interval: Duration) -> Self {
        self.discovery_interval = interval;
        self
    }

    /// Sets the maximum bytes of records that are read and not yet done, for all shards of this worker together.
    ///
    /// Each shard has an even part of it. A shard may always hold one page, for which fewer records
    /// are requested if the part is small. Default: 64 MiB. Valid: 1 MiB to 16 GiB.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Sets the timeout of one request. Default: 5 s. Valid: 100 ms to 60 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the time to wait for records that were handed out when a shard is handed over, or the source is closed.
    /// Records not done by then are given again by the shard's next reader. Default: 10 s. Valid: 0 to 10 min.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Sets the maximum number of records in a handler's batch. Default: 100, as in Lambda. Valid: 1 to 10,000.
    #[must_use]
    pub fn batch_records(mut self, records: usize) -> Self {
        self.batch_records = records;
        self
    }

    /// Sets the time that records wait for a batch to fill. Default: 0, so a batch holds the records that are there. Valid: 0 to 300 s.
    #[must_use]
    pub fn batch_window(mut self, window: Duration) -> Self {
        self.batch_window = window;
        self
    }

    /// Sets the number of batches of one shard that are handled at once. Changes of one item are still handled in order, batch
    /// after batch; those of different items may be handled in another order than they were made in. Default: 1. Valid: 1 to 1,000.
    #[must_use]
    pub fn parallelism(mut self, batches: usize) -> Self {
        self.parallelism = batches;
        self
    }

    /// Sets the retries of a batch whose handler failed. `max_attempts` needs a dead-letter handler. Without a maximum a batch is retried
    /// until it is handled, and its shard, or with [`parallelism`](Self::parallelism) its part of it, waits. The budget is not used.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets whether a batch whose handler failed is split in two, until the failing record is
    /// alone. As in Lambda, splitting does not count as an attempt. Default: true.
    #[must_use]
    pub fn bisect(mut self, bisect: bool) -> Self {
        self.bisect = bisect;
        self
    }

    /// Sets the age beyond which records are dead-lettered and not handled. Needs a dead-letter
    /// handler. Default: none. Valid: 60 s to 24 h.
    #[must_use]
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.max_age = age.into();
        self
    }

    /// Sets the reaction to changes that were lost before they were read. Default: [`GapPolicy::Fail`].
    #[must_use]
    pub fn on_gap(mut self, policy: GapPolicy) -> Self {
        self.on_gap = policy;
        self
    }

    /// Sets how the table is scanned, for a start by snapshot and for [`GapPolicy::Rescan`]. Default:
    /// [`SnapshotSettings::default`].
    #[must_use]
    pub fn snapshot(mut self, settings: SnapshotSettings) -> Self {
        self.snapshot = settings;
        self
    }
}

/// The getters that the source uses.
impl StreamsSettings {
    /// Returns the name of the lease table of the application that reads this table, if it has no other.
    pub(super) fn lease_table_of(&self, table: &str) -> String {
        let name = self.lease_table.clone();
        name.unwrap_or_else(|| format!("{table}-leases"))
    }

    pub(super) fn get_worker(&self) -> Option<&str> {
        self.worker.as_deref()
    }

    pub(super) fn get_start(&self) -> StartPosition {
        self.start
    }

    pub(super) fn get_poll(&self) -> (Duration, Duration, Duration) {
        (self.poll, self.idle_poll, self.idle_after)
    }

    pub(super) fn get_page_records(&self) -> usize {
        self.page_records
    }

    pub(super) fn get_failover(&self) -> Duration {
        self.failover
    }

    pub(super) fn get_checkpoint_interval(&self) -> Duration {
        self.checkpoint_interval
    }

    pub(super) fn get_discovery_interval(&self) -> Duration {
        self.discovery_interval
    }

    pub(super) fn get_buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    pub(super) fn get_request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Returns the timeout of a lease's write: a renewal that hangs must leave time for another before the lease lapses.
    pub(super) fn lease_timeout(&self) -> Duration {
        self.request_timeout.min(self.failover / 4)
    }

    pub(super) fn get_drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    pub(super) fn get_batch_records(&self) -> usize {
        self.batch_records
    }

    pub(super) fn get_batch_window(&self) -> Duration {
        self.batch_window
    }

    pub(super) fn get_parallelism(&self) -> usize {
        self.parallelism
    }

    pub(super) fn get_retry(&self) -> &RetryPolicy {
        &self.retry
    }

    pub(super) fn get_bisect(&self) -> bool {
        self.bisect
    }

    pub(super) fn get_max_age(&self) -> Option<Duration> {
        self.max_age
    }

    pub(super) fn get_snapshot(&self) -> &SnapshotSettings {
        &self.snapshot
    }

    pub(super) fn get_on_gap(&self) -> GapPolicy {
        self.on_gap
    }
}
