//! Tests that start processes: a writer and workers that are killed, and the examples.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

mod examples;
mod failover;
mod kills;

use std::time::Duration;

/// Waits for what a process does. The bound is there to fail in place of hanging.
async fn in_time<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(Duration::from_secs(300), future);
    waited.await.expect("the process hangs")
}
