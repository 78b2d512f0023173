//! What a sink or a source has done and holds: a snapshot for callers, and the metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::error::{KafkaError, KafkaErrorKind};
use super::room::Level;

/// A sink's numbers at one moment; the totals count from opening.
///
/// The same go to the [`metrics`] facade:
///
/// | metric | kind | unit | what |
/// |---|---|---|---|
/// | `kafka_sink_delivered_total` | counter | records | confirmed by all in-sync replicas |
/// | `kafka_sink_delivered_bytes_total` | counter | bytes | their keys, values and headers |
/// | `kafka_sink_failed_total` | counter | records | accepted and not delivered; label `kind`: `retriable`, `fatal`, `record`, `closed` |
/// | `kafka_sink_in_flight` | gauge | records | accepted and not settled |
/// | `kafka_sink_in_flight_bytes` | gauge | bytes | what they take of the buffer |
/// | `kafka_sink_waiting_callers` | gauge | callers | that wait for room |
/// | `kafka_sink_delivery_seconds` | histogram | seconds | from acceptance to confirmation |
///
/// The gauges are set ten times a second. Install the recorder of the [`metrics`] facade before opening a sink: the handles are
/// taken then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaSinkStats {
    /// Records confirmed by all in-sync replicas.
    pub delivered: u64,
    /// The bytes of their keys, values and headers.
    pub delivered_bytes: u64,
    /// Records accepted and not delivered.
    pub failed: u64,
    /// Records accepted and not settled.
    pub in_flight: usize,
    /// What they take of the buffer, in bytes.
    pub in_flight_bytes: usize,
    /// Callers that wait for room.
    pub waiting_callers: usize,
}

/// A source's numbers at one moment; the totals count from opening.
///
/// The same go to the [`metrics`] facade, with the label `group`:
///
/// | metric | kind | unit | what |
/// |---|---|---|---|
/// | `kafka_source_received_total` | counter | records | taken from the brokers, those given again included |
/// | `kafka_source_received_bytes_total` | counter | bytes | their keys and values |
/// | `kafka_source_redelivered_total` | counter | times | a partition went back, since an acknowledgement was dropped |
/// | `kafka_source_errors_total` | counter | errors | of librdkafka, those that mend themselves included |
/// | `kafka_source_gaps_total` | counter | gaps | parts of a partition that were lost before they were read |
/// | `kafka_source_outstanding` | gauge | records | handed out and not acknowledged |
/// | `kafka_source_outstanding_bytes` | gauge | bytes | of those |
/// | `kafka_source_partitions` | gauge | partitions | assigned |
/// | `kafka_source_lag` | gauge | records | behind the end; labels `topic`, `partition` |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaSourceStats {
    /// Records taken from the brokers, those given again included.
    pub received: u64,
    /// The bytes of their keys and values.
    pub received_bytes: u64,
    /// How many times a partition went back, since an acknowledgement was dropped.
    pub redelivered: u64,
    /// Parts of a partition that were lost before they were read.
    pub gaps: u64,
    /// Errors of librdkafka, those that mend themselves included.
    pub errors: u64,
    /// Records handed out and not acknowledged.
    pub outstanding: usize,
    /// The bytes of those.
    pub outstanding_bytes: usize,
    /// Partitions assigned.
    pub partitions: usize,
}

/// A number that is read by callers and counted by the metrics.
pub(super) struct Total {
    value: AtomicU64,
    counter: Counter,
}

impl Total {
    fn new(counter: Counter) -> Self {
        Self {
            value: AtomicU64::new(0),
            counter,
        }
    }

    pub(super) fn add(&self, n: u64) {
        self.value.fetch_add(n, Relaxed);
        self.counter.increment(n);
    }

    pub(super) fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }
}

