//! The faulty DynamoDB: an in-memory DynamoDB that is honest until it is told to fail.
//!
//! A pipeline that loses nothing has to be tested against what goes wrong: throttling with and
//! without reasons, unprocessed items, answers that come late or never, connections that break after
//! the write was applied, expired credentials, a poisoned item in a batch. Real servers do none of
//! this on demand: DynamoDB Local never throttles and never drops a connection. Mocks of single
//! calls do, but they also accept what DynamoDB refuses. This one checks what it is sent as
//! DynamoDB does (keys, sizes, duplicate keys, expressions, transactions) with DynamoDB's errors,
//! and then fails as told.
//!
//! ```text
//!  AWS SDK client ── HttpClient, no socket ──┐              ┌─ Fault: scripted, in order
//!                                            ▼              ▼
//!                                         service ──▶ what goes wrong ──▶ tables
//!                                            ▲              ▲                │
//!  any HTTP client ── FakeServer, 127.0.0.1 ─┘              └─ FaultPlan     ▼
//!                                                             by seed      journal
//! ```
//!
//! In process nothing opens a socket and nothing waits except by tokio's time, so a test under
//! paused time runs through minutes of backoff at once. Faults are drawn from a seed, so a failing
//! run can be repeated.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
//! use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, KeyType, Operation, TableSpec};
//!
//! /// The code under test: writes one item in a batch, until nothing is left.
//! async fn write(client: &aws_sdk_dynamodb::Client, id: &str) {
//!     let put = PutRequest::builder().item("id", AttributeValue::S(id.into())).build().unwrap();
//!     let mut left = vec![WriteRequest::builder().put_request(put).build()];
//!     while !left.is_empty() {
//!         let batch = client.batch_write_item().request_items("decisions", left.clone());
//!         match batch.send().await {
//!             Ok(mut answer) => {
//!                 let unprocessed = answer.unprocessed_items.take().unwrap_or_default();
//!                 left = unprocessed.into_values().flatten().collect();
//!             }
//!             Err(_) => tokio::time::sleep(Duration::from_secs(60)).await,
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # tokio::time::pause();
//! let fake = FaultyDynamoDb::new();
//! fake.create_table(TableSpec::new("decisions").partition("id", KeyType::S));
//! fake.inject(Fault::unprocessed_all().times(2));
//! fake.inject(Fault::close_after().on(Operation::BatchWriteItem));
//!
//! write(&fake.client(), "order-1").await;
//!
//! assert_eq!(fake.item_count("decisions"), 1);
//! // Two batches came back whole, one was applied and its answer lost, one wrote it again.
//! assert_eq!(fake.requests().len(), 4);
//! assert_eq!(fake.applied().len(), 2);
//! assert!(fake.overlaps().is_empty());
//! # }
//! ```
//!
//! # What it is not
//!
//! It keeps everything in memory, checks no signatures (only that there is one), knows no legacy
//! parameters (`Expected`, `AttributeUpdates`, …), no `PartiQL`, streams, time to live, backups or
//! `UpdateTable`, and all its indexes project all attributes. Capacity is counted and reported, not
//! enforced. Numbers are answered as AWS writes them: `1.50` comes back as `1.5`.
//!
//! Predicates given to faults run while the service is locked: they must not call it.

mod batch;
mod capacity;
mod client;
mod clock;
mod effects;
mod error;
mod expression;
mod fake;
mod fault;
mod flight;
mod front;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod journal;
mod key;
mod number;
mod operation;
mod plan;
mod read;
mod request;
mod server;
mod service;
mod store;
mod table;
mod tables;
mod transactions;
mod value;
mod write;

#[cfg(test)]
mod client_tests;

pub use fake::FaultyDynamoDb;
pub use fault::{Fault, Throttle};
pub use journal::{AppliedWrite, Overlap, RequestOutcome, RequestRecord, WriteKind};
pub use key::KeyType;
pub use operation::Operation;
pub use plan::FaultPlan;
pub use server::FakeServer;
pub use table::{IndexSpec, TableSpec};
