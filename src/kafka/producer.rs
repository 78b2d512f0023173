//! librdkafka's producer, the thread that serves it, and what becomes of its reports.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as NativeHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::{ClientConfig, ClientContext, Message as _};

use super::connection::Connection;
use super::error::{KafkaError, is_fatal};
use super::receipt::{Delivered, Place, Slot};
use super::record::ProducerRecord;
use super::room::{Bounds, Entered, Permit, Room};
use super::stats::SinkMeter;
use crate::clock::Clock;

/// How often the gauges are set, and an end is noticed.
const POLL: Duration = Duration::from_millis(100);

pub(super) type Producer = BaseProducer<Reports>;

/// Who hears what becomes of a record.
pub(super) enum Notice {
    Receipt(Arc<Slot>),
    /// In a mutex that is never locked: librdkafka wants it `Sync`, and a callback need not be.
    Call(Mutex<Callback>),
}

type Callback = Box<dyn FnOnce(Result<Delivered, KafkaError>) + Send>;

impl Notice {
    pub(super) fn call(
        on_delivery: impl FnOnce(Result<Delivered, KafkaError>) + Send + 'static,
    ) -> Self {
        Self::Call(Mutex::new(Box::new(on_delivery)))
    }
}

/// What comes back with a record's report.
pub(super) struct Pending {
    topic: Arc<str>,
    partition: Option<i32>,
    entered: Entered,
    accepted: Duration,
    notice: Notice,
}

/// What the sink's handles and its thread share.
pub(super) struct Core {
    pub(super) room: Arc<Room>,
    pub(super) meter: SinkMeter,
    pub(super) connection: Connection,
    clock: Clock,
    /// `message.max.bytes`.
    max_bytes: Option<usize>,
}

/// librdkafka's callbacks, all on the poll thread.
pub(super) struct Reports(Arc<Core>);

impl Core {
    fn settle(&self, pending: Pending, result: Result<Delivered, KafkaError>) {
        match &result {
            Ok(_) => {
                let took = self.clock.now().saturating_sub(pending.accepted);
                self.meter.delivered(pending.entered.bytes, took);
                self.connection.succeeded();
            }
            Err(error) => {
                self.meter.failed(error);
                if error.is_fatal() {
                    self.room.refuse(error);
                }
            }
        }
        match pending.notice {
            Notice::Receipt(slot) => {
                if let Some(Err(error)) = slot.settle(result) {
                    self.room.unheard(error);
                }
            }
            Notice::Call(callback) => {
                let callback = callback
                    .into_inner()
                    .unwrap_or_else(PoisonError::into_inner);
                // A panic would end the thread, and with it every other record's report.
                if catch_unwind(AssertUnwindSafe(|| callback(result))).is_err() {
                    tracing::error!(topic = &*pending.topic, "a delivery callback panicked");
                }
            }
        }
        // Last, so that a flush resolves after the news of every record before it.
        self.room.leave(pending.entered);
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(code) if is_fatal(code) => self.0.room.refuse(&KafkaError::Fatal {
                reason: reason.into(),
            }),
            code => self.0.connection.failed(code, reason),
        }
    }
}

/// librdkafka's log lines, at their levels. It reports failures of connections as errors too: of those its lines are
/// for debugging.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    if matches!(facility, "FAIL" | "ERROR") {
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

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, report: &DeliveryResult<'_>, pending: Box<Pending>) {
        let result = match report {
            Ok(message) => Ok(Delivered {
                topic: pending.topic.clone(),
                partition: message.partition(),
                // -1001 (RD_KAFKA_OFFSET_INVALID) is librdkafka's word for an offset not known.
                offset: Some(message.offset()).filter(|offset| *offset >= 0),
            }),
            Err((error, message)) => {
                let partition = Some(message.partition())
                    .filter(|partition| *partition >= 0)
                    .or(pending.partition);
                let place = Place::new(pending.topic.clone(), partition);
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                let error = KafkaError::of_record(code, place, pending.entered.bytes, None);
                // What is purged after a fatal error failed by that.
                Err(match (error, self.0.room.refusal()) {
                    (KafkaError::Closed, Some(refusal)) => refusal,
                    (error, _) => error,
                })
            }
        };
        self.0.settle(*pending, result);
    }
}

