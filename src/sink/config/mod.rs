//! The settings of one table. Their bounds are in `bounds`.

mod bounds;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capacity::{Concurrency, Rate};
use crate::retry::RetryPolicy;
use crate::settings::units;

/// The settings of one table.
///
/// Every field has a default, and setters never fail: a value out of range is found when the table
/// is opened, or by [`validate`](Self::validate).
///
/// ```
/// use std::time::Duration;
/// use dynamodb_connector::sink::TableSettings;
///
/// let settings = TableSettings::default().concurrency(8).linger(Duration::from_millis(5));
/// settings.validate()?;
///
/// let refused = settings.max_batch_items(26).validate().unwrap_err();
/// assert_eq!(refused.to_string(), "table: max_batch_items is 26, allowed 1 to 25");
/// # Ok::<(), dynamodb_connector::ConfigError>(())
/// ```
///
/// A file holds those of one table, read by [`from_path`](Self::from_path), or those of all tables
/// of a sink with what they have in common:
/// [`DynamoDbSinkSettings`](super::DynamoDbSinkSettings), whose messages name the table. Through
/// serde, each field has its setter's name; durations and sizes are text with a unit:
///
/// ```toml
/// concurrency = { min = 1, max = 64 }   # or a fixed number
/// rate = "adaptive"                     # or "unlimited", or write units a second
/// max_batch_bytes = "8MiB"
/// linger = "5ms"
/// deadline = "1m 30s"                   # or "none"
///
/// [retry]
/// max_attempts = 20                     # or "none"
/// budget.ratio = 0.1
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct TableSettings {
    concurrency: Concurrency,
    rate: Rate,
    burst: bool,
    share: f64,
    #[serde(with = "units::duration")]
    refresh: Duration,
    max_batch_items: usize,
    #[serde(with = "units::size")]
    max_batch_bytes: usize,
    #[serde(with = "units::duration")]
    linger: Duration,
    buffer_records: usize,
    #[serde(with = "units::size")]
    buffer_bytes: usize,
    max_key_share: f64,
    coalesce: bool,
    consumed_capacity: bool,
    retry: RetryPolicy,
    #[serde(with = "units::duration_or_none")]
    deadline: Option<Duration>,
    #[serde(with = "units::duration")]
    request_timeout: Duration,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self {
            concurrency: Concurrency::default(),
            rate: Rate::default(),
            burst: true,
            share: 1.0,
            refresh: Duration::from_secs(10),
            max_batch_items: 25,
            max_batch_bytes: 16 << 20,
            linger: Duration::from_millis(1),
            buffer_records: 10_000,
            buffer_bytes: 64 << 20,
            max_key_share: 0.25,
            coalesce: false,
            consumed_capacity: false,
            retry: RetryPolicy::default(),
            deadline: None,
            request_timeout: Duration::from_secs(10),
        }
    }
}

impl TableSettings {
    /// Sets the number of requests that may be in flight at once: a fixed number, or a range to
    /// adapt in.
    ///
    /// Default: `1..=32`. Valid: 1 to 1,000. Takes `8` as well as `1..=64`.
    #[must_use]
    pub fn concurrency(mut self, requests: impl Into<Concurrency>) -> Self {
        self.concurrency = requests.into();
        self
    }

    /// Sets the write units a second that are asked of the table: found from its answers, a fixed
    /// number, or no limit.
    ///
    /// Default: [`Rate::Adaptive`]. Valid: 1 to 10,000,000 write units a second. Takes `500` as
    /// well as [`Rate::Unlimited`].
    #[must_use]
    pub fn rate(mut self, rate: impl Into<Rate>) -> Self {
        self.rate = rate.into();
        self
    }

    /// Sets whether burst credit is looked for: capacity that a provisioned table has left unused
    /// and keeps for up to 300 s. It is found by asking for more than is provisioned. Default:
    /// `true`.
    ///
    /// `false` leaves it to the table's other clients. Has no effect where [`rate`](Self::rate) is
    /// fixed or unlimited.
    #[must_use]
    pub fn burst(mut self, look_for_it: bool) -> Self {
        self.burst = look_for_it;
        self
    }

    /// Sets the share of the table's capacity that this sink may use, where the capacity is known:
    /// `1/N` for one of N sinks that run behind leases. Of the burst credit it then spends only
    /// what it left unused of its own share.
    ///
    /// Default: 1, all that the others leave. Valid: 0.001 to 1. Has no effect where
    /// [`rate`](Self::rate) is fixed or unlimited.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Sets the age at which the known capacity of the table is out of date. The table is then
    /// described again, if it is written to.
    ///
    /// Default: 10 s. Valid: 1 s to 24 h. It is described earlier if the known numbers don't
    /// explain that it throttles.
    #[must_use]
    pub fn refresh(mut self, oldest: Duration) -> Self {
        self.refresh = oldest;
        self
    }

    /// Sets the largest number of records in a batch. Default: 25, which is DynamoDB's limit.
    /// Valid: 1 to 25.
    #[must_use]
    pub fn max_batch_items(mut self, records: usize) -> Self {
        self.max_batch_items = records;
        self
    }

    /// Sets the largest size of a batch's request, in bytes as sent. A single record that is larger
    /// is sent alone.
    ///
    /// Default: 16 MiB (16,777,216 bytes), which is DynamoDB's limit. Valid: 512 KiB to 16 MiB.
    #[must_use]
    pub fn max_batch_bytes(mut self, bytes: usize) -> Self {
        self.max_batch_bytes = bytes;
        self
    }

