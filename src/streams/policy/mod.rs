//! The handling of a shard's records, and the policy for those that can't be handled.
//!
//! It follows AWS Lambda's event source mapping, the usual reader of a stream: batches limited by
//! size and window, retries limited by number and age, bisection of a batch that fails, dead
//! letters with the reason, several batches of a shard at once by key, and answers for part of a
//! batch. Two things differ: a record is given up only if a dead-letter handler takes it, and the
//! order of an item's changes is kept throughout.

mod dead_letters;
mod handler;
mod runner;
mod scheduler;

pub use handler::{Batch, BatchError, Change, DeadReason, FailedChange};
pub(crate) use handler::{DeadLetterFn, HandleFn, erase, write_dead_letter};
pub(crate) use runner::Runner;
