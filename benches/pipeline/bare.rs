//! The same work by bare loops: what the libraries below take for it, without a pipeline.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use crate::event::{self, Event};
use crate::rig::Failure;
use crate::rig::records::{NOTE_BYTES, decision};

/// The events that are written again and again, so that making them is in no figure.
const EVENTS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// A loop around one library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loop {
    /// `GetRecords` of the SDK, whose records are not looked at.
    GetRecords,
    /// `serde_json` of the events.
    Serialise,
    /// A producer of librdkafka, given the keys and the bytes of the events.
    Produce,
}

pub(crate) const LOOPS: [(Loop, &str); 3] = [
    (Loop::GetRecords, "bare: GetRecords of the SDK, not decoded"),
    (Loop::Serialise, "bare: serde_json of the event"),
    (Loop::Produce, "bare: librdkafka produces it"),
];

/// The events of changes, and a producer.
pub(crate) struct Bare {
    events: Vec<Event>,
    json: Vec<(String, Vec<u8>)>,
    producer: ThreadedProducer<Reports>,
    topic: String,
    changes: usize,
}

/// Counts the records that the broker has.
#[derive(Default)]
struct Reports(AtomicUsize);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Bare {
    pub(crate) fn new(bootstrap: &str, topic: &str, changes: usize) -> Result<Self, Failure> {
        let mut events = Vec::new();
        let mut json = Vec::new();
        for number in 0..EVENTS {
            let written = serde_json::to_value(decision(number, NOTE_BYTES))?;
            let event = event::of(serde_json::from_value(written)?);
            json.push((event.decision.clone(), serde_json::to_vec(&event)?));
            events.push(event);
        }
        // As the sink at its defaults, so that both send the same requests; with room for a round.
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "147456")
            .create_with_context(Reports::default())?;
        Ok(Self {
            events,
            json,
            producer,
            topic: topic.to_owned(),
            changes,
        })
    }

    /// Serialises as many events as there are changes.
    pub(crate) fn serialise(&self) -> Result<(), Failure> {
        for event in self.events.iter().cycle().take(self.changes) {
            black_box(serde_json::to_vec(black_box(event))?);
        }
        Ok(())
    }

    /// Produces as many events as there are changes, and waits until the broker has them.
    pub(crate) fn produce(&self) -> Result<(), Failure> {
        let delivered = &self.producer.context().0;
        let before = delivered.load(Ordering::Relaxed);
        for (key, json) in self.json.iter().cycle().take(self.changes) {
            let mut record = BaseRecord::to(&self.topic).key(key).payload(json);
            while let Err((error, refused)) = self.producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                std::thread::sleep(Duration::from_millis(1));
                record = refused;
            }
        }
        self.producer.flush(PATIENCE)?;
        match delivered.load(Ordering::Relaxed) - before {
            all if all == self.changes => Ok(()),
            some => Err(format!("{some} of {} events were delivered", self.changes).into()),
        }
    }
}
