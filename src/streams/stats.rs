//! The statistics of a source: numbers for callers, and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::ShardId;
use super::lag::Lag;
use crate::health::LastError;

/// A source's statistics at one moment; the totals count from opening.
///
/// The same numbers go to the [`metrics`] facade, with the label `table`. Install its recorder before opening a source.
///
/// | metric | kind | unit | meaning |
/// |---|---|---|---|
/// | `dynamodb_streams_records_total` | counter | records | read, filtered ones included |
/// | `dynamodb_streams_filtered_total` | counter | records | rejected by the filter |
/// | `dynamodb_streams_handled_total` | counter | records | handled by the handler |
/// | `dynamodb_streams_dead_lettered_total` | counter | records | given up by the source itself, with a reason; not those of a pipeline behind it (`pipeline_dead_letters_total`) |
/// | `dynamodb_streams_failed_batches_total` | counter | batches | failed by the handler, each time counted |
/// | `dynamodb_streams_reads_total` | counter | requests | `GetRecords` |
/// | `dynamodb_streams_failed_reads_total` | counter | requests | answered by an error or not at all |
/// | `dynamodb_streams_checkpoints_total` | counter | writes | checkpoints stored |
/// | `dynamodb_streams_gaps_total` | counter | gaps | in the stream |
/// | `dynamodb_streams_leases_lost_total` | counter | leases | lost without being given up |
/// | `dynamodb_streams_snapshot_items_total` | counter | items | scanned for a snapshot, including those dropped because the stream gave them |
/// | `dynamodb_streams_snapshot_segments_total` | counter | segments | of a snapshot, completed |
/// | `dynamodb_streams_shards` | gauge | shards | read by this worker |
/// | `dynamodb_streams_ready_shards` | gauge | shards | not read to their end, with parents that are; of all workers |
/// | `dynamodb_streams_unread_shards` | gauge | shards | ready, and read by no worker |
/// | `dynamodb_streams_lag_seconds` | gauge | seconds | the longest of [`lag`](Self::lag) and [`unread`](Self::unread), about ten times a failover time |
/// | `dynamodb_streams_read_seconds` | histogram | seconds | from the request of a page to its arrival |
///
/// A flat list of numbers, for readers; nothing relates the fields.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StreamsStats {
    /// Records read, filtered ones included.
    pub records: u64,
    /// Records rejected by the filter.
    pub filtered: u64,
    /// Records handled by the handler.
    pub handled: u64,
    /// Records given up by the source itself, with a reason. Records that a pipeline gives up are in its own report.
    pub dead_lettered: u64,
    /// Batches failed by the handler, each time counted.
    pub failed_batches: u64,
    /// Reads of shards.
    pub reads: u64,
    /// Reads answered by an error, or not at all.
    pub failed_reads: u64,
    /// Checkpoints stored.
    pub checkpoints: u64,
    /// Gaps in the stream.
    pub gaps: u64,
    /// Leases lost without being given up.
    pub leases_lost: u64,
    /// Items scanned for a snapshot, including those dropped because the stream gave them.
    pub snapshot_items: u64,
    /// Segments of a snapshot that were completed, out of as many as
    /// [`segments`](super::SnapshotSettings::segments) sets.
    pub snapshot_segments: u64,
    /// The last request, or call of a handler, that failed; `None` while none has.
    pub last_error: Option<LastError>,
    /// The shards that this worker reads, with the lag of each: how long ago it was last read up, by
    /// the service's clock. It is zero while the last read found no more and the next is not late.
    ///
    /// While there is more, it is the age of the last change that was read. It also grows while reads
    /// fail, and while a handler that falls behind keeps the shard from being read.
    pub lag: BTreeMap<ShardId, Duration>,
    /// The shards that are ready and that no worker reads, as this worker last saw the lease table,
    /// with how long that has been so: since the shard was found, or since its reader was last alive.
    ///
    /// Each is taken within moments, or after the failover time if its reader has died. Every worker of an
    /// application reports those that the lease table shows. Beside them a worker reports what it found
    /// itself: shards that have no row yet, and those that were read to their end and whose children are
    /// not listed yet.
    pub unread: BTreeMap<ShardId, Duration>,
    /// The number of shards that are ready: those not read to their end whose parents are. They are
    /// counted over all workers, as this worker last saw the lease table.
    pub ready: usize,
}

