//! Capacity enforced: what a table, its indexes and its partitions take, and what they refuse.
//!
//! A fake that only fails as scripted cannot show how a writer shares out a capacity that is really
//! short. This one keeps accounts: every limit is a bucket of write units that refills by the clock,
//! and a write is admitted when every bucket that it draws on has its whole cost.
//!
//! ```text
//!              ┌─▶ account            1 s kept      (where set)
//!  a write ────┼─▶ table              300 s kept, the burst bank; on demand 1 s
//!    its cost  ├─▶ its partition      1 s kept
//!              └─▶ each global index that it changes: 300 s kept; on demand its maximum, if any
//! ```
//!
//! Buckets are pure: they take the time as an argument and are brought up to it when they are
//! looked at, so nothing runs in the background and an idle table costs nothing. The alternative, a
//! task that refills every so often, would tie the grain of the capacity to the task's.

mod bucket;
mod cost;
mod level;
mod limits;
mod settings;
mod shortage;
mod usage;

#[cfg(test)]
mod bucket_tests;
#[cfg(test)]
mod limits_tests;

pub(crate) use cost::WriteCost;
pub(crate) use limits::{Draw, Throughput};
pub use settings::{Capacity, Refill};
pub(crate) use shortage::Shortages;
pub use usage::{CapacityUsage, IndexUsage};
