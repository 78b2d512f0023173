//! The sink's promises, one by one.

mod bounds;
mod brokers;
mod receipts;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::ErrorKind;
use dynamodb_connector::embedded::{EmbeddedKafka, KafkaFault};
use dynamodb_connector::kafka::{
    KafkaError, KafkaSettings, KafkaSink, KafkaSinkSettings, ProducerRecord, RecordMetadata,
};

use super::{settings, sink, soon, source};

fn record(value: impl Into<Vec<u8>>) -> ProducerRecord {
    ProducerRecord::new("events", value.into())
}

fn quick() -> KafkaSinkSettings {
    KafkaSinkSettings::default()
        .linger(Duration::ZERO)
        .topic_timeout(Duration::from_millis(300))
}
