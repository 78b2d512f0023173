//! Kafka: a producer that is a sink, a consumer that is a source.
//!
//! **Problem.** A pipeline's events must reach their topic in order for each key, none lost, while brokers
//! come and go. And a reader of a topic must not commit a record before its effects are durable. A plain
//! client has the means and leaves the rest to its user: a full queue is an error to be tried again, a
//! delivery that failed is a callback that is easily missed, a misspelt topic is silence for minutes, and
//! an automatic commit passes records that are still in work.
//!
//! **Choice.** librdkafka does the protocol (`rdkafka`), one thread for each client serves its events, and around it stand the
//! promises: [`KafkaSink`] bounds what is under way and lets callers wait in line, gives a [`KafkaReceipt`] for every record, keeps
//! each partition's order over refusals and outages, sorts errors by what to do next ([`KafkaError`]) and never
//! swallows one; [`KafkaSource`] hands out records with an [`Ack`](crate::Ack)
//! and commits only what is acknowledged without a gap.
//!
//! **Rejected.** rdkafka's `FutureProducer`: a channel and a timer for each record, and a full queue is slept on, not waited for.
//! Automatic commits, also with offsets stored by hand: librdkafka stores one offset for each partition, so a late
//! acknowledgement of an early record could not be expressed.
//!
//! ```text
//! send ─▶ topic known? ─▶ admission (records, bytes) ─▶ partition's queue ─▶ librdkafka ─▶ brokers
//!            │                  ▲ freed                        ▲ refused, in order │ delivery reports
//!            └ looked up once   └────────────────── producer thread ◀─────────────┘──▶ receipts, callbacks, stats
//!
//! brokers ─▶ a client that reads ─▶ a queue for each partition ─▶ trackers ─▶ next_batch, next_event, Stream
//!    └─────▶ a client that is the group's member ◀─ commits, answers ─┘▲───── done, dropped ── Ack ◀──┘
//! ```
//!
//! Beside the sink is a producer of transactions, for pipelines that publish each event exactly once.
//!
//! Settings of librdkafka pass through ([`KafkaSettings::set`]), but those that would break a promise are refused. TLS and SASL
//! need the feature `kafka-tls`, zstd needs `kafka-zstd`.
//!
//! **Circles.** `error` and `failure` use each other, since librdkafka's codes become errors, and so do
//! `receipt` and `scope`: a dropped receipt leaves its error with its caller's scope. `sink`, `sink_builder` and `serializing` do: a type, its builder and its
//! wrapper.

mod admission;
mod connection;
mod destinations;
mod error;
mod failure;
mod limits;
mod look_ups;
mod partitioner;
mod producer;
mod receipt;
mod record;
#[cfg(test)]
pub(crate) mod samples;
mod scope;
mod serializing;
mod settings;
mod sink;
mod sink_builder;
mod sink_settings;
mod source;
mod stats;
#[cfg(test)]
pub(crate) mod test_log;
mod topic_partition;
mod topics;
#[cfg_attr(
    not(feature = "pipeline"),
    allow(
        dead_code,
        reason = "for exactly-once pipelines, of which the settings are here"
    )
)]
mod transaction;
mod unobserved;

pub use error::{FailedRecords, KafkaError};
pub use receipt::{KafkaReceipt, RecordMetadata};
pub use record::{Header, ProducerRecord, Serializer};
pub use serializing::SerializingSink;
pub use settings::KafkaSettings;
pub use sink::KafkaSink;
pub use sink_builder::KafkaSinkBuilder;
pub use sink_settings::KafkaSinkSettings;
pub use source::{
    KafkaEvent, KafkaSource, KafkaSourceBuilder, KafkaSourceControl, KafkaSourceSettings, Message,
    OffsetReset, PartitionLag,
};
pub use stats::{KafkaSinkStats, KafkaSourceStats};
pub use topic_partition::TopicPartition;
pub use transaction::TransactionSettings;
#[cfg(feature = "pipeline")]
pub(crate) use transaction::{NotTaken, TransactionalProducer, Verdict};
