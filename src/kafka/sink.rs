//! The producer's handle.

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "pipeline")]
use std::time::Duration;

use super::admission::{Admission, Permit};
use super::destinations::Destinations;
use super::error::KafkaError;
use super::producer::{Core, DeliveryCallback, Partition, Pending};
use super::receipt::{KafkaReceipt, RecordMetadata, Slot};
use super::record::ProducerRecord;
use super::scope::CallerScope;
use super::serializing::SerializingSink;
use super::settings::KafkaSettings;
use super::sink_builder::KafkaSinkBuilder;
use super::stats::KafkaSinkStats;
use super::topic_partition::TopicPartition;
use super::topics::{Topic, check_name};
use crate::health::Health;

/// A Kafka producer as a sink: idempotent, bounded, and silent about nothing. Cheap to clone; all clones share its
/// connections and its buffer.
///
/// # Guarantees
/// 1. A record that [`send`](Self::send) accepted is delivered to all in-sync replicas once, or its failure is reported.
///    Retries neither duplicate nor reorder.
/// 2. Records of one partition are in the topic in the order in which they were accepted.
/// 3. A batch that a broker refuses costs no record but the one at fault: its records are sent again one by one, in order,
///    and what is behind them on their partition waits. Only a record that is refused alone fails; those behind it go on.
///    Where the brokers let the client see a topic's `max.message.bytes`, batches for it are no larger to begin with. A topic
///    whose batches are refused in turn gets its records one by one for up to 5 s at a time, and is slow meanwhile; others
///    are slowed down only where its records fill the buffer.
/// 4. After a record that could not be delivered (a [retryable](KafkaError::is_retryable) failure, such as the end of
///    the [`delivery_timeout`](super::KafkaSinkSettings::delivery_timeout)), nothing that was accepted behind it on its partition is
///    delivered: those records fail with it. Nor is a later record accepted before the error was given out, by a receipt
///    or by a call. So the caller, not the sink, decides how to go on, and nothing overtakes what is to be sent again. The
///    sink itself stays usable: an outage of one partition ends neither the sink nor its other partitions.
///    At the end of a record's time, other partitions fail with it whose oldest record has been under way for more than half
///    of the delivery timeout and has no answer yet.
/// 5. At most [`buffer_records`](super::KafkaSinkSettings::buffer_records) records and
///    [`buffer_bytes`](super::KafkaSinkSettings::buffer_bytes) bytes are under way. Callers beyond wait, and are let in in the order
///    in which they came.
/// 6. Brokers may go and come back: nothing is lost within the delivery timeout.
///
/// One exception to 1 and 2: where a connection breaks while a batch of another partition is refused, or its record's time
/// ends, a record whose answer was lost may be in its topic twice: after both the client begins a new epoch, in which brokers
/// do not know the record again.
///
/// # How failures are reported
/// By the record's [`KafkaReceipt`]. Where that was dropped without having given the failure out, it is kept, and the next
/// [`flush`](Self::flush) or [`close`](Self::close), on whichever clone, returns all that are kept, once:
/// [`KafkaError::Unobserved`]. [`send`](Self::send) and [`try_send`](Self::try_send) return no failure of an earlier record;
/// only behind an outage they refuse their own with its error, by guarantee 4. All records that one cause
/// failed, such as an outage or a topic that was deleted, are one failure, with their number for each topic. Once 1,000
/// failures are kept, the handle and its clones stop: they accept nothing more ([`KafkaError::Stopped`]), and what they have
/// accepted is still carried out and reported. So await receipts, or flush now and then. What was reported is not reported
/// again: send the records that failed, not the flush.
///
/// After a [fatal](KafkaError::is_fatal) error every call returns that one, `flush` and `close` once they have reported the
/// records that failed, by it or before it.
///
/// Users that share a sink and must not be given each other's errors each take a [`separate`](Self::separate) handle, as
/// pipelines do. One that has stopped stops no other.
///
/// # The end
/// Once the last clone is dropped, records under way are still delivered in the background, until they are or their time is
/// over. Failures that no receipt, `flush` or `close` has given out are then logged alone, as one line at ERROR with their number.
/// [`close`](Self::close) waits for them.
#[derive(Clone)]
pub struct KafkaSink {
    destinations: Arc<Destinations>,
    scope: Arc<CallerScope>,
}

impl KafkaSink {
    /// Makes a producer with default settings: see [`KafkaSinkBuilder::open`].
    ///
    /// # Errors
    /// As [`KafkaSinkBuilder::open`].
    ///
    /// # Cancel safety
    /// As [`KafkaSinkBuilder::open`].
    pub async fn open(kafka: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::builder(kafka).open().await
    }

    /// Returns a builder of a sink of this cluster.
    pub fn builder(kafka: &KafkaSettings) -> KafkaSinkBuilder {
        KafkaSinkBuilder::new(kafka)
    }

    pub(super) fn new(destinations: Destinations) -> Self {
        Self {
            destinations: Arc::new(destinations),
            scope: Arc::new(CallerScope::new()),
        }
    }

