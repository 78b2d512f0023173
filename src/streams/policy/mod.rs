//! What is done with a shard's records, and about those that can't be handled.
//!
//! As AWS Lambda's event source mapping, which is what most streams are read by: batches of a size and a window, retries up to a
//! number and an age, bisecting a batch that fails, dead letters with the reason, several batches of a shard at once by key, answers
//! for part of a batch. Two things differ: nothing is given up unless somebody takes it, and the order of an item's changes
//! stands in all of it.

mod handler;
mod lanes;
mod runner;

pub use handler::{Batch, BatchError, Change, DeadLetter, DeadReason};
pub(crate) use handler::{DeadLetterFn, HandleFn, erase, write_dead_letter};
pub(crate) use runner::Runner;
