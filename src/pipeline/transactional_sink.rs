//! The sink of a pipeline that ends in transactions.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::gate_keeper::GateKeeper;
use super::kafka_output::KafkaOutput;
use super::reason::Reason;
use super::sink::{IntoSink as _, Sink};
use super::transactional_output::TransactionalOutput;
use crate::kafka::{KafkaSettings, KafkaSink, ProducerRecord};

/// The longest time for which the way at least once waits for a broker at its start.
const REACH: Duration = Duration::from_secs(30);

/// Hands the records of values, or of dead letters, to the gate of a pipeline's transactions; at least once, to a producer of
/// its own.
pub struct TransactionalSink<T, O> {
    output: O,
    way: Way,
    /// It takes dead letters.
    is_of_letters: bool,
    records: Vec<ProducerRecord>,
    value: PhantomData<fn(T)>,
}

/// The way of records to Kafka.
#[derive(Clone)]
pub(super) enum Way {
    Gate(Arc<GateKeeper>),
    /// At least once. The producer is made before the first record.
    Producer(Producer),
}

pub(super) struct Producer {
    kafka: KafkaSettings,
    opened: Option<KafkaOutput<ProducerRecord>>,
}

impl Producer {
    pub(super) fn new(kafka: &KafkaSettings) -> Self {
        Self {
            kafka: kafka.clone(),
            opened: None,
        }
    }

    async fn open(&mut self) -> Result<&mut KafkaOutput<ProducerRecord>, EndpointError> {
        if self.opened.is_none() {
            let sink = KafkaSink::open(&self.kafka).await?;
            // As transactions do: no broker is known not to be reached only by a record, which may take its time.
            sink.reach(REACH).await?;
            self.opened = Some(sink.into_sink());
        }
        self.opened
            .as_mut()
            .ok_or_else(|| EndpointError::new("the producer is closed"))
    }
}

/// Without the producer, which is one sink's.
impl Clone for Producer {
    fn clone(&self) -> Self {
        Self::new(&self.kafka)
    }
}

impl<T, O> TransactionalSink<T, O> {
    pub(super) fn new(output: O, way: Way) -> Self {
        Self {
            output,
            way,
            is_of_letters: false,
            records: Vec::new(),
            value: PhantomData,
        }
    }

    /// Returns the sink of the dead letters, which go the same way.
    pub(super) fn of_letters<L, Q>(&self, output: Q) -> TransactionalSink<L, Q> {
        TransactionalSink {
            is_of_letters: true,
            ..TransactionalSink::new(output, self.way.clone())
        }
    }
}

impl<T: Send + 'static, O: TransactionalOutput<T>> Sink<T> for TransactionalSink<T, O> {
    async fn open(&mut self) -> Result<(), EndpointError> {
        match &mut self.way {
            Way::Gate(_) => Ok(()),
            Way::Producer(producer) => producer.open().await.map(drop),
        }
    }

    async fn write(&mut self, value: T, delivery: Delivery) -> Result<(), EndpointError> {
        if let Way::Gate(gate) = &self.way
            && !self.is_of_letters
            && let Some(reason) = gate.refusal(|| delivery.position())
        {
            delivery.reject(reason);
            return Ok(());
        }
        self.records.clear();
        // As in operators: a panic is the record's fault, and ends nothing else.
        let made = catch_unwind(AssertUnwindSafe(|| {
            self.output.records(value, &mut self.records)
        }));
        if let Err(reason) = made.unwrap_or_else(|_| Err(Reason::panicked())) {
            delivery.reject(reason);
            return Ok(());
        }
        match &mut self.way {
            Way::Gate(gate) => {
                if let Some(turn) = delivery.turn() {
                    gate.add(&turn, self.records.drain(..));
                }
                delivery.done();
            }
            Way::Producer(producer) => {
                let producer = producer.open().await?;
                for record in self.records.drain(..) {
                    producer.write(record, delivery.split()).await?;
                }
                delivery.done();
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        match &mut self.way {
            Way::Gate(gate) => {
                gate.flush().await;
                Ok(())
            }
            Way::Producer(Producer { opened, .. }) => match opened {
                Some(producer) => producer.flush().await,
                None => Ok(()),
            },
        }
    }

    async fn close(self) -> Result<(), EndpointError> {
        match self.way {
            Way::Producer(Producer {
                opened: Some(producer),
                ..
            }) => producer.close().await,
            Way::Gate(_) | Way::Producer(_) => Ok(()),
        }
    }
}

impl<T, O: fmt::Debug> fmt::Debug for TransactionalSink<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalSink")
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}
