//! The numbers of a table's sink: a snapshot for callers, and the metrics.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::limited::LimitedBy;
use super::outcome::Outcome;
use crate::capacity::{CapacityMode, Limit};
use crate::health::{Health, LastError};

/// A table's numbers at one moment; the totals count from opening.
///
/// The same and more go to the [`metrics`] facade:
///
/// | metric | kind | unit | what |
/// |---|---|---|---|
/// | `dynamodb_sink_written_total` | counter | writes | confirmed by the service |
/// | `dynamodb_sink_superseded_total` | counter | writes | replaced by a newer one of their key |
/// | `dynamodb_sink_condition_failed_total` | counter | writes | their condition did not hold |
/// | `dynamodb_sink_rejected_total` | counter | writes | rejected, or their answer lost for good |
/// | `dynamodb_sink_unwritten_total` | counter | writes | handed back |
/// | `dynamodb_sink_retried_total` | counter | writes | sent again, each time |
/// | `dynamodb_sink_throttled_total` | counter | writes | unprocessed or throttled, each time |
/// | `dynamodb_sink_requests_total` | counter | requests | sent |
/// | `dynamodb_sink_failed_requests_total` | counter | requests | answered by an error or not at all |
/// | `dynamodb_sink_consumed_units_total` | counter | write units | as the service counts, indexes included; where the table's capacity is known, or [`consumed_capacity`](super::TableSettings::consumed_capacity) is on |
/// | `dynamodb_sink_in_flight` | gauge | requests | under way now |
/// | `dynamodb_sink_concurrency` | gauge | requests | how many may be under way now |
/// | `dynamodb_sink_rate_units` | gauge | write units a second | that may leave now; infinite where nothing limits them |
/// | `dynamodb_sink_hot_keys` | gauge | partition keys | held back |
/// | `dynamodb_sink_held_writes` | gauge | writes | that wait for those |
/// | `dynamodb_sink_buffered_records` | gauge | writes | accepted and without outcome |
/// | `dynamodb_sink_buffered_bytes` | gauge | bytes | their size in the buffer |
/// | `dynamodb_sink_queue_age_seconds` | gauge | seconds | how long the oldest sendable write has waited |
/// | `dynamodb_sink_request_seconds` | histogram | seconds | from sending to answer |
/// | `dynamodb_sink_acknowledge_seconds` | histogram | seconds | from acceptance to `Written` |
/// | `dynamodb_sink_batch_items` | histogram | writes | in a batch |
/// | `dynamodb_sink_request_bytes` | histogram | bytes | of request bodies |
///
/// All carry the label `table`. Install the recorder of the [`metrics`] facade before opening a
/// sink: the handles are taken then.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TableStats {
    /// Writes confirmed by the service.
    pub written: u64,
    /// Writes replaced by a newer one of their key before they were sent.
    pub superseded: u64,
    /// Writes whose condition did not hold.
    pub condition_failed: u64,
    /// Writes rejected after they were accepted, or whose answer was lost for good.
    pub rejected: u64,
    /// Writes handed back.
    pub unwritten: u64,
    /// Writes sent again, each time counted.
    pub retried: u64,
    /// Writes left unprocessed or throttled, each time counted.
    pub throttled: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests answered by an error, or not at all. A condition that did not hold is an answer.
    pub failed_requests: u64,
    /// Write units consumed, as the service counts them, indexes included. It is asked where the
    /// table's capacity is known and [`rate`](super::TableSettings::rate) adaptive, or where
    /// [`consumed_capacity`](super::TableSettings::consumed_capacity) is on; else 0.
    pub consumed_units: f64,
    /// Requests under way.
    pub in_flight: usize,
    /// The number of requests that may be under way.
    pub concurrency: usize,
    /// Writes accepted and without outcome.
    pub buffered_records: usize,
    /// The size of those in the buffer, in bytes.
    pub buffered_bytes: usize,
    /// Callers that wait for room.
    pub waiting_callers: usize,
    /// The time that the oldest write that may be sent has waited.
    pub queue_age: Duration,
    /// The mode in which the table's capacity is paid for, as far as it is known.
    pub mode: CapacityMode,
    /// Write units a second that may leave now; `None` where nothing limits them.
    pub rate: Option<f64>,
    /// Partition keys that are held back since they ask for more than a partition gives.
    pub hot_keys: usize,
    /// Writes that wait for those.
    pub held: usize,
    /// The reason for which writes wait right now.
    pub limited_by: LimitedBy,
    /// The last request that failed, retried or not; `None` while none has.
    pub last_error: Option<LastError>,
}