/// The counters of a source.
#[derive(Debug)]
pub(crate) struct Counters {
    totals: [(AtomicU64, Counter); 12],
    read_seconds: Histogram,
}

#[derive(Clone, Copy)]
enum Total {
    Records,
    Filtered,
    Handled,
    DeadLettered,
    FailedBatches,
    Reads,
    FailedReads,
    Checkpoints,
    Gaps,
    LeasesLost,
    SnapshotItems,
    SnapshotSegments,
}

impl Counters {
    pub(crate) fn new(table: &str) -> Self {
        let total = |name: &'static str| {
            let counter = counter!(name, "table" => table.to_owned());
            (AtomicU64::new(0), counter)
        };
        Self {
            totals: [
                total("dynamodb_streams_records_total"),
                total("dynamodb_streams_filtered_total"),
                total("dynamodb_streams_handled_total"),
                total("dynamodb_streams_dead_lettered_total"),
                total("dynamodb_streams_failed_batches_total"),
                total("dynamodb_streams_reads_total"),
                total("dynamodb_streams_failed_reads_total"),
                total("dynamodb_streams_checkpoints_total"),
                total("dynamodb_streams_gaps_total"),
                total("dynamodb_streams_leases_lost_total"),
                total("dynamodb_streams_snapshot_items_total"),
                total("dynamodb_streams_snapshot_segments_total"),
            ],
            read_seconds: histogram!("dynamodb_streams_read_seconds", "table" => table.to_owned()),
        }
    }

    fn add(&self, total: Total, count: usize) {
        let (own, metric) = &self.totals[total as usize];
        let count = count as u64;
        own.fetch_add(count, Ordering::Relaxed);
        metric.increment(count);
    }

    /// Counts a read that returned a page.
    pub(crate) fn read(&self, records: usize, filtered: usize, took: Duration) {
        self.add(Total::Reads, 1);
        self.add(Total::Records, records);
        self.add(Total::Filtered, filtered);
        self.read_seconds.record(took.as_secs_f64());
    }

    pub(crate) fn failed_read(&self) {
        self.add(Total::Reads, 1);
        self.add(Total::FailedReads, 1);
    }

    pub(crate) fn handled(&self, records: usize) {
        self.add(Total::Handled, records);
    }

    pub(crate) fn dead_lettered(&self, records: usize) {
        self.add(Total::DeadLettered, records);
    }

    pub(crate) fn failed_batch(&self) {
        self.add(Total::FailedBatches, 1);
    }

    pub(crate) fn checkpoint(&self) {
        self.add(Total::Checkpoints, 1);
    }

    pub(crate) fn gap(&self) {
        self.add(Total::Gaps, 1);
    }

    pub(crate) fn lease_lost(&self) {
        self.add(Total::LeasesLost, 1);
    }

    pub(crate) fn snapshot_items(&self, items: usize) {
        self.add(Total::SnapshotItems, items);
    }

    pub(crate) fn snapshot_segment(&self) {
        self.add(Total::SnapshotSegments, 1);
    }

    /// Returns the statistics, with this lag and without the last error.
    pub(crate) fn stats(&self, lag: Lag) -> StreamsStats {
        let total = |total: Total| self.totals[total as usize].0.load(Ordering::Relaxed);
        StreamsStats {
            records: total(Total::Records),
            filtered: total(Total::Filtered),
            handled: total(Total::Handled),
            dead_lettered: total(Total::DeadLettered),
            failed_batches: total(Total::FailedBatches),
            reads: total(Total::Reads),
            failed_reads: total(Total::FailedReads),
            checkpoints: total(Total::Checkpoints),
            gaps: total(Total::Gaps),
            leases_lost: total(Total::LeasesLost),
            snapshot_items: total(Total::SnapshotItems),
            snapshot_segments: total(Total::SnapshotSegments),
            last_error: None,
            lag: lag.read,
            unread: lag.unread,
            ready: lag.ready,
        }
    }
}
