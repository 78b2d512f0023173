//! How far a source has been worked through.
//!
//! **Problem.** A source hands out the records of a lane (a shard, a partition) in order; their effects become durable in any
//! order. What may be stored as the lane's position is the last record with *everything* up to it done: one record further and
//! a crash loses the one that was not.
//!
//! **Choice.** Records are numbered as they are handed out. Each carries an [`Ack`], which says to its lane that the effects are
//! durable, once, or, dropped, that nobody will ever say so. [`Contiguous`] is the book a lane keeps, with no I/O and no time.
//!
//! ```text
//! handed out   1 2 3 4 5 6 7
//! done         x x . x x . .
//! watermark      ^ position of 2: what a checkpoint may say
//! ```

mod ack;
#[cfg(any(feature = "kafka", feature = "streams"))]
mod contiguous;
mod guard;

pub use ack::{Ack, Acknowledge};
#[cfg(any(feature = "kafka", feature = "streams"))]
pub(crate) use contiguous::Contiguous;
pub use guard::PartitionGuard;