impl fmt::Display for TableStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} written, {} rejected, {} handed back, {} retried, {} throttled, {} of {} requests \
             failed, {} buffered; limited by {}",
            self.written,
            self.rejected,
            self.unwritten,
            self.retried,
            self.throttled,
            self.failed_requests,
            self.requests,
            self.buffered_records,
            self.limited_by,
        )?;
        match &self.last_error {
            Some(LastError {
                operation,
                cause,
                at,
            }) => {
                let at = humantime::format_rfc3339_seconds(*at);
                write!(f, "; last error, {at}: {operation}: {cause}")
            }
            None => Ok(()),
        }
    }
}

/// The numbers that a worker publishes.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) stats: TableStats,
    pub(super) limit: Limit,
    pub(super) health: Health,
}

/// The numbers of a worker's budgets.
pub(super) struct Budgeted {
    pub(super) mode: CapacityMode,
    pub(super) rate: Option<f64>,
    pub(super) hot_keys: usize,
    pub(super) held: usize,
}

/// A table's metrics, and the totals behind [`TableStats`].
pub(super) struct Meter {
    pub(super) stats: TableStats,
    totals: Totals,
    levels: Levels,
    distributions: Distributions,
    /// Consumed units that were not yet a whole one, since counters are whole.
    units_left: f64,
}

/// The counters of a table, which only rise.
struct Totals {
    written: Counter,
    superseded: Counter,
    condition_failed: Counter,
    rejected: Counter,
    unwritten: Counter,
    retried: Counter,
    throttled: Counter,
    requests: Counter,
    failed_requests: Counter,
    consumed_units: Counter,
}

/// The gauges of a table, each with its value at present.
struct Levels {
    in_flight: Gauge,
    concurrency: Gauge,
    rate_units: Gauge,
    hot_keys: Gauge,
    held_writes: Gauge,
    buffered_records: Gauge,
    buffered_bytes: Gauge,
    queue_age: Gauge,
}

/// The histograms of a table.
struct Distributions {
    request_seconds: Histogram,
    acknowledge_seconds: Histogram,
    batch_items: Histogram,
    request_bytes: Histogram,
}

impl Totals {
    fn new(table: &str) -> Self {
        let label = || [("table", table.to_owned())];
        Self {
            written: counter!("dynamodb_sink_written_total", &label()),
            superseded: counter!("dynamodb_sink_superseded_total", &label()),
            condition_failed: counter!("dynamodb_sink_condition_failed_total", &label()),
            rejected: counter!("dynamodb_sink_rejected_total", &label()),
            unwritten: counter!("dynamodb_sink_unwritten_total", &label()),
            retried: counter!("dynamodb_sink_retried_total", &label()),
            throttled: counter!("dynamodb_sink_throttled_total", &label()),
            requests: counter!("dynamodb_sink_requests_total", &label()),
            failed_requests: counter!("dynamodb_sink_failed_requests_total", &label()),
            consumed_units: counter!("dynamodb_sink_consumed_units_total", &label()),
        }
    }
}

impl Levels {
    fn new(table: &str) -> Self {
        let label = || [("table", table.to_owned())];
        Self {
            in_flight: gauge!("dynamodb_sink_in_flight", &label()),
            concurrency: gauge!("dynamodb_sink_concurrency", &label()),
            rate_units: gauge!("dynamodb_sink_rate_units", &label()),
            hot_keys: gauge!("dynamodb_sink_hot_keys", &label()),
            held_writes: gauge!("dynamodb_sink_held_writes", &label()),
            buffered_records: gauge!("dynamodb_sink_buffered_records", &label()),
            buffered_bytes: gauge!("dynamodb_sink_buffered_bytes", &label()),
            queue_age: gauge!("dynamodb_sink_queue_age_seconds", &label()),
        }
    }
}

