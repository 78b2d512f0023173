//! Tests that start processes: a writer that is killed, and the examples.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

mod examples;
mod kills;
