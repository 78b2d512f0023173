//! A running source, from outside: its handle and its task.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::StreamsError;
use super::failure_log::FailureLog;
use super::lag::Lags;
use super::shared::Order;
use super::stats::{Counters, StreamsStats};
use crate::health::Health;

/// A handle that stops a source and returns its statistics. Cheap to clone.
#[derive(Clone)]
pub struct StreamsControl {
    pub(super) orders: Arc<watch::Sender<Order>>,
    pub(super) counters: Arc<Counters>,
    pub(super) lags: Arc<Lags>,
    pub(super) failure_log: Arc<FailureLog>,
}

impl fmt::Debug for StreamsControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamsControl").finish_non_exhaustive()
    }
}

impl StreamsControl {
    /// Ends the source: nothing more is read or handed out, records being handled are awaited for
    /// as long as [`drain_timeout`](super::StreamsSettings::drain_timeout) allows, checkpoints are stored,
    /// and the leases are given up, so that other workers continue at once.
    pub fn stop(&self) {
        self.orders.send_replace(Order::Close);
    }

    /// Ends the source as [`stop`](Self::stop) does, without waiting for records that are handed out.
    pub(crate) fn stop_now(&self) {
        self.orders.send_replace(Order::CloseNow);
    }

    /// Stops reading but keeps the leases, so that records handed out can still be acknowledged. Call [`stop`](Self::stop) afterward.
    pub fn pause(&self) {
        self.orders.send_if_modified(|order| {
            *order == Order::Run && std::mem::replace(order, Order::Pause) == Order::Run
        });
    }

    /// Returns the source's current statistics.
    pub fn stats(&self) -> StreamsStats {
        StreamsStats {
            last_error: self.failure_log.last_error(),
            ..self.counters.stats(self.lags.lag())
        }
    }

    /// Returns the source's health: whether shards are read and handled at present.
    ///
    /// The source is failing once an operation, or a handler, has failed for one shard for a second without a success
    /// for that shard in between, and at once if time alone cannot help. It has ended once an error ended it.
    #[must_use]
    pub fn health(&self) -> Health {
        self.failure_log.health()
    }
}

/// The worker's task, which is aborted when this is dropped.
#[derive(Debug)]
pub(crate) struct Running(pub(super) JoinHandle<Result<(), StreamsError>>);

impl Running {
    pub(crate) async fn ended(mut self) -> Result<(), StreamsError> {
        self.wait().await
    }

    /// Waits for the worker's task to end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. It must not be called again once it has resolved.
    pub(crate) async fn wait(&mut self) -> Result<(), StreamsError> {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(StreamsError::Panicked),
            // The runtime is shutting down: no caller is left to receive an error.
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
