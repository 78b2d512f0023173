//! How much of a table one sink may ask for at a time.
//!
//! A table that is asked for too much answers with throttling, and every throttled item was sent in vain. A fixed number of
//! requests in flight is either too small on a good day or too large on a bad one, so by default the number follows the
//! answers: twice as many after each round trip until something is throttled for the first time, then one more, and at once less after one in which something
//! was, and by as much as was throttled. A batch of which one item in twenty-five came back unprocessed is not the same news
//! as one that was refused whole; counting it as a failure, as an all-or-nothing controller does, halves the throughput for
//! one hot key.
//!
//! ```text
//!   answers ──▶ ConcurrencyLimit ──▶ limit() ──▶ how many requests may be in flight
//!     (items, throttled items, when the request was sent)
//! ```
//!
//! Everything here is pure: the time comes as an argument and nothing is sent.

mod concurrency;
mod range;

pub(crate) use concurrency::ConcurrencyLimit;
pub use range::Concurrency;
