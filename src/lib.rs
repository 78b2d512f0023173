//! Write to DynamoDB from Rust and lose nothing.
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
//! sink ──┬──▶ transport ──┬──▶ item    a record's wire form: encoding, size, key
//!        │    (private)   └──▶ retry   error classes, delays, retry budget
//!        ├──▶ item, retry
//!        └──▶ capacity                 how many requests may be in flight
//!
//! embedded                             a DynamoDB within the process
//! test_util                            one that fails as told
//! ```
//!
//! # Features
//!
//! - `test-util`: the module `test_util`, a DynamoDB that fails as told, for tests of your own.
//! - `embedded`: the module `embedded`, an in-process DynamoDB for demonstrations and tests.
//!
//! None is on by default. Features add API and change nothing else.

pub mod capacity;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(all(any(test, fuzzing), feature = "test-util"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod item;
pub mod retry;
mod settings;
pub mod sink;
mod transport;

#[cfg(feature = "test-util")]
pub mod test_util;

/// The examples of README.md, to be tested.
#[cfg(all(doctest, feature = "test-util"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
