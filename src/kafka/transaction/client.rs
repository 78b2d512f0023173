//! A transactional client of librdkafka: its records, its calls, which block, and its callbacks.

use std::thread;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, ClientContext, Message as _};

use super::super::connection::Connection;
use super::super::error::{Failure, KafkaError};
use super::super::producer::{headers, log};
use super::super::record::ProducerRecord;
use super::super::settings::not_taken;
use super::super::source::GroupOffsets;
use super::super::topic_partition::TopicPartition;
use super::deliveries::{Deliveries, Outcome};
use super::sort::{Call, Verdict, sort};
use super::wear::ErrorEvents;
use crate::clock::Clock;

/// The longest wait of a commit for the end of reports that were given.
const SETTLE: Duration = Duration::from_millis(20);

/// A client, which is freed by the last that has it: that blocks.
pub(super) struct Client(BaseProducer<Reports>);

/// librdkafka's callbacks, on the thread that polls.
pub(super) struct Reports {
    pub(super) deliveries: Deliveries,
    pub(super) connection: Connection,
    pub(super) errors: ErrorEvents,
}

/// The data that comes back with a record's report.
pub(super) struct Handle {
    transaction: u64,
    topic_partition: TopicPartition,
    bytes: usize,
}

/// The answer of a call that failed.
#[derive(Debug)]
pub(super) struct CallFailure {
    pub(super) code: RDKafkaErrorCode,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
}

impl Client {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        let reports = Reports {
            deliveries: Deliveries::default(),
            connection: Connection::new("kafka transactions"),
            errors: ErrorEvents::default(),
        };
        let client = config.create_with_context(reports);
        Ok(Self(client.map_err(not_taken)?))
    }

    pub(super) fn reports(&self) -> &Reports {
        self.0.client().context()
    }

    /// Gives a record to librdkafka, which copies it. Never blocks.
    ///
    /// # Errors
    /// librdkafka's code; `None` for a topic's name that it cannot take. A record that has no room with nothing else there is
    /// too large: no report would come for which to wait.
    pub(super) fn send(
        &self,
        record: &ProducerRecord,
        timestamp: Option<i64>,
    ) -> Result<(), Option<RDKafkaErrorCode>> {
        const FULL: Option<RDKafkaErrorCode> = Some(RDKafkaErrorCode::QueueFull);
        let sent = self.try_to_send(record, timestamp);
        if sent != Err(FULL) || self.0.in_flight_count() > 0 {
            return sent;
        }
        // Once more: records that were just reported may have had the room.
        match self.try_to_send(record, timestamp) {
            Err(FULL) => Err(Some(RDKafkaErrorCode::MessageSizeTooLarge)),
            sent => sent,
        }
    }

    fn try_to_send(
        &self,
        record: &ProducerRecord,
        timestamp: Option<i64>,
    ) -> Result<(), Option<RDKafkaErrorCode>> {
        let deliveries = &self.reports().deliveries;
        let handle = Handle {
            // Before it is handed over: its report may come at once.
            transaction: deliveries.add(),
            topic_partition: TopicPartition::new(record.topic.clone(), record.partition),
            bytes: record.size_bytes(),
        };
        let native = BaseRecord::<[u8], [u8], _> {
            key: record.key.as_deref(),
            payload: record.value.as_deref(),
            partition: record.partition,
            timestamp,
            headers: headers(record),
            ..BaseRecord::with_opaque_to(&record.topic, Box::new(handle))
        };
        let Err((error, _)) = self.0.send(native) else {
            return Ok(());
        };
        let code = error.rdkafka_error_code();
        deliveries.take_back(code == Some(RDKafkaErrorCode::QueueFull));
        Err(code)
    }

    /// Serves the reports and events that come within a time.
    pub(super) fn poll(&self, longest: Duration) {
        self.0.poll(longest);
    }

    /// Asks the brokers for a topic. Blocks.
    pub(super) fn metadata(&self, topic: &str, longest: Duration) -> KafkaResult<Metadata> {
        self.0.client().fetch_metadata(Some(topic), longest)
    }

    /// Asks for the cluster's id; `None` where no broker has said it within the time. Blocks.
    pub(super) fn cluster_id(&self, longest: Duration) -> Option<String> {
        self.0.client().fetch_cluster_id(longest)
    }

    /// Starts transactions, which ends those of the producers of this id before. Blocks for so long at most; the same
    /// call resumes it then.
    pub(super) fn init(&self, longest: Duration) -> Result<(), CallFailure> {
        answer(Call::Init, self.0.init_transactions(longest))
    }

    pub(super) fn begin(&self) -> Result<(), CallFailure> {
        let answered = answer(Call::Begin, self.0.begin_transaction());
        if answered.is_ok() {
            self.reports().deliveries.begin();
        }
        answered
    }

    /// Sends offsets. Blocks, at times for longer than that: librdkafka does not keep to its own time-out.
    pub(super) fn send_offsets(
        &self,
        offsets: &GroupOffsets,
        longest: Duration,
    ) -> Result<(), CallFailure> {
        let (list, group) = (offsets.list(), offsets.metadata());
        let sent = self.0.send_offsets_to_transaction(&list, group, longest);
        answer(Call::SendOffsets, sent)
    }

    /// Commits. Blocks until the outcome is known, however long that takes: one that was given up early would go on.
    pub(super) fn commit(&self) -> Result<(), CallFailure> {
        // A report's event is freed after it was given, and for one that is left rdkafka's own flush would poll for 100 ms.
        let clock = Clock::start();
        while self.0.in_flight_count() > 0 && clock.now() < SETTLE {
            thread::sleep(SETTLE / 400);
        }
        answer(Call::Commit, self.0.commit_transaction(Timeout::Never))
    }

    /// Aborts. Blocks as [`commit`](Self::commit) does.
    pub(super) fn abort(&self) -> Result<(), CallFailure> {
        answer(Call::Abort, self.0.abort_transaction(Timeout::Never))
    }
}

