//! The producer's handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::producer::Producer as _;

use super::error::KafkaError;
use super::producer::{NotTaken, Notice, Served};
use super::receipt::{Delivered, Receipt, Slot};
use super::record::{ProducerRecord, Serializer};
use super::room::{Permit, Room};
use super::settings::KafkaSettings;
use super::sink_settings::KafkaSinkSettings;
use super::stats::KafkaSinkStats;
use super::topics::{Topics, Waits, look_up};
use crate::health::Health;

/// librdkafka said that its queue is full, which the bounds here should prevent: when to ask again.
const FULL: Duration = Duration::from_millis(10);

/// A Kafka producer as a sink: idempotent, bounded, and silent about nothing. Cheap to clone; all clones share one producer.
///
/// # What is promised
/// - A record that [`send`](Self::send) accepted is delivered to all in-sync replicas once, or its failure is told. Retries by
///   librdkafka neither duplicate nor reorder (idempotence). Records of one partition are in the order in which they were
///   accepted.
/// - At most [`buffer_records`](KafkaSinkSettings::buffer_records) records and [`buffer_bytes`](KafkaSinkSettings::buffer_bytes)
///   bytes are under way. Callers beyond wait, and get room in the order in which they came.
/// - Brokers may go and come back: nothing is lost within [`delivery_timeout`](KafkaSinkSettings::delivery_timeout).
///
/// # How failures are told
/// To the record's [`Receipt`]. Where that was dropped, before or after the failure, without having told it, the **first**
/// such error is kept and returned by the next [`send`](Self::send), [`try_send`](Self::try_send), [`flush`](Self::flush) or
/// [`close`](Self::close), once, on whichever clone; a `send` that returns it has not accepted its own record. Later unheard
/// errors are only counted while one is kept. After a [fatal](super::KafkaErrorKind::Fatal) error every call returns that one.
///
/// # The end
/// Once the last clone is dropped, records under way are still delivered in the background, until they are or their time is over;
/// nobody hears of failures then. [`close`](Self::close) waits for them.
#[derive(Clone)]
pub struct KafkaSink(Arc<Inner>);

struct Inner {
    served: Served,
    topics: Topics,
    waits: Waits,
    /// One first use of a topic is looked up at a time.
    asking: tokio::sync::Mutex<()>,
}

impl KafkaSink {
    /// Makes a producer. Brokers need not be reachable yet.
    ///
    /// # Errors
    /// Of the kind [`Settings`](super::KafkaErrorKind::Settings): a property that librdkafka does not know or that is refused, or a
    /// setting out of its range.
    pub fn open(settings: &KafkaSettings, own: &KafkaSinkSettings) -> Result<Self, KafkaError> {
        let config = own.client(settings)?;
        Ok(Self(Arc::new(Inner {
            served: Served::start(&config, own.room())?,
            topics: Topics::default(),
            waits: own.waits(),
            asking: tokio::sync::Mutex::default(),
        })))
    }

    /// Accepts a record, as soon as there is room. The first record for a topic waits until a broker has said that the topic
    /// exists.
    ///
    /// # Errors
    /// The record was not accepted: it is too large, its topic or partition does not exist, it was refused
    /// ([`Record`](super::KafkaErrorKind::Record)); no broker answered for a topic's first record (`Retriable`); the sink is closed
    /// or failed for good; or an earlier record's failure is told (see [above](Self#how-failures-are-told)).
    ///
    /// # Cancel safety
    /// Dropped before it resolves, the record is not accepted, and the place in line is given up.
    pub async fn send(&self, record: ProducerRecord) -> Result<Receipt, KafkaError> {
        let slot = Arc::new(Slot::default());
        self.accept(&record, Notice::Receipt(slot.clone())).await?;
        Ok(Receipt::new(slot, self.room().clone()))
    }

