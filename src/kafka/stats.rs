//! The numbers of a sink or a source: a snapshot for callers, and the metrics.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use super::admission::Occupancy;
use super::error::KafkaError;

/// A sink's numbers at one moment; the totals count from opening.
///
/// The same go to the [`metrics`] facade, with the label `client`, which is the property `client.id` (default `rdkafka`):
///
/// | metric | kind | unit | what |
/// |---|---|---|---|
/// | `kafka_sink_delivered_total` | counter | records | confirmed by all in-sync replicas |
/// | `kafka_sink_delivered_bytes_total` | counter | bytes | their keys, values and headers |
/// | `kafka_sink_failed_total` | counter | records | accepted and not delivered; label `kind`: `retriable`, `fatal`, `record`, `topic`, `closed` |
/// | `kafka_sink_in_flight` | gauge | records | accepted and not settled |
/// | `kafka_sink_in_flight_bytes` | gauge | bytes | what they take of the buffer |
/// | `kafka_sink_waiting_callers` | gauge | callers | that wait for room |
/// | `kafka_sink_delivery_seconds` | histogram | seconds | from acceptance to confirmation |
///
/// The gauges are set ten times a second; sinks of one client id add up. Install the recorder of the [`metrics`] facade before opening a sink: the handles are
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
    /// The bytes that they take of the buffer.
    pub in_flight_bytes: usize,
    /// Callers that wait for room.
    pub waiting_callers: usize,
}

/// A source's numbers at one moment; the totals count from opening.
///
/// The same go to the [`metrics`] facade, with the label `group`; the gauges of members in one process add up:
///
/// | metric | kind | unit | what |
/// |---|---|---|---|
/// | `kafka_source_received_total` | counter | records | taken from the brokers, those given again included |
/// | `kafka_source_received_bytes_total` | counter | bytes | their keys and values |
/// | `kafka_source_redelivered_total` | counter | times | a partition went back, since an acknowledgement was dropped |
/// | `kafka_source_errors_total` | counter | errors | of librdkafka, also those after which it goes on by itself |
/// | `kafka_source_gaps_total` | counter | gaps | parts of a partition that were lost before they were read |
/// | `kafka_source_outstanding` | gauge | records | handed out and not acknowledged |
/// | `kafka_source_outstanding_bytes` | gauge | bytes | of those |
/// | `kafka_source_partitions` | gauge | partitions | assigned |
/// | `kafka_source_lag` | gauge | records | behind the end, as last asked: in a pipeline every 10 s; 0 once the partition is another member's; labels `topic`, `partition` |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaSourceStats {
    /// Records taken from the brokers, those given again included.
    pub received: u64,
    /// The bytes of their keys and values.
    pub received_bytes: u64,
    /// The number of times that a partition went back, since an acknowledgement was dropped.
    pub redelivered: u64,
    /// Parts of a partition that were lost before they were read.
    pub gaps: u64,
    /// Errors of librdkafka, also those after which it goes on by itself.
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

/// A gauge to which all with the same label add: task groups are several members of one group in a process, and sinks may share
/// a client id. Dropped, it is taken off again.
struct SharedGauge {
    gauge: Gauge,
    value: AtomicUsize,
}

impl SharedGauge {
    fn new(gauge: Gauge) -> Self {
        Self {
            gauge,
            value: AtomicUsize::new(0),
        }
    }

    fn set(&self, value: usize) {
        let before = self.value.swap(value, Relaxed);
        if value != before {
            self.gauge.increment(as_f64(value) - as_f64(before));
        }
    }
}