    /// Sets the longest time that a record waits for others to fill its batch. Default: 1 ms.
    /// Valid: 0 to 60 s.
    ///
    /// It is a bound, not a delay of every record. While less than half of the concurrency is in
    /// use (of its upper end, for a range) nothing waits. Behind a limit that is reached, batches
    /// fill by themselves. Timers tick in milliseconds, so 1 ms is up to 2.
    #[must_use]
    pub fn linger(mut self, longest: Duration) -> Self {
        self.linger = longest;
        self
    }

    /// Sets the largest number of records that are accepted and not yet settled. A submit beyond
    /// waits.
    ///
    /// Default: 10,000. Valid: from `max_batch_items` to 10,000,000.
    #[must_use]
    pub fn buffer_records(mut self, records: usize) -> Self {
        self.buffer_records = records;
        self
    }

    /// Sets the largest size, in bytes of memory, of all records that are accepted and not yet
    /// settled. A submit beyond waits. A record counts with its data as sent, its key where that is
    /// longer than 46 bytes, and 832 bytes for its place in the queue and its receipt.
    ///
    /// Default: 64 MiB. Valid: 4 MiB to 1 GiB. All tables together are bounded by
    /// [`DynamoDbSinkSettings::buffer_bytes`](super::DynamoDbSinkSettings::buffer_bytes).
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Sets the share of the buffer that records of one partition key may take, so that one hot key
    /// leaves room for the others. It also bounds the records that enter a global index, while that
    /// is short of capacity.
    ///
    /// Default: 0.25. Valid: 0.001 to 1.
    #[must_use]
    pub fn max_key_share(mut self, share: f64) -> Self {
        self.max_key_share = share;
        self
    }

    /// Sets whether a newer write of a key takes the place of one that was not sent yet. Default:
    /// `false`.
    ///
    /// Saves capacity where only the last value counts. The older write has its outcome with the
    /// newer one: superseded, or written if that fails unsent. It does not wait for that beyond its
    /// own [`deadline`](Self::deadline): there it is rejected, and the newer one is still sent. A
    /// reader of the table's change stream never sees a value that was superseded.
    #[must_use]
    pub fn coalesce(mut self, coalesce: bool) -> Self {
        self.coalesce = coalesce;
        self
    }

    /// Sets whether the service is asked what each request consumed (`ReturnConsumedCapacity`), for
    /// [`TableStats::consumed_units`](super::TableStats) and its metric. Default: `false`.
    ///
    /// Where the table's capacity is known and [`rate`](Self::rate) is adaptive it is asked in any
    /// case, because the budgets are corrected by it. The report costs CPU on both sides, and
    /// DynamoDB Local a fifth of its speed and more.
    #[must_use]
    pub fn consumed_capacity(mut self, ask: bool) -> Self {
        self.consumed_capacity = ask;
        self
    }

    /// Sets when a record whose write failed is sent again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets the time after its submission at which a record is given up if it is not written.
    ///
    /// This bounds the time that a receipt waits:
    /// [`RejectReason::DeadlineExceeded`](super::RejectReason) comes at the deadline, in an outage
    /// as well. Only a request in flight at that moment is waited for, since its answer may say
    /// that the record is written: for [`request_timeout`](Self::request_timeout) at most.
    ///
    /// Default: `None`, never. Valid: 10 ms to 24 h. In a settings file a duration, or `"none"`.
    #[must_use]
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Sets the time that a request may take before its answer counts as lost. Default: 10 s.
    /// Valid: 100 ms to 5 min.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    pub(crate) fn get_concurrency(&self) -> Concurrency {
        self.concurrency
    }

    pub(crate) fn get_max_batch_items(&self) -> usize {
        self.max_batch_items
    }

    pub(crate) fn get_max_batch_bytes(&self) -> usize {
        self.max_batch_bytes
    }

    pub(crate) fn get_linger(&self) -> Duration {
        self.linger
    }

    pub(crate) fn get_buffer_records(&self) -> usize {
        self.buffer_records
    }

    pub(crate) fn get_buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Returns the number of records that one partition key may have in the buffer: its share of
    /// the records, at least one.
    pub(crate) fn key_share_records(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "at most 10 million records, and a share between 0 and 1"
        )]
        let records = (self.buffer_records as f64 * self.max_key_share) as usize;
        records.max(1)
    }

    pub(crate) fn get_consumed_capacity(&self) -> bool {
        self.consumed_capacity
    }

    pub(crate) fn get_coalesce(&self) -> bool {
        self.coalesce
    }

    pub(crate) fn get_retry(&self) -> &RetryPolicy {
        &self.retry
    }

    pub(crate) fn get_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    pub(crate) fn get_request_timeout(&self) -> Duration {
        self.request_timeout
    }
}

impl TableSettings {
    pub(crate) fn get_rate(&self) -> Rate {
        self.rate
    }

    pub(crate) fn get_burst(&self) -> bool {
        self.burst
    }

    pub(crate) fn get_share(&self) -> f64 {
        self.share
    }

    pub(crate) fn get_refresh(&self) -> Duration {
        self.refresh
    }
}

#[cfg(test)]
mod tests;
