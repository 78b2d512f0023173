//! A source of a table's changes: DynamoDB Streams, read by a fleet that shares leases.
//!
//! **Problem.** A table's stream is a tree of shards that split every few hours. Each item's changes are in one shard at a time, so
//! they come in order only if a shard is read to its end before its children are begun. Workers come and go; each shard needs one
//! reader, and a position that a crash can't move past a change whose effects were lost. Changes not read within 24 hours are gone.
//!
//! **Choice.** The Kinesis Client Library's method without the library: a lease for each shard in a
//! DynamoDB table, in the KCL's own row format. Leases are taken, renewed, handed over and checkpointed
//! by conditional writes. One task reads a shard, hands its records on, and writes its lease.
//!
//! ```text
//!  DescribeStream ─▶ graph ─┐                          ┌▶ handler: batches, retry, bisect, dead letters, by key
//!  lease table ─▶ balance ──┴▶ worker ─▶ shard task ───┤
//!        ▲                               │ GetRecords  └▶ futures::Stream of records, each with an Ack
//!        └── renew, checkpoint ──────────┘                      │
//!                  ▲ watermark: all up to here is done ◀────────┘
//! ```
//!
//! # Guarantees
//!
//! - The changes of one item come in the order in which they were made, across splits, restarts and changes
//!   of owner. After a crash or a lost lease, changes since the last checkpoint come again, in order.
//! - Every change comes at least once. A shard's checkpoint passes a change when all its effects, and those of all before it, are done.
//! - One worker reads a shard. A worker that can't renew its lease stops before another may begin;
//!   one that is asked to hand over first finishes the records that it handed out.
//! - A start by [snapshot](StartPosition::Snapshot) gives each item of the table once, unless its
//!   changes do. It never gives an item as it was before a change that was given.
//! - Changes that are lost before they are read are a [`Gap`](crate::Gap): an error, unless [`GapPolicy`](crate::GapPolicy) allows it.
//!
//! # Example
//!
//! ```
//! # #[cfg(feature = "test-util")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::collections::HashMap;
//! use aws_sdk_dynamodb::types::AttributeValue;
//! use dynamodb_connector::streams::{Batch, BatchError, StreamsSource};
//! # use dynamodb_connector::{StreamView, TableSpec};
//! # use dynamodb_connector::item::KeyKind;
//! # use dynamodb_connector::test_util::FaultyDynamoDb;
//! # tokio::time::pause();
//! # let fake = FaultyDynamoDb::new();
//! # fake.create_table(TableSpec::new("decisions").partition("id", KeyKind::String).stream(StreamView::NewAndOldImages));
//! # let (dynamodb, streams) = (fake.client(), fake.streams_client());
//! # dynamodb.put_item().table_name("decisions").item("id", AttributeValue::S("d-1".into())).send().await?;
//!
//! let source = StreamsSource::builder(&dynamodb, &streams, "decisions").open().await?;
//! let control = source.control();
//! source
//!     .run(move |batch: Batch<HashMap<String, String>>| {
//!         let control = control.clone();
//!         async move {
//!             for change in &batch.changes {
//!                 assert_eq!(change.new.as_ref().unwrap()["id"], "d-1");
//!             }
//!             control.stop(); // the checkpoint is stored and the lease given up first
//!             Ok::<(), BatchError>(())
//!         }
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "test-util"))]
//! # fn main() {}
//! ```
//!
//! **A circle.** `builder` and `source` use each other: a source is made by its builder, which it
//! names as the way in.

mod ack_tracker;
mod builder;
mod control;
mod dispatcher;
mod error;
mod events;
mod failure_log;
mod graph;
mod key;
mod lag;
mod lease;
mod leases;
mod listing;
mod page;
mod policy;
mod poll;
mod raw_change;
mod read;
mod record;
mod record_batch;
mod record_stream;
#[cfg(test)]
pub(crate) mod samples;
mod sequence_number;
mod settings;
mod shared;
mod snapshot;
mod source;
mod start;
mod stats;
mod time;
mod tracked_record;
mod worker;

pub use builder::StreamsSourceBuilder;
pub use control::StreamsControl;
pub use error::StreamsError;
pub use events::StreamsEvent;
pub use leases::{Lease, Leases, Released};
pub use policy::{Batch, BatchError, Change, DeadReason, FailedChange};
pub use raw_change::RawChange;
pub use record::{EventKind, MalformedRecord, Record, ShardId};
pub use record_stream::RecordStream;
pub use sequence_number::{InvalidSequenceNumber, SequenceNumber};
pub use settings::StreamsSettings;
pub use snapshot::SnapshotSettings;
pub use source::StreamsSource;
pub use start::StartPosition;
pub use stats::StreamsStats;
pub use tracked_record::TrackedRecord;
