//! Progress: the extent to which a source has been worked through.
//!
//! **Problem.** A source hands out the records of a partition (a shard of a table's stream, a partition of a
//! topic) in order; their effects become durable in any order. The position to store is that of the
//! last record with *everything* up to it done: one record further, and a crash loses the one that was
//! not.
//!
//! **Choice.** Records are numbered as they are handed out. Each carries an [`Ack`] that reports to its
//! partition once: done, or dropped. [`Contiguous`] works out the position, with no I/O and no time. A
//! [`PartitionGuard`] holds a partition that its source is about to give up. Whatever else ends in
//! any order and goes on in its own stands on the same [`NumberedQueue`]: the values of an
//! asynchronous operator, and the records of a producer's partition. [`FlushEpochs`] counts what is
//! outstanding for those who wait until all before them is done, and [`Unobserved`] keeps the failures
//! that no receipt gave out until then.
//!
//! ```text
//! handed out   1 2 3 4 5 6 7
//! done         x x . x x . .
//! watermark      ^ position of 2: what a checkpoint may say
//! ```

#[cfg(any(feature = "kafka", feature = "pipeline", feature = "streams"))]
mod ack;
#[cfg(any(feature = "kafka", feature = "streams"))]
mod contiguous;
mod flush_epochs;
#[cfg(any(feature = "kafka", feature = "pipeline", feature = "streams"))]
mod guard;
#[cfg(any(feature = "kafka", feature = "pipeline", feature = "streams"))]
mod numbered_queue;
mod unobserved;

#[cfg(any(feature = "kafka", feature = "pipeline", feature = "streams"))]
pub use ack::{Ack, Acknowledge};
#[cfg(any(feature = "kafka", feature = "streams"))]
pub(crate) use contiguous::Contiguous;
pub(crate) use flush_epochs::FlushEpochs;
#[cfg(any(feature = "kafka", feature = "pipeline", feature = "streams"))]
pub use guard::PartitionGuard;
#[cfg(any(feature = "kafka", feature = "pipeline"))]
pub(crate) use numbered_queue::NumberedQueue;
pub(crate) use unobserved::{MAX_UNOBSERVED, Unobserved};