    /// Accepts a record if there is room at once, and nobody waits for it.
    ///
    /// # Errors
    /// [`Full`](KafkaError::Full) where there is no room; [`LookingUp`](KafkaError::LookingUp) for a topic's first
    /// records, until a broker has said that it exists; and as [`send`](Self::send).
    ///
    /// # Panics
    /// For a topic's first record, outside a tokio runtime.
    pub fn try_send(&self, record: &ProducerRecord) -> Result<Receipt, KafkaError> {
        if !self.0.topics.knows(&record.topic) {
            if let Some(refusal) = self.room().refusal() {
                return Err(refusal);
            }
            if let Some(error) = self.room().take_unheard() {
                return Err(error);
            }
            let (sink, topic) = (self.clone(), record.topic.clone());
            tokio::spawn(async move {
                if let Err(error) = sink.find(&topic).await {
                    sink.room().unheard(error);
                }
            });
            return Err(KafkaError::LookingUp {
                topic: record.topic.clone(),
            });
        }
        let full = || {
            let level = self.room().level();
            KafkaError::Full {
                records: level.records,
                bytes: level.bytes,
            }
        };
        let permit = self.room().try_enter(record.size_bytes())?;
        let permit = permit.ok_or_else(full)?;
        let slot = Arc::new(Slot::default());
        match self.produce(record, Notice::Receipt(slot.clone()), permit) {
            Ok(()) => Ok(Receipt::new(slot, self.room().clone())),
            Err(NotTaken::Failed(error)) => Err(error),
            Err(NotTaken::QueueFull(_)) => Err(full()),
        }
    }

    /// As [`send`](Self::send), with a callback in place of a receipt: it runs on librdkafka's thread, must not block, and is told every
    /// outcome. Where this returns an error the record was not accepted and the callback is dropped, not called.
    #[cfg_attr(
        not(feature = "pipeline"),
        expect(
            dead_code,
            reason = "for the pipeline's sink, which has a feature of its own"
        )
    )]
    pub(crate) async fn send_with(
        &self,
        record: &ProducerRecord,
        on_delivery: impl FnOnce(Result<Delivered, KafkaError>) + Send + 'static,
    ) -> Result<(), KafkaError> {
        self.accept(record, Notice::call(on_delivery)).await
    }

    /// Waits until every record accepted before the call is delivered or failed. It waits for no record accepted later.
    ///
    /// # Errors
    /// An unheard failure (see [above](Self#how-failures-are-told)), or the fatal error.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn flush(&self) -> Result<(), KafkaError> {
        self.room().settled().await;
        if let Some(refusal) = self.room().refusal()
            && refusal.is_fatal()
        {
            return Err(refusal);
        }
        self.room().take_unheard().map_or(Ok(()), Err)
    }

    /// Accepts nothing more, on any clone, and waits until everything accepted is delivered or failed. Connections close with the last
    /// clone.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// # Cancel safety
    /// Dropped after its first poll, the sink is closed all the same; what is under way still goes out.
    pub async fn close(&self) -> Result<(), KafkaError> {
        self.room().refuse(&KafkaError::Closed);
        self.flush().await
    }

    /// Its numbers now.
    pub fn stats(&self) -> KafkaSinkStats {
        let core = &self.0.served.core;
        core.meter.stats(core.room.level())
    }

    /// Returns whether brokers are reached at present, and whether the sink is of use.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.room().refusal() {
            Some(refusal) => Health::Ended {
                cause: refusal.to_string(),
            },
            None => self.0.served.core.connection.health(),
        }
    }

    /// A handle that takes values and makes records of them.
    pub fn serializing<S>(&self, serializer: S) -> SerializingSink<S> {
        SerializingSink {
            sink: self.clone(),
            serializer,
        }
    }

    fn room(&self) -> &Arc<Room> {
        &self.0.served.core.room
    }

    async fn accept(&self, record: &ProducerRecord, notice: Notice) -> Result<(), KafkaError> {
        if !self.0.topics.knows(&record.topic) {
            self.find(&record.topic).await?;
        }
        let mut notice = notice;
        loop {
            let bytes = record.size_bytes();
            let permit = match self.room().try_enter(bytes)? {
                Some(permit) => permit,
                None => self.room().enter(bytes).await?,
            };
            match self.produce(record, notice, permit) {
                Ok(()) => return Ok(()),
                Err(NotTaken::Failed(error)) => return Err(error),
                Err(NotTaken::QueueFull(back)) => {
                    notice = back;
                    tokio::time::sleep(FULL).await;
                }
            }
        }
    }

    fn produce(
        &self,
        record: &ProducerRecord,
        notice: Notice,
        permit: Permit,
    ) -> Result<(), NotTaken> {
        self.0.served.produce(record, notice, permit)
    }

    async fn find(&self, topic: &Arc<str>) -> Result<(), KafkaError> {
        let _one = self.0.asking.lock().await;
        if self.0.topics.knows(topic) {
            return Ok(());
        }
        if let Some(refusal) = self.room().refusal() {
            return Err(refusal);
        }
        let Some(producer) = self.0.served.producer().cloned() else {
            return Err(KafkaError::Closed);
        };
        let ask =
            move |topic: &str, longest| producer.client().fetch_metadata(Some(topic), longest);
        look_up(topic, self.0.waits, ask, || self.room().refusal()).await?;
        self.0.topics.learn(topic.clone());
        Ok(())
    }
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A [`KafkaSink`] that takes values; made by [`KafkaSink::serializing`].
#[derive(Clone, Debug)]
pub struct SerializingSink<S> {
    sink: KafkaSink,
    serializer: S,
}