impl Distributions {
    fn new(table: &str) -> Self {
        let label = || [("table", table.to_owned())];
        Self {
            request_seconds: histogram!("dynamodb_sink_request_seconds", &label()),
            acknowledge_seconds: histogram!("dynamodb_sink_acknowledge_seconds", &label()),
            batch_items: histogram!("dynamodb_sink_batch_items", &label()),
            request_bytes: histogram!("dynamodb_sink_request_bytes", &label()),
        }
    }
}

impl Meter {
    /// Returns the meter of a table without any numbers yet.
    pub(super) fn new(table: &str) -> Self {
        Self {
            stats: TableStats::default(),
            totals: Totals::new(table),
            levels: Levels::new(table),
            distributions: Distributions::new(table),
            units_left: 0.0,
        }
    }

    pub(super) fn sent(&mut self, items: usize, bytes: usize) {
        self.stats.requests += 1;
        self.totals.requests.increment(1);
        self.distributions.batch_items.record(as_f64(items));
        self.distributions.request_bytes.record(as_f64(bytes));
    }

    pub(super) fn answered(&mut self, took: Duration, ok: bool) {
        self.distributions
            .request_seconds
            .record(took.as_secs_f64());
        if !ok {
            self.stats.failed_requests += 1;
            self.totals.failed_requests.increment(1);
        }
    }

    pub(super) fn consumed(&mut self, units: f64) {
        if !units.is_finite() || units <= 0.0 {
            return;
        }
        self.stats.consumed_units += units;
        self.units_left += units;
        let whole = self.units_left.floor();
        self.units_left -= whole;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, positive, and saturating"
        )]
        self.totals.consumed_units.increment(whole as u64);
    }

    pub(super) fn settled(&mut self, outcome: &Outcome, took: Duration) {
        let (total, counter) = match outcome {
            Outcome::Written => {
                self.distributions
                    .acknowledge_seconds
                    .record(took.as_secs_f64());
                (&mut self.stats.written, &self.totals.written)
            }
            Outcome::Superseded => (&mut self.stats.superseded, &self.totals.superseded),
            Outcome::ConditionFailed { .. } => (
                &mut self.stats.condition_failed,
                &self.totals.condition_failed,
            ),
            Outcome::Rejected { .. } | Outcome::Unknown { .. } => {
                (&mut self.stats.rejected, &self.totals.rejected)
            }
            Outcome::Unwritten { .. } => (&mut self.stats.unwritten, &self.totals.unwritten),
        };
        *total += 1;
        counter.increment(1);
    }

    pub(super) fn retries(&mut self, retried: u64, throttled: u64) {
        self.totals
            .retried
            .increment(retried.saturating_sub(self.stats.retried));
        self.totals
            .throttled
            .increment(throttled.saturating_sub(self.stats.throttled));
        self.stats.retried = retried;
        self.stats.throttled = throttled;
    }

    pub(super) fn budgeted(&mut self, budgeted: &Budgeted) {
        let &Budgeted {
            mode,
            rate,
            hot_keys,
            held,
        } = budgeted;
        self.stats.mode = mode;
        self.stats.rate = rate;
        self.stats.hot_keys = hot_keys;
        self.stats.held = held;
        self.levels.rate_units.set(rate.unwrap_or(f64::INFINITY));
        self.levels.hot_keys.set(as_f64(hot_keys));
        self.levels.held_writes.set(as_f64(held));
    }

    pub(super) fn level(
        &mut self,
        (in_flight, concurrency): (usize, usize),
        (records, bytes, waiting): (usize, usize, usize),
        queue_age: Duration,
    ) {
        let stats = &mut self.stats;
        stats.in_flight = in_flight;
        stats.concurrency = concurrency;
        stats.buffered_records = records;
        stats.buffered_bytes = bytes;
        stats.waiting_callers = waiting;
        stats.queue_age = queue_age;
        self.levels.in_flight.set(as_f64(in_flight));
        self.levels.concurrency.set(as_f64(concurrency));
        self.levels.buffered_records.set(as_f64(records));
        self.levels.buffered_bytes.set(as_f64(bytes));
        self.levels.queue_age.set(queue_age.as_secs_f64());
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count here reaches 2^53")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
