//! Tests that start processes: a writer that is killed, and the examples.

mod examples;
mod kills;