/// Why librdkafka did not take a record.
pub(super) enum NotTaken {
    /// Its queue is full; who wanted to hear of the record is given back.
    QueueFull(Notice),
    Failed(KafkaError),
}

/// A producer and the thread that serves it, until the last handle is gone and all is settled.
pub(super) struct Served {
    producer: Option<Arc<Producer>>,
    stop: Arc<AtomicBool>,
    pub(super) core: Arc<Core>,
}

impl Served {
    pub(super) fn start(config: &ClientConfig, bounds: Bounds) -> Result<Self, KafkaError> {
        let native = config
            .create_native_config()
            .map_err(KafkaError::of_settings)?;
        let max_bytes = native
            .get("message.max.bytes")
            .ok()
            .and_then(|limit| limit.trim_end_matches('\0').parse().ok());
        let core = Arc::new(Core {
            room: Room::new(bounds),
            meter: SinkMeter::new(),
            connection: Connection::new("kafka producer"),
            clock: Clock::start(),
            max_bytes,
        });
        let producer: Producer = config
            .create_with_context(Reports(core.clone()))
            .map_err(KafkaError::of_settings)?;
        let producer = Arc::new(producer);
        let stop = Arc::new(AtomicBool::new(false));
        let (served, core2, stopped) = (producer.clone(), core.clone(), stop.clone());
        thread::Builder::new()
            .name("kafka-sink".to_owned())
            .spawn(move || serve(&served, &core2, &stopped))
            .map_err(|error| KafkaError::Settings {
                problem: format!("no thread can be started: {error}"),
            })?;
        Ok(Self {
            producer: Some(producer),
            stop,
            core,
        })
    }

    /// librdkafka's producer, for its metadata.
    pub(super) fn producer(&self) -> Option<&Arc<Producer>> {
        self.producer.as_ref()
    }

    /// Gives a record to librdkafka, which copies it. Never blocks.
    pub(super) fn produce(
        &self,
        record: &ProducerRecord,
        notice: Notice,
        permit: Permit,
    ) -> Result<(), NotTaken> {
        let failed = |error| Err(NotTaken::Failed(error));
        let place = || Place::new(record.topic.clone(), record.partition);
        let Some(producer) = &self.producer else {
            return failed(KafkaError::Closed);
        };
        let Ok(timestamp) = record.millis() else {
            return failed(KafkaError::Refused {
                place: place(),
                reason: "its timestamp is before 1970".into(),
            });
        };
        let entered = permit.enter();
        let mut native = BaseRecord::<[u8], [u8], _>::with_opaque_to(
            &record.topic,
            Box::new(Pending {
                topic: record.topic.clone(),
                partition: record.partition,
                entered,
                accepted: self.core.clock.now(),
                notice,
            }),
        );
        native.key = record.key.as_deref();
        native.payload = record.value.as_deref();
        native.partition = record.partition;
        native.timestamp = timestamp;
        native.headers = headers(record);
        let Err((error, native)) = producer.send(native) else {
            return Ok(());
        };
        self.core.room.leave(entered);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => {
                Err(NotTaken::QueueFull(native.delivery_opaque.notice))
            }
            Some(code) => {
                let limit = self.core.max_bytes;
                let error = KafkaError::of_record(code, place(), entered.bytes, limit);
                if error.is_fatal() {
                    self.core.room.refuse(&error);
                }
                failed(error)
            }
            None => failed(KafkaError::Refused {
                place: place(),
                reason: "its topic's name holds a NUL".into(),
            }),
        }
    }
}

fn headers(record: &ProducerRecord) -> Option<OwnedHeaders> {
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

fn serve(producer: &Producer, core: &Core, stop: &AtomicBool) {
    loop {
        producer.poll(POLL);
        let level = core.room.level();
        core.meter.level(level);
        core.connection.advance();
        if level.records > 0 && core.room.refusal().is_some_and(|error| error.is_fatal()) {
            // librdkafka would go on trying where it was not let in.
            producer.purge(PurgeConfig::default().queue().inflight());
        }
        if level.records == 0 && stop.load(Ordering::Acquire) {
            return;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Before the thread is told, so that it is the one to free the producer, which blocks.
        self.producer = None;
        self.stop.store(true, Ordering::Release);
    }
}
