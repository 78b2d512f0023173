//! Get data into and out of DynamoDB from Rust, and lose nothing: a sink that writes, a source of a table's changes, and
//! pipelines from those to Kafka.
//!
//! [`TableSink`](sink::TableSink) takes typed records, batches them, keeps the order of each key
//! over retries, waits when the table or the buffer is full, and gives a receipt for every write
//! it accepts, which ends in exactly one [`Outcome`](sink::Outcome). Begin with the [`sink`]
//! module.
//!
//! ```no_run
//! use dynamodb_connector::sink::TableSink;
//!
//! # async fn example(
//! #     client: aws_sdk_dynamodb::Client,
//! #     decision: std::collections::HashMap<String, String>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let table = TableSink::open(&client, "decisions").await?; // learns the table's keys
//! let receipt = table.put(&decision).await?; // accepted; waits while the buffer is full
//! receipt.await.into_result()?; // durable
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! Arrows point to what a module uses.
//!
//! ```text
//! pipeline ─┬▶ sink ────┬──▶ transport ──┬──▶ item    a record's wire form: encoding, size, key
//!           │           │    (private)   └──▶ retry   error classes, delays, retry budget
//!           │           └──▶ capacity                 how many requests may be in flight
//!           ├▶ streams ────▶ transport                a table's changes, shared by a fleet
//!           └▶ kafka                                  a producer and a consumer
//!
//! embedded                             a DynamoDB, and a mock broker, within the process
//! test_util                            a DynamoDB that fails on command
//! ```
//!
//! The [`guide`] has a page for each subject: guarantees, settings, capacity, failures, tests.
//!
//! # Features
//!
//! - `streams`: the module `streams`, a source of a table's changes.
//! - `kafka`: the module `kafka`; `kafka-tls` and `kafka-zstd` for TLS, SASL and zstd.
//! - `pipeline`: the module `pipeline`, typed operators between a source and a sink.
//! - `test-util`: the module `test_util`, a DynamoDB that fails on command, for tests of your own.
//! - `embedded`: the module `embedded`, an in-process DynamoDB, and with `kafka` a mock broker, for demonstrations and tests.
//!
//! `test-util` and `embedded` create their tables from one type, `TableSpec`.
//!
//! None is on by default. Features add API and change nothing else.

// Badges for what a feature brings: docs.rs builds with a nightly compiler and this flag.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
mod capacity;
mod clock;
#[cfg(feature = "embedded")]
pub mod embedded;
mod error;
#[cfg(all(any(test, fuzzing), feature = "test-util"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(feature = "kafka", feature = "streams"))]
mod gap;
#[cfg(any(doc, doctest))]
pub mod guide;
mod health;
pub mod item;
#[cfg(feature = "kafka")]
pub mod kafka;
mod letter;
#[cfg(feature = "pipeline")]
pub mod pipeline;
mod progress;
mod random;
#[cfg(all(test, any(feature = "kafka", feature = "pipeline")))]
mod recorded;
pub mod retry;
mod settings;
mod settings_file;
pub mod sink;
#[cfg(feature = "streams")]
pub mod streams;
#[cfg(feature = "test-util")]
pub mod test_util;
mod transport;

#[cfg(any(feature = "embedded", feature = "test-util"))]
#[doc(inline)]
pub use dynamodb_table_spec::{IndexSpec, StreamView, TableSpec};
pub use error::ErrorKind;
#[cfg(any(feature = "kafka", feature = "streams"))]
pub use gap::{Gap, GapCause, GapPolicy};
pub use health::{Health, LastError};
pub use letter::DeadLetterFormatError;
#[cfg(any(feature = "kafka", feature = "pipeline", feature = "streams"))]
pub use progress::{Ack, Acknowledge, PartitionGuard};
pub use retry::error::ServiceError;
pub use settings::{ConfigError, SettingsPlace};
pub use settings_file::SettingsFile;
pub use transport::TransportKind;

/// The examples of README.md, to be tested.
#[cfg(all(doctest, feature = "streams", feature = "test-util"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