impl<S> SerializingSink<S> {
    /// Makes a record of a value and sends it; `None` where the serialiser skips it.
    ///
    /// # Errors
    /// [`KafkaError::Serialize`] where the serialiser makes no record of it, and as [`KafkaSink::send`].
    ///
    /// # Cancel safety
    /// As [`KafkaSink::send`].
    pub async fn send<T: ?Sized>(&mut self, value: &T) -> Result<Option<Receipt>, KafkaError>
    where
        S: Serializer<T>,
    {
        let record = self
            .serializer
            .serialize(value)
            .map_err(|error| KafkaError::Serialize(error.into()))?;
        match record {
            Some(record) => self.sink.send(record).await.map(Some),
            None => Ok(None),
        }
    }

    /// The sink behind it.
    pub fn sink(&self) -> &KafkaSink {
        &self.sink
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::embedded::{EmbeddedKafka, KafkaFault};

    #[tokio::test]
    async fn callbacks_hear_every_outcome_and_a_panic_in_one_stops_no_other() {
        let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
        let settings = KafkaSettings::new(kafka.bootstrap_servers());
        let own = KafkaSinkSettings::default().linger(Duration::ZERO);
        let sink = KafkaSink::open(&settings, &own).expect("a sink");
        let record = ProducerRecord::new("events", "x");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hear = || {
            let heard = heard.clone();
            move |result: Result<Delivered, KafkaError>| {
                heard
                    .lock()
                    .unwrap()
                    .push(result.map(|delivered| delivered.offset));
            }
        };
        kafka.fail_next(KafkaFault::TooLarge, 1).expect("told");
        sink.send_with(&record, hear()).await.expect("accepted");
        sink.flush().await.expect("its callback heard of it");
        sink.send_with(&record, |_| panic!("a callback's own"))
            .await
            .expect("accepted");
        sink.send_with(&record, hear()).await.expect("accepted");
        sink.close().await.expect("all settled");
        let heard = heard.lock().unwrap();
        assert!(
            matches!(heard[0], Err(KafkaError::TooLarge { .. })),
            "{heard:?}"
        );
        assert!(matches!(heard[1], Ok(Some(1))), "{heard:?}");
        assert_eq!(heard.len(), 2);
    }
}