fn answer(call: Call, result: KafkaResult<()>) -> Result<(), CallFailure> {
    result.map_err(|error| {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let (verdict, reason) = match &error {
            ClientError::Transaction(error) => (
                sort(
                    call,
                    code,
                    error.is_fatal(),
                    error.is_retriable(),
                    error.txn_requires_abort(),
                ),
                error.string(),
            ),
            // rdkafka's own, before the commit: nothing was asked of librdkafka yet.
            ClientError::Flush(_) => (sort(call, code, false, true, false), error.to_string()),
            _ => (sort(call, code, false, false, false), error.to_string()),
        };
        CallFailure {
            code,
            verdict,
            reason,
        }
    })
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Its end is the call's answer; that of a transaction is no alert of the process.
        if facility == "TXNERR" {
            tracing::debug!(target: "librdkafka", facility, "{message}");
            return;
        }
        log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        match error.rdkafka_error_code() {
            // A broker that can't be reached need have no part in the transaction; a request that was lost with its
            // connection is known by its time.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {}
            _ => self.errors.note(),
        }
        match error.rdkafka_error_code() {
            // The next call's answer says it, with its flags.
            Some(RDKafkaErrorCode::Fatal) => {}
            code => self.connection.failed(code, reason),
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Handle>;

    fn delivery(&self, report: &DeliveryResult<'_>, handle: Box<Handle>) {
        let outcome = match report {
            Ok(_) => {
                self.connection.succeeded();
                Outcome::Delivered
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                outcome(code, message.partition(), &handle)
            }
        };
        self.deliveries.reported(handle.transaction, outcome);
    }
}

/// Returns what a failed delivery says of its record.
fn outcome(code: RDKafkaErrorCode, partition: i32, handle: &Handle) -> Outcome {
    use RDKafkaErrorCode as Code;
    // The abort gave it back; another of its batch was at fault.
    if matches!(
        code,
        Code::PurgeQueue | Code::PurgeInflight | Code::InvalidDifferentRecord
    ) {
        return Outcome::Unsent;
    }
    let mut topic_partition = handle.topic_partition.clone();
    let is_named = topic_partition.partition.is_some();
    // librdkafka's -1 is no partition.
    let partition = Some(partition).filter(|partition| *partition >= 0);
    topic_partition.partition = topic_partition.partition.or(partition);
    match Failure::of(code, topic_partition, handle.bytes, is_named) {
        // The producer's own failures, as that it was fenced.
        Failure::Returned => Outcome::Unsent,
        Failure::Batch { error, .. }
        | Failure::Record(error)
        | Failure::Topic(error)
        | Failure::Outage(error) => Outcome::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: RDKafkaErrorCode) -> Outcome {
        let handle = Handle {
            transaction: 0,
            topic_partition: TopicPartition::new("events".into(), None),
            bytes: 5,
        };
        outcome(code, 3, &handle)
    }

    #[test]
    fn only_a_reason_of_its_own_is_a_records_failure() {
        use RDKafkaErrorCode as Code;
        for code in [
            Code::MessageSizeTooLarge,
            Code::InvalidRecord,
            Code::PolicyViolation,
        ] {
            let Outcome::Failed(error) = of(code) else {
                panic!("{code}")
            };
            assert!(
                error.is_record() && error.topic() == Some("events"),
                "{error}"
            );
        }
        for code in [
            Code::MessageTimedOut,
            Code::NotEnoughReplicas,
            Code::UnknownPartition,
        ] {
            let Outcome::Failed(error) = of(code) else {
                panic!("{code}")
            };
            assert!(error.is_retryable() && !error.is_record(), "{error}");
        }
        for code in [
            Code::PurgeQueue,
            Code::PurgeInflight,
            Code::InvalidDifferentRecord,
            Code::Fenced,
            Code::InvalidProducerEpoch,
            Code::OutOfOrderSequenceNumber,
            Code::Fatal,
        ] {
            assert!(matches!(of(code), Outcome::Unsent), "{code}");
        }
    }

    #[test]
    fn a_record_that_has_no_room_by_itself_is_too_large_and_one_behind_others_waits() {
        let mut config = ClientConfig::new();
        // Without a broker, whose connections would have events.
        config.set("queue.buffering.max.kbytes", "1");
        let client = Client::new(&config).expect("a client");
        while client.0.in_flight_count() > 0 {
            client.poll(Duration::ZERO);
        }
        let record = |bytes| ProducerRecord::new("t", vec![0; bytes]);
        let too_large = Err(Some(RDKafkaErrorCode::MessageSizeTooLarge));
        assert_eq!(client.send(&record(2_000), None), too_large);
        assert_eq!(client.send(&record(1_000), None), Ok(()));
        let full = Err(Some(RDKafkaErrorCode::QueueFull));
        assert_eq!(client.send(&record(1_000), None), full);
    }

    #[test]
    fn a_flush_that_failed_is_asked_again() {
        let flush = ClientError::Flush(RDKafkaErrorCode::OperationTimedOut);
        let failed = answer(Call::Commit, Err(flush)).expect_err("failed");
        assert_eq!(failed.verdict, Verdict::Again);
        let other = answer(Call::Commit, Err(ClientError::Canceled)).expect_err("failed");
        assert_eq!(other.verdict, Verdict::Renew);
    }
}
