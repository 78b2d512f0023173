//! One client of librdkafka: its reports, its errors and its log lines.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as NativeHeader, OwnedHeaders};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::{ClientConfig, ClientContext, Message as _};

use super::super::error::{Failure, KafkaError, is_fatal};
use super::super::receipt::RecordMetadata;
use super::super::record::ProducerRecord;
use super::super::settings::not_taken;
use super::super::topic_partition::TopicPartition;
use super::partition::{ClientKind, Partition};
use super::thread::Route;

/// A client that fills batches, or one whose batches have one record.
pub(in super::super) struct Client(BaseProducer<Reports>);

/// The data that comes back with a record's report.
pub(super) struct Handle {
    partition: Arc<Partition>,
    number: u64,
    kind: ClientKind,
    bytes: usize,
    /// The record itself named the partition.
    named: bool,
}

/// librdkafka's callbacks, all on the thread that polls.
struct Reports(Arc<Route>);

/// The reason for which a client did not take a record.
pub(super) enum NotTaken {
    /// It will, or its successor.
    NotNow,
    Refused(KafkaError),
    /// Not for what it holds: what is behind it may not go on.
    Outage(KafkaError),
}

impl Client {
    pub(super) fn new(config: &ClientConfig, route: Arc<Route>) -> Result<Self, KafkaError> {
        let client = config.create_with_context(Reports(route));
        Ok(Self(client.map_err(not_taken)?))
    }

    /// Gives a record to librdkafka, which copies it. Never blocks.
    pub(super) fn send(
        &self,
        record: &ProducerRecord,
        partition: &Arc<Partition>,
        number: u64,
        kind: ClientKind,
        max_bytes: Option<usize>,
    ) -> Result<(), NotTaken> {
        let bytes = record.size_bytes();
        let topic_partition = || TopicPartition::new(record.topic.clone(), Some(partition.id));
        let handle = Handle {
            partition: partition.clone(),
            number,
            kind,
            bytes,
            named: record.partition.is_some(),
        };
        let native = BaseRecord::<[u8], [u8], _> {
            key: record.key.as_deref(),
            payload: record.value.as_deref(),
            partition: Some(partition.id),
            timestamp: record.millis().unwrap_or_default(),
            headers: headers(record),
            ..BaseRecord::with_opaque_to(&record.topic, Box::new(handle))
        };
        let Err((error, _)) = self.0.send(native) else {
            return Ok(());
        };
        Err(match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::Fatal) => NotTaken::NotNow,
            Some(code @ RDKafkaErrorCode::UnknownPartition) if record.partition.is_none() => {
                partition.set_missing(true);
                match Failure::of(code, topic_partition(), bytes, false) {
                    Failure::Outage(error) => NotTaken::Outage(error),
                    _ => NotTaken::NotNow,
                }
            }
            Some(code) => NotTaken::Refused(KafkaError::of_record(
                code,
                topic_partition(),
                bytes,
                max_bytes,
            )),
            None => NotTaken::Refused(KafkaError::Refused {
                topic_partition: topic_partition(),
                reason: "its topic's name holds a NUL".into(),
            }),
        })
    }

    pub(super) fn poll(&self, longest: Duration) {
        self.0.poll(longest);
    }

    /// Has the records given back that were not sent yet, and those that were sent where `sent`.
    pub(super) fn give_back(&self, sent: bool) {
        let queued = PurgeConfig::default().queue();
        self.0.purge(if sent { queued.inflight() } else { queued });
    }

    /// Returns why the client will never work again.
    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.client().fatal_error()
    }

    /// Returns whether a broker answers within the time. Blocks.
    #[cfg(feature = "pipeline")]
    pub(in super::super) fn is_reached(&self, longest: Duration) -> bool {
        self.0.client().fetch_cluster_id(longest).is_some()
    }

    /// Asks the brokers for a topic. Blocks.
    pub(in super::super) fn metadata(
        &self,
        topic: &str,
        longest: Duration,
    ) -> KafkaResult<Metadata> {
        self.0.client().fetch_metadata(Some(topic), longest)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        let core = &self.0.core;
        match error.rdkafka_error_code() {
            // The thread asks the client for what is behind it.
            Some(RDKafkaErrorCode::Fatal) => {}
            Some(code) if is_fatal(code) => {
                core.admission.refuse(&KafkaError::fatal(code, reason));
            }
            code => core.connection.failed(code, reason),
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Handle>;

    fn delivery(&self, report: &DeliveryResult<'_>, handle: Box<Handle>) {
        let result = match report {
            Ok(message) => Ok(RecordMetadata {
                topic: handle.partition.topic.clone(),
                partition: message.partition(),
                // -1001 (RD_KAFKA_OFFSET_INVALID) is librdkafka's word for an offset not known.
                offset: Some(message.offset()).filter(|offset| *offset >= 0),
            }),
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                if is_fatal(code) {
                    let error = KafkaError::fatal(code, code.to_string());
                    self.0.core.admission.refuse(&error);
                }
                if code == RDKafkaErrorCode::UnknownPartition {
                    handle.partition.set_missing(true);
                }
                let topic_partition =
                    TopicPartition::new(handle.partition.topic.clone(), Some(handle.partition.id));
                Err(Failure::of(
                    code,
                    topic_partition,
                    handle.bytes,
                    handle.named,
                ))
            }
        };
        self.0
            .reported(&handle.partition, handle.number, handle.kind, result);
    }
}

/// Logs a line of librdkafka at its level, unless it says what is reported in another way.
pub(in super::super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    if is_reported_otherwise(facility, message) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
        return;
    }
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Returns whether the sink reports it, or has caused it: failures of connections, which librdkafka gives as errors too, a
/// client's stop at a refused batch, after which the next one goes on, and that this is asked of it.
fn is_reported_otherwise(facility: &str, message: &str) -> bool {
    match facility {
        "FAIL" | "ERROR" => true,
        "FATAL" => message.contains("Gap-less ordering"),
        "CONFWARN" => message.contains("enable.gapless.guarantee"),
        _ => false,
    }
}

/// Returns the record's headers as librdkafka takes them.
pub(in super::super) fn headers(record: &ProducerRecord) -> Option<OwnedHeaders> {
    if record.headers.is_empty() {
        return None;
    }
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    Some(record.headers.iter().fold(headers, |headers, header| {
        headers.insert(NativeHeader {
            key: &header.name,
            value: header.value.as_deref(),
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_stop_at_a_refused_batch_is_no_error_in_the_log() {
        // librdkafka's line holds its text for the code.
        let code = RDKafkaErrorCode::GaplessGuarantee;
        let line = format!(
            "[thrd:main]: Fatal error: {}: refused",
            ClientError::Flush(code)
        );
        assert!(is_reported_otherwise("FATAL", &line), "{line}");
        assert!(!is_reported_otherwise("FATAL", "Fatal error: fenced"));
    }

    #[test]
    fn a_setting_that_the_sink_itself_makes_is_no_warning_in_the_log() {
        // librdkafka's line for each client, of which there is one more after each refusal.
        let line = "[thrd:app]: Configuration property enable.gapless.guarantee is experimental";
        assert!(is_reported_otherwise("CONFWARN", line));
        let other = "[thrd:app]: Configuration property foo is deprecated";
        assert!(!is_reported_otherwise("CONFWARN", other));
    }
}
