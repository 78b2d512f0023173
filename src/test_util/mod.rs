//! The faulty DynamoDB: a DynamoDB in memory that fails only on command.
//!
//! It is the crate [`faulty-dynamodb`](faulty_dynamodb), re-exported: faults by script and by seed,
//! enforced capacity, streams, a journal of what was applied, in process or over HTTP. Its page says
//! what it can do, with examples, and what it can't.
//!
//! ```
//! use dynamodb_connector::TableSpec;
//! use dynamodb_connector::sink::TableSink;
//! use dynamodb_connector::test_util::{Fault, FaultyDynamoDb};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::time::pause();
//! let fake = FaultyDynamoDb::new();
//! fake.create_table(TableSpec::new("decisions"));
//! fake.inject(Fault::unprocessed_all().times(2)); // two batches come back whole
//!
//! let table = TableSink::open(&fake.client(), "decisions").await?;
//! let decision = std::collections::HashMap::from([("pk", "order-1")]);
//! table.put(&decision).confirm().await?.into_result()?; // retried until it is written
//! assert_eq!(fake.item_count("decisions"), 1);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "pipeline")]
mod pipeline;

#[cfg(all(feature = "pipeline", feature = "kafka"))]
#[doc(hidden)]
pub use crate::pipeline::crash::crash_before;
#[cfg(any(test, fuzzing))]
pub(crate) use faulty_dynamodb::fuzzing;
#[doc(inline)]
pub use faulty_dynamodb::{
    AppliedKind, AppliedWrite, Capacity, CapacityUsage, FakeServer, FakeTable, Fault, FaultPlan,
    FaultyDynamoDb, IndexUsage, Operation, Overlap, Refill, RequestOutcome, RequestRecord,
    ShardInfo, TableSpecExt, Throttle,
};
#[cfg(feature = "pipeline")]
pub use pipeline::{Acks, CollectSink, IterSource};