impl Drop for SharedGauge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A sink's metrics, and the totals behind [`KafkaSinkStats`].
pub(super) struct SinkMeter {
    delivered: Total,
    delivered_bytes: Total,
    /// By kind.
    failed: [(&'static str, Total); 5],
    in_flight: SharedGauge,
    in_flight_bytes: SharedGauge,
    waiting_callers: SharedGauge,
    delivery_seconds: Histogram,
}

impl SinkMeter {
    pub(super) fn new(client: &str) -> Self {
        describe_sink();
        let label = || [("client", client.to_owned())];
        Self {
            delivered: Total::new(counter!("kafka_sink_delivered_total", &label())),
            delivered_bytes: Total::new(counter!("kafka_sink_delivered_bytes_total", &label())),
            failed: ["retriable", "fatal", "record", "topic", "closed"].map(|kind| {
                let labels = [("client", client.to_owned()), ("kind", kind.to_owned())];
                (
                    kind,
                    Total::new(counter!("kafka_sink_failed_total", &labels)),
                )
            }),
            in_flight: SharedGauge::new(gauge!("kafka_sink_in_flight", &label())),
            in_flight_bytes: SharedGauge::new(gauge!("kafka_sink_in_flight_bytes", &label())),
            waiting_callers: SharedGauge::new(gauge!("kafka_sink_waiting_callers", &label())),
            delivery_seconds: histogram!("kafka_sink_delivery_seconds", &label()),
        }
    }

    pub(super) fn delivered(&self, bytes: usize, took: Duration) {
        self.delivered.add(1);
        self.delivered_bytes.add(bytes as u64);
        self.delivery_seconds.record(took.as_secs_f64());
    }

    pub(super) fn failed(&self, error: &KafkaError) {
        let kind = match error {
            KafkaError::Closed => "closed",
            _ if error.is_retryable() => "retriable",
            _ if error.is_fatal() => "fatal",
            _ if error.is_topic() => "topic",
            _ => "record",
        };
        if let Some((_, total)) = self.failed.iter().find(|(name, _)| *name == kind) {
            total.add(1);
        }
    }

    pub(super) fn level(&self, level: Occupancy) {
        self.in_flight.set(level.records);
        self.in_flight_bytes.set(level.bytes);
        self.waiting_callers.set(level.waiting);
    }

    pub(super) fn stats(&self, level: Occupancy) -> KafkaSinkStats {
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
    outstanding: SharedGauge,
    outstanding_bytes: SharedGauge,
    partitions: SharedGauge,
}

impl SourceMeter {
    pub(super) fn new(group: &str) -> Self {
        describe_source();
        let label = || [("group", group.to_owned())];
        Self {
            group: group.to_owned(),
            received: Total::new(counter!("kafka_source_received_total", &label())),
            received_bytes: Total::new(counter!("kafka_source_received_bytes_total", &label())),
            redelivered: Total::new(counter!("kafka_source_redelivered_total", &label())),
            gaps: Total::new(counter!("kafka_source_gaps_total", &label())),
            errors: Total::new(counter!("kafka_source_errors_total", &label())),
            outstanding: SharedGauge::new(gauge!("kafka_source_outstanding", &label())),
            outstanding_bytes: SharedGauge::new(gauge!("kafka_source_outstanding_bytes", &label())),
            partitions: SharedGauge::new(gauge!("kafka_source_partitions", &label())),
        }
    }

    pub(super) fn level(&self, records: usize, bytes: usize, partitions: usize) {
        self.outstanding.set(records);
        self.outstanding_bytes.set(bytes);
        self.partitions.set(partitions);
    }

    pub(super) fn group(&self) -> &str {
        &self.group
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

fn describe_sink() {
    describe_counter!(
        "kafka_sink_delivered_total",
        Unit::Count,
        "Records confirmed by all in-sync replicas."
    );
    describe_counter!(
        "kafka_sink_delivered_bytes_total",
        Unit::Bytes,
        "Bytes of the keys, values and headers of delivered records."
    );
    describe_counter!(
        "kafka_sink_failed_total",
        Unit::Count,
        "Records accepted and not delivered, by the kind of error."
    );
    describe_gauge!(
        "kafka_sink_in_flight",
        Unit::Count,
        "Records accepted and not settled."
    );
    describe_gauge!(
        "kafka_sink_in_flight_bytes",
        Unit::Bytes,
        "Bytes of the buffer that records in flight take."
    );
    describe_gauge!(
        "kafka_sink_waiting_callers",
        Unit::Count,
        "Callers that wait for room."
    );
    describe_histogram!(
        "kafka_sink_delivery_seconds",
        Unit::Seconds,
        "Time from a record's acceptance to its confirmation."
    );
}

fn describe_source() {
    describe_counter!(
        "kafka_source_received_total",
        Unit::Count,
        "Records taken from the brokers, those given again included."
    );
    describe_counter!(
        "kafka_source_received_bytes_total",
        Unit::Bytes,
        "Bytes of the keys and values of received records."
    );
    describe_counter!(
        "kafka_source_redelivered_total",
        Unit::Count,
        "Times that a partition went back, since an acknowledgement was dropped."
    );
    describe_counter!(
        "kafka_source_gaps_total",
        Unit::Count,
        "Parts of a partition that were lost before they were read."
    );
    describe_counter!(
        "kafka_source_errors_total",
        Unit::Count,
        "Errors of librdkafka, those that pass by themselves included."
    );
    describe_gauge!(
        "kafka_source_outstanding",
        Unit::Count,
        "Records handed out and not acknowledged."
    );
    describe_gauge!(
        "kafka_source_outstanding_bytes",
        Unit::Bytes,
        "Bytes of records handed out and not acknowledged."
    );
    describe_gauge!(
        "kafka_source_partitions",
        Unit::Count,
        "Partitions assigned."
    );
    describe_gauge!(
        "kafka_source_lag",
        Unit::Count,
        "Records behind the end, by topic and partition."
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::Recorded;

    #[test]
    fn members_of_one_group_in_a_process_add_up_until_they_end() {
        let recorded = Recorded::default();
        let outstanding = || recorded.gauge("kafka_source_outstanding{g}");
        metrics::with_local_recorder(&recorded, || {
            let (one, other) = (SourceMeter::new("g"), SourceMeter::new("g"));
            one.level(5, 0, 0);
            other.level(7, 0, 0);
            one.level(3, 0, 0);
            assert_eq!(outstanding(), Some(10));
            drop(other);
            assert_eq!(outstanding(), Some(3));
            drop(one);
            assert_eq!(outstanding(), Some(0));
        });
    }

    #[test]
    fn records_that_a_topic_failed_are_counted() {
        let meter = SinkMeter::new("me");
        meter.failed(&KafkaError::UnknownTopic {
            topic: "t".into(),
            waited: None,
        });
        assert_eq!(meter.stats(Occupancy::default()).failed, 1);
    }
}