    /// Returns a handle to the same producer that keeps its errors and its flushes apart: its calls return no error of
    /// another user's record, and its [`flush`](Self::flush) waits for its own records only. Its clones belong to it.
    #[must_use]
    pub fn separate(&self) -> Self {
        Self {
            destinations: self.destinations.clone(),
            scope: Arc::new(CallerScope::new()),
        }
    }

    /// Waits until a broker answers.
    ///
    /// # Errors
    /// [`NotConnected`](KafkaError::NotConnected) for a reason that waiting does not change; else
    /// [`Unreachable`](KafkaError::Unreachable) after `longest`.
    ///
    /// # Cancel safety
    /// Dropped, a question under way ends on its own within a second.
    #[cfg(feature = "pipeline")]
    pub(crate) async fn reach(&self, longest: Duration) -> Result<(), KafkaError> {
        self.destinations.reach(longest).await
    }

    /// Accepts a record, as soon as there is room. The first record for a topic waits until a broker has said that the topic
    /// exists.
    ///
    /// # Errors
    /// The record was not accepted: it is too large, its topic or partition does not exist, it was refused
    /// ([`is_record`](KafkaError::is_record)); no broker answered for a topic's first record
    /// ([`is_retryable`](KafkaError::is_retryable)); the sink is closed or failed for good; an outage failed records of
    /// this handle and its error was not given out before (guarantee 4); or the handle has stopped
    /// ([`Stopped`](KafkaError::Stopped)).
    ///
    /// # Cancel safety
    /// Dropped before it resolves, the record is not accepted, and the place in line is given up.
    pub async fn send(&self, record: ProducerRecord) -> Result<KafkaReceipt, KafkaError> {
        self.check()?;
        let slot = Arc::new(Slot::default());
        self.accept(record, DeliveryCallback::Receipt(slot.clone()))
            .await?;
        Ok(KafkaReceipt::new(slot, self.scope.clone()))
    }

    /// Accepts a record if there is room at once, and no caller waits for it.
    ///
    /// # Errors
    /// [`Full`](KafkaError::Full) where there is no room; [`LookingUp`](KafkaError::LookingUp) for a topic's first
    /// records, until a broker has said that it exists, and again once its records failed because it is gone; the failure of
    /// that look-up, by the next call for the topic; and as [`send`](Self::send).
    ///
    /// # Panics
    /// For a topic's first record, outside a tokio runtime.
    pub fn try_send(&self, record: &ProducerRecord) -> Result<KafkaReceipt, KafkaError> {
        self.check()?;
        let Some(topic) = self.destinations.known(&record.topic) else {
            check_name(&record.topic)?;
            self.scope.take_failed_look_up(&record.topic)?;
            if let Some(claim) = self.destinations.claim(&record.topic) {
                let (sink, topic) = (self.clone(), record.topic.clone());
                tokio::spawn(async move {
                    let found = sink.destinations.find(&topic).await;
                    if let Err(error) = found {
                        sink.scope.look_up_failed(topic, error);
                    }
                    drop(claim);
                });
            }
            return Err(KafkaError::LookingUp {
                topic: record.topic.clone(),
            });
        };
        self.check_record(record)?;
        let partition = self.destinations.partition(&topic, record)?;
        if partition.is_missing() {
            self.scope.take_failed_look_up(&record.topic)?;
            let (scope, name) = (self.scope.clone(), record.topic.clone());
            let failed = move |error| scope.look_up_failed(name, error);
            self.destinations
                .recount_partitions(&record.topic, &topic, failed);
            return Err(KafkaError::LookingUp {
                topic: record.topic.clone(),
            });
        }
        let permit = self.admission().try_enter(record.size_bytes())?;
        let permit = permit.ok_or_else(|| {
            let level = self.admission().occupancy();
            KafkaError::Full {
                records: level.records,
                bytes: level.bytes,
            }
        })?;
        self.destinations.refresh_if_stale(&record.topic, &topic);
        let slot = Arc::new(Slot::default());
        let callback = DeliveryCallback::Receipt(slot.clone());
        self.produce(&topic, &partition, record.clone(), callback, permit)?;
        Ok(KafkaReceipt::new(slot, self.scope.clone()))
    }