/// A sink's metrics, and the totals behind [`KafkaSinkStats`].
pub(super) struct SinkMeter {
    delivered: Total,
    delivered_bytes: Total,
    /// By kind.
    failed: [(&'static str, Total); 4],
    in_flight: Gauge,
    in_flight_bytes: Gauge,
    waiting_callers: Gauge,
    delivery_seconds: Histogram,
}

impl SinkMeter {
    pub(super) fn new() -> Self {
        Self {
            delivered: Total::new(counter!("kafka_sink_delivered_total")),
            delivered_bytes: Total::new(counter!("kafka_sink_delivered_bytes_total")),
            failed: ["retriable", "fatal", "record", "closed"].map(|kind| {
                let total = Total::new(counter!("kafka_sink_failed_total", "kind" => kind));
                (kind, total)
            }),
            in_flight: gauge!("kafka_sink_in_flight"),
            in_flight_bytes: gauge!("kafka_sink_in_flight_bytes"),
            waiting_callers: gauge!("kafka_sink_waiting_callers"),
            delivery_seconds: histogram!("kafka_sink_delivery_seconds"),
        }
    }

    pub(super) fn delivered(&self, bytes: usize, took: Duration) {
        self.delivered.add(1);
        self.delivered_bytes.add(bytes as u64);
        self.delivery_seconds.record(took.as_secs_f64());
    }

    pub(super) fn failed(&self, error: &KafkaError) {
        let kind = match error.kind() {
            KafkaErrorKind::Retriable => "retriable",
            KafkaErrorKind::Fatal => "fatal",
            KafkaErrorKind::Record | KafkaErrorKind::Settings => "record",
            KafkaErrorKind::Topic => "topic",
            KafkaErrorKind::Closed => "closed",
        };
        if let Some((_, total)) = self.failed.iter().find(|(name, _)| *name == kind) {
            total.add(1);
        }
    }

    pub(super) fn level(&self, level: Level) {
        self.in_flight.set(as_f64(level.records));
        self.in_flight_bytes.set(as_f64(level.bytes));
        self.waiting_callers.set(as_f64(level.waiting));
    }

    pub(super) fn stats(&self, level: Level) -> KafkaSinkStats {
        KafkaSinkStats {
            delivered: self.delivered.get(),
            delivered_bytes: self.delivered_bytes.get(),
            failed: self.failed.iter().map(|(_, total)| total.get()).sum(),
            in_flight: level.records,
            in_flight_bytes: level.bytes,
            waiting_callers: level.waiting,
        }
    }
}

/// A source's metrics, and the totals behind [`KafkaSourceStats`].
pub(super) struct SourceMeter {
    group: String,
    pub(super) received: Total,
    pub(super) received_bytes: Total,
    pub(super) redelivered: Total,
    pub(super) gaps: Total,
    pub(super) errors: Total,
    outstanding: Gauge,
    outstanding_bytes: Gauge,
    partitions: Gauge,
}

impl SourceMeter {
    pub(super) fn new(group: &str) -> Self {
        let label = || [("group", group.to_owned())];
        Self {
            group: group.to_owned(),
            received: Total::new(counter!("kafka_source_received_total", &label())),
            received_bytes: Total::new(counter!("kafka_source_received_bytes_total", &label())),
            redelivered: Total::new(counter!("kafka_source_redelivered_total", &label())),
            gaps: Total::new(counter!("kafka_source_gaps_total", &label())),
            errors: Total::new(counter!("kafka_source_errors_total", &label())),
            outstanding: gauge!("kafka_source_outstanding", &label()),
            outstanding_bytes: gauge!("kafka_source_outstanding_bytes", &label()),
            partitions: gauge!("kafka_source_partitions", &label()),
        }
    }

    pub(super) fn level(&self, records: usize, bytes: usize, partitions: usize) {
        self.outstanding.set(as_f64(records));
        self.outstanding_bytes.set(as_f64(bytes));
        self.partitions.set(as_f64(partitions));
    }

    pub(super) fn lag(&self, topic: &str, partition: i32, lag: u64) {
        let labels = [
            ("group", self.group.clone()),
            ("topic", topic.to_owned()),
            ("partition", partition.to_string()),
        ];
        #[expect(clippy::cast_precision_loss, reason = "no lag reaches 2^53")]
        gauge!("kafka_source_lag", &labels).set(lag as f64);
    }

    pub(super) fn stats(
        &self,
        records: usize,
        bytes: usize,
        partitions: usize,
    ) -> KafkaSourceStats {
        KafkaSourceStats {
            received: self.received.get(),
            received_bytes: self.received_bytes.get(),
            redelivered: self.redelivered.get(),
            gaps: self.gaps.get(),
            errors: self.errors.get(),
            outstanding: records,
            outstanding_bytes: bytes,
            partitions,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count here reaches 2^53")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
