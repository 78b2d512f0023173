//! The faulty DynamoDB: an in-memory DynamoDB that fails only on command.
//!
//! A pipeline that loses nothing has to be tested against what goes wrong: throttling with and
//! without reasons, unprocessed items, answers that come late or never, connections that break after
//! the write was applied, expired credentials, a poisoned item in a batch. Real servers do none of
//! this on demand: DynamoDB Local never throttles and never drops a connection. Mocks of single
//! calls do, but they also accept what DynamoDB refuses. This one checks what it is sent as
//! DynamoDB does (keys, sizes, duplicate keys, expressions, transactions) with DynamoDB's errors,
//! and then fails on command.
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
//! use faulty_dynamodb::{Fault, FaultyDynamoDb, KeyKind, Operation, TableSpec};
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
//! fake.create_table(TableSpec::new("decisions").partition("id", KeyKind::String));
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
//! # Capacity
//!
//! A table refuses what exceeds its capacity where that is enforced, by [`FakeTable::enforce`]: write
//! units per second of the table, of each global index and of each partition, a burst bank, the
//! growth of an on-demand table, with DynamoDB's exceptions, reasons and unprocessed items.
//! [`FaultyDynamoDb::capacity_usage`] says afterwards how much of it was used. The clock is tokio's:
//! minutes of load take no time in a test, and real time in a benchmark.
//!
//! ```
//! use std::time::Duration;
//! use aws_sdk_dynamodb::operation::put_item::PutItemError;
//! use aws_sdk_dynamodb::types::AttributeValue;
//! use faulty_dynamodb::{Capacity, FaultyDynamoDb, KeyKind, TableSpec, TableSpecExt as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # tokio::time::pause();
//! let fake = FaultyDynamoDb::new();
//! let spec = TableSpec::new("decisions").partition("id", KeyKind::String).provisioned(5, 10);
//! fake.create_table(spec.enforce(Capacity::enforced()));
//! let client = fake.client();
//! let put = |id: u32| {
//!     let id = AttributeValue::S(id.to_string());
//!     client.put_item().table_name("decisions").item("id", id).send()
//! };
//!
//! // Ten units a second: two seconds have brought twenty.
//! tokio::time::sleep(Duration::from_secs(2)).await;
//! for id in 0..20 {
//!     put(id).await.unwrap();
//! }
//! let refused = put(20).await.unwrap_err().into_service_error();
//! let PutItemError::ProvisionedThroughputExceededException(refused) = refused else {
//!     panic!("another error: {refused}");
//! };
//! let reason = refused.throttling_reasons()[0].reason();
//! assert_eq!(reason, Some("TableWriteProvisionedThroughputExceeded"));
//!
//! let usage = fake.capacity_usage("decisions").unwrap();
//! assert_eq!((usage.items_sent, usage.items_throttled), (21, 1));
//! assert_eq!(usage.consumed_units, 20.0);
//! # }
//! ```
//!
//! # Streams
//!
//! A table made with [`TableSpec::stream`](crate::TableSpec::stream), by `CreateTable` or by `UpdateTable` has a stream of its
//! changes, read by `DescribeStream`, `GetShardIterator` and `GetRecords`. Tests split its shards
//! ([`split_shard`](FaultyDynamoDb::split_shard), [`roll_shard`](FaultyDynamoDb::roll_shard)), trim
//! them ([`trim_stream`](FaultyDynamoDb::trim_stream)), hide and forget them
//! ([`list_children_late`](FaultyDynamoDb::list_children_late),
//! [`forget_shard`](FaultyDynamoDb::forget_shard)), slow them down, spoil their listings
//! ([`inconsistent_pages`](FaultyDynamoDb::inconsistent_pages)), limit their readers
//! ([`limit_readers`](FaultyDynamoDb::limit_readers)), expire iterators and items. Records are
//! trimmed after 24 hours of tokio's time.
//!
//! ```
//! use aws_sdk_dynamodb::types::AttributeValue;
//! use faulty_dynamodb::{FaultyDynamoDb, StreamView, TableSpec};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # tokio::time::pause();
//! let fake = FaultyDynamoDb::new();
//! fake.create_table(TableSpec::new("decisions").stream(StreamView::NewAndOldImages));
//! let put = fake.client().put_item().table_name("decisions");
//! put.item("pk", AttributeValue::S("a".into())).send().await.unwrap();
//!
//! let parent = fake.shards("decisions")[0].clone();
//! assert_eq!(parent.record_count(), 1);
//! let children = fake.split_shard("decisions", parent.id());
//!
//! let shards = fake.shards("decisions");
//! assert!(!shards[0].is_open());
//! assert_eq!(shards[1].id(), children[0]);
//! assert_eq!(shards[1].parent(), Some(parent.id()));
//! # }
//! ```
//!
//! # What it is not
//!
//! It keeps everything in memory, checks no signatures (only that there is one), knows no legacy
//! parameters (`Expected`, `AttributeUpdates`, …), no `PartiQL` or backups.
//! `UpdateTable` changes capacity and billing mode, at once, and nothing else. Reads are never
//! refused for want of capacity, indexes have no partitions of their own, and an index on demand
//! takes anything below its maximum. Numbers are answered as AWS writes them: `1.50` comes back as
//! `1.5`.
//!
//! Predicates given to faults run while the service is locked: they must not call it.

mod faults;
mod front;
#[doc(hidden)]
pub mod fuzzing;
mod item;
mod journal;
mod random;
mod store;
mod throughput;

pub use dynamodb_table_spec::{IndexSpec, KeyKind, StreamView, TableSpec};
pub use faults::fault::Fault;
pub use faults::plan::FaultPlan;
pub use front::fake::FaultyDynamoDb;
pub use front::server::FakeServer;
pub use item::throttle::Throttle;
pub use journal::{AppliedWrite, Overlap, RequestOutcome, RequestRecord};
pub use store::fake_table::{FakeTable, TableSpecExt};
pub use store::operation::Operation;
pub use store::streams::ShardInfo;
pub use store::write::AppliedKind;
pub use throughput::{Capacity, CapacityUsage, IndexUsage, Refill};

/// The example of README.md, to be tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