    /// As [`send`](Self::send), with a callback in place of a receipt: it runs on the producer's thread, must not block, and is
    /// called with every outcome. Where this returns an error the record was not accepted and the callback is dropped, not
    /// called. After an outage that failed a record of this handle, no more are accepted.
    #[cfg_attr(
        not(feature = "pipeline"),
        expect(
            dead_code,
            reason = "for the pipeline's sink, which has a feature of its own"
        )
    )]
    pub(crate) async fn send_with(
        &self,
        record: ProducerRecord,
        on_delivery: impl FnOnce(Result<RecordMetadata, KafkaError>) + Send + 'static,
    ) -> Result<(), KafkaError> {
        let callback = DeliveryCallback::Call(Box::new(on_delivery));
        self.accept(record, callback).await
    }

    /// Waits until every record that this handle and its clones accepted before the call is delivered or failed. It waits for
    /// no record accepted later.
    ///
    /// # Errors
    /// [`Unobserved`](KafkaError::Unobserved): the failures that no receipt gave out (see
    /// [above](Self#how-failures-are-reported)), each once, so that the next flush is no second attempt; else the fatal error,
    /// or [`Stopped`](KafkaError::Stopped).
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn flush(&self) -> Result<(), KafkaError> {
        self.scope.settled().await;
        self.report()
    }

    /// Accepts nothing more, on any clone or [`separate`](Self::separate) handle, and waits until everything accepted is
    /// delivered or failed. Connections close with the last clone.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// # Cancel safety
    /// Dropped after its first poll, the sink is closed all the same; what is under way still goes out.
    pub async fn close(&self) -> Result<(), KafkaError> {
        self.admission().refuse(&KafkaError::Closed);
        self.admission().idle().await;
        self.report()
    }

    /// Returns its numbers at present.
    pub fn stats(&self) -> KafkaSinkStats {
        let core = self.core();
        core.meter.stats(core.admission.occupancy())
    }

    /// Returns whether brokers are reached at present, and whether the sink is of use.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.admission().refusal() {
            Some(refusal) => Health::Ended {
                cause: refusal.to_string(),
            },
            None => self.core().connection.health(),
        }
    }

    /// Returns a handle that takes values and makes records of them.
    pub fn serializing<S>(&self, serializer: S) -> SerializingSink<S> {
        SerializingSink {
            sink: self.clone(),
            serializer,
        }
    }

    fn core(&self) -> &Core {
        self.destinations.core()
    }

    fn admission(&self) -> &Arc<Admission> {
        &self.core().admission
    }

    /// Returns the error that comes before a new record.
    fn check(&self) -> Result<(), KafkaError> {
        if let Some(refusal) = self.admission().refusal() {
            return Err(refusal);
        }
        self.scope.check()
    }

    /// Returns the failures that no receipt gave out, or why there can be no success any more.
    fn report(&self) -> Result<(), KafkaError> {
        let refusal = self.admission().refusal();
        self.scope.report(refusal.filter(KafkaError::is_fatal))
    }

    /// Refuses what no client takes.
    fn check_record(&self, record: &ProducerRecord) -> Result<(), KafkaError> {
        let size = record.size_bytes();
        if let Some(limit) = self.core().max_bytes.filter(|limit| size > *limit) {
            return Err(KafkaError::TooLarge {
                topic: record.topic.clone(),
                size,
                limit: Some(limit),
            });
        }
        match record.millis() {
            Ok(_) => Ok(()),
            Err(()) => Err(KafkaError::Refused {
                topic_partition: TopicPartition::new(record.topic.clone(), record.partition),
                reason: "its timestamp is before 1970".into(),
            }),
        }
    }

    async fn accept(
        &self,
        record: ProducerRecord,
        callback: DeliveryCallback,
    ) -> Result<(), KafkaError> {
        let topic = match self.destinations.known(&record.topic) {
            Some(topic) => topic,
            None => self.destinations.find(&record.topic).await?,
        };
        self.check_record(&record)?;
        let partition = match self.destinations.partition(&topic, &record) {
            Ok(partition) if !partition.is_missing() => partition,
            Ok(_) | Err(_) => {
                // There may be more of them by now, or fewer.
                self.destinations
                    .count_partitions(&record.topic, &topic)
                    .await?;
                self.destinations.partition(&topic, &record)?
            }
        };
        self.destinations.refresh_if_stale(&record.topic, &topic);
        let bytes = record.size_bytes();
        let permit = match self.admission().try_enter(bytes)? {
            Some(permit) => permit,
            None => self.admission().enter(bytes).await?,
        };
        self.produce(&topic, &partition, record, callback, permit)
    }

    fn produce(
        &self,
        topic: &Topic,
        partition: &Arc<Partition>,
        record: ProducerRecord,
        callback: DeliveryCallback,
        permit: Permit,
    ) -> Result<(), KafkaError> {
        let epoch = self.scope.enter()?;
        let entered = permit.enter().inspect_err(|_| self.scope.leave(epoch))?;
        let pending = Pending {
            record,
            scope: self.scope.clone(),
            epoch,
            entered,
            callback,
            outage: None,
        };
        topic.thread.produce(partition, pending).map_err(|refused| {
            let (error, pending) = *refused;
            // A receipt's caller decides how to go on; a callback's has to be stopped.
            if matches!(pending.callback, DeliveryCallback::Receipt(_)) {
                pending.scope.observed(pending.outage);
            }
            pending.scope.leave(pending.epoch);
            let left = self.admission().leave(pending.entered);
            self.admission().settled(left);
            error
        })
    }
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "embedded"))]
#[path = "sink_tests.rs"]
mod tests;
