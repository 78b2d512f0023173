//! The sink: write to DynamoDB and lose nothing.
//!
//! **The problem.** A stream of records and a table. `BatchWriteItem` takes 25 writes, fails as a
//! whole for one bad or repeated record, leaves any of them unprocessed without a reason, and may
//! have been applied when its answer is lost. Several of them in flight reorder a key.
//!
//! **The choice.** One worker task per table owns a pure state machine: a line per key, of which
//! only the head may be sent. Batches fill while requests are in flight. Every accepted write ends
//! in exactly one [`Outcome`].
//!
//! ```text
//! put, delete, update ─▶ admission ─▶ worker ──▶ requests ──▶ DynamoDB
//!   encode once,         room by     core: keys,  │ one task each      │
//!   checked here         records     batches,     └──── answers ◀──────┘
//!                        and bytes   retries │
//!            Receipt ◀── Outcome ◀───────────┘
//! ```
//!
//! **Rejected.** A shared buffer to whose head failed writes return (Flink's): with requests in
//! flight it lets old values land after new ones. A channel per key: unbounded in keys. Leaving
//! retries to the SDK: its token bucket is shared by all clients of the process, and it knows
//! neither unprocessed items nor the order of keys.
//!
//! **The limit of order.** A request whose client gave it up (a time-out) may still be applied by
//! the service later, after a newer write. Only a version guard closes that:
//! [`Write::newer_by`].
//!
//! **Circles.** `error`, `outcome`, `record` and `payload` use each other: errors hand records back
//! with their outcomes, and a record's payload knows its kind of write. `message` and `receipt` do:
//! an outcome that no receipt observed is a message to the worker.

mod adapter;
mod adapter_outcomes;
mod admission;
mod builder;
mod config;
mod core;
mod cost;
mod dead_letter;
mod describing;
mod error;
mod expressions;
mod guard;
mod handle;
mod limited;
mod limits;
mod message;
mod opening;
mod outcome;
mod payload;
mod prepared;
mod receipt;
mod record;
mod report;
mod settings;
mod shared;
mod shared_limit;
mod snapshot;
mod start;
mod stats;
mod submit;
mod table;
mod transaction;
mod update;
mod wire;
mod worker;
mod write;

pub use adapter::{RecordSink, RecordSinkError};
pub use builder::DynamoDbSinkBuilder;
pub use config::TableSettings;
pub use dead_letter::{DeadLetterError, FailedWrite};
#[cfg(test)]
pub(crate) use error::samples;
pub use error::{DrainError, OpenError, StopReason, SubmitError};
pub use handle::DynamoDbSink;
pub use limited::{LimitedBy, ThrottledBy};
pub use outcome::{NotWritten, Outcome, RejectReason, WriteKind};
pub use receipt::Receipt;
pub use record::{WritePart, WriteRecord};
pub use settings::DynamoDbSinkSettings;
pub use snapshot::{Restored, Snapshot, SnapshotError};
pub use stats::TableStats;
pub use submit::Submit;
pub use table::TableSink;
pub use transaction::Transaction;
pub use write::Write;

pub use crate::capacity::{CapacityMode, Concurrency, Rate};
