//! An in-process DynamoDB for demos and tests, started in one call.
//!
//! It is [dynoxide](https://docs.rs/dynoxide-rs): a DynamoDB on top of `SQLite`, served over HTTP on a
//! free port of the loopback interface. Nothing has to be installed, no Java, no container, no
//! network. It never throttles and never fails; for a DynamoDB that does, see the module
//! `test_util`.
//!
//! ```text
//!  Client ── HTTP, 127.0.0.1 ──▶ EmbeddedDynamoDb ──▶ SQLite, in memory or in a file
//! ```
//!
//! DynamoDB Local is nearer to the real service, but it needs Java; it answers the same client once
//! its endpoint URL is set.
//!
//! With the feature `kafka` there is also `EmbeddedKafka`, librdkafka's mock cluster.
//!
//! # Example
//!
//! ```
//! use aws_sdk_dynamodb::types::AttributeValue;
//! use dynamodb_connector::TableSpec;
//! use dynamodb_connector::embedded::EmbeddedDynamoDb;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let database = EmbeddedDynamoDb::start().await?;
//! database.create_table(TableSpec::new("decisions")).await?; // its key is `pk`, a string
//!
//! let client = database.client();
//! let key = AttributeValue::S("order-1".into());
//! client.put_item().table_name("decisions").item("pk", key.clone()).send().await?;
//! let read = client.get_item().table_name("decisions").key("pk", key).send().await?;
//! assert!(read.item().is_some());
//! database.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod create_table;
mod error;
#[cfg(feature = "kafka")]
mod kafka;
mod server;

pub use error::EmbeddedError;
#[cfg(test)]
pub(crate) use error::samples;
#[cfg(feature = "kafka")]
pub use kafka::{EmbeddedKafka, KafkaFault};
pub use server::EmbeddedDynamoDb;
